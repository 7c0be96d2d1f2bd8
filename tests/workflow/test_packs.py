"""Runs that share a process make what each makes by itself."""

import pytest
import xarray as xr

from tests.workflow.project import copy_project

pytestmark = pytest.mark.workflow
CONFIG = ("--configfile", "config/test.yaml", "config/packed.yaml")
SWEEPS = [f"results/sweeps/{name}.nc" for name in ("default", "linear")]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("packed") / "project")
    (project.path / "config/packed.yaml").write_text("pack_minutes: 20\n")
    result = project.snakemake(*CONFIG, "--", *SWEEPS, config=None)
    assert result.returncode == 0, result.stdout + result.stderr
    return project, result


def count(result, rule):
    return sum(f"(Rule: {rule})" in line for line in result.stdout.splitlines() + result.stderr.splitlines())


def test_packed_runs_have_the_numbers_of_single_ones(packed, finished):
    project, result = packed
    assert (count(result, "pack"), count(result, "train"), count(result, "measure")) == (3, 6, 8)
    for path in SWEEPS:
        with xr.open_dataset(project.path / path) as one, xr.open_dataset(finished.path / path) as other:
            xr.testing.assert_equal(one, other)


def test_the_log_of_a_packed_run_is_where_one_looks_for_it(packed):
    logs = list(packed[0].path.glob("results/logs/training/**/*.log"))
    assert len(logs) == 6
    for log in logs:
        said = "every margin is met" if "one_hidden" in str(log) else "epoch"
        assert said in log.read_text() and "taken as another process has finished it" in log.read_text()


def test_nothing_is_left_when_all_is_collected(packed):
    project, _ = packed
    assert not list(project.path.glob("results/.packs/*")) and not list(project.path.glob("results/.finished/*"))


def test_only_what_is_missing_is_made_again(packed):
    project, _ = packed
    (gone,) = project.path.glob("results/stability/output/digits/fc/P16/*.nc")
    times = {path: path.stat().st_mtime_ns for path in project.path.glob("results/training/**/*.*")}
    gone.unlink()
    result = project.snakemake(*CONFIG, "--", str(gone.relative_to(project.path)), config=None)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (count(result, "pack"), count(result, "train"), count(result, "measure")) == (1, 0, 1)
    assert gone.exists() and times == {path: path.stat().st_mtime_ns for path in times}
