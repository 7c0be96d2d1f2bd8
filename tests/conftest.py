"""What the tests share: the repository, the config's schema, and small nets and images."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock

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
    """The golden run of config/test.yaml, really run: once for all test processes, each of which gets a copy."""
    base = tmp_path_factory.getbasetemp()
    golden = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "golden"
    with FileLock(golden.with_suffix(".lock")):
        if not golden.exists():
            result = copy_project(golden).snakemake()
            (golden / "said").write_text(result.stdout + result.stderr)
    assert (golden / "results/claims.md").exists(), (golden / "said").read_text()
    return Project(shutil.copytree(golden, tmp_path_factory.mktemp("finished") / "project"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that no process waits for another at the end.

    Of the first two files only one needs the golden run, for which a second process would wait.
    """
    first = {name: place for place, name in enumerate(("test_packs", "test_figures"))}
    items.sort(key=lambda item: (first.get(item.path.stem, len(first)), item.get_closest_marker("workflow") is None))
