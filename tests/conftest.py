"""What the tests share: the repository, the config's schema, and small nets and images."""

from pathlib import Path

import pytest
import torch

from relative_stability.plan.config import Schema
from tests.workflow.project import Project, copy_project

ROOT = Path(__file__).parents[1]
# As in a job. Two threads that wait for each other on a machine with other work take ten times as long as one.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema(ROOT / "workflow/schemas/config.schema.yaml")


@pytest.fixture
def images() -> torch.Tensor:
    """Twelve white images, (12, 2, 16, 16)."""
    return torch.randn(12, 2, 16, 16, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """The golden run of config/test.yaml, really run."""
    project = copy_project(tmp_path_factory.mktemp("golden") / "project")
    result = project.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    return project
