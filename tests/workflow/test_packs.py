"""Runs that share a process make what each makes by itself, and cost no job of their own."""

import re
import shutil

import pytest
import xarray as xr

from tests.workflow.project import CONFIG, Project

pytestmark = pytest.mark.workflow
SWEEP = "results/sweeps/default.nc"


@pytest.fixture
def own(finished, tmp_path):
    """A copy of the golden run for a test that changes it."""
    return Project(shutil.copytree(finished.path, tmp_path / "project"))


def count(said, rule):
    return said.count(f"(Rule: {rule})")


def said_of(project, *arguments):
    result = project.snakemake(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_packed_runs_have_the_numbers_of_single_ones(own, finished):
    (measured,) = own.path.glob("results/stability/output/digits/cnn/P64/*.nc")
    names = [str(measured.relative_to(own.path)), "results/training/digits/cnn/P64"]
    for made in (measured, *(own.path / names[1]).iterdir()):
        made.unlink()
    said = said_of(own, names[0], "--config", "pack_minutes=0")
    assert (count(said, "pack"), count(said, "train"), count(said, "measure")) == (0, 1, 1)
    for path in (measured, *(own.path / names[1]).glob("*.nc")):
        with xr.open_dataset(path) as one, xr.open_dataset(finished.path / path.relative_to(own.path)) as other:
            xr.testing.assert_equal(one, other)


def test_packed_runs_have_logs_and_times_where_one_looks_for_them(finished):
    for folder, runs in (("training", 6), ("stability", 8)):
        logs = list(finished.path.glob(f"results/logs/{folder}/**/*.log"))
        times = list(finished.path.glob(f"results/benchmarks/{folder}/**/*.tsv"))
        assert len(logs) == len(times) == runs
    for log in finished.path.glob("results/logs/training/**/*.log"):
        assert ("every margin is met" if "one_hidden" in str(log) else "epoch") in log.read_text()
    packs = list(finished.path.glob("results/logs/packs/*.log"))
    assert len(packs) == 2 and all(re.search(r"done: results/training/.* \(2 of", log.read_text()) for log in packs)
    assert not (finished.path / "results/.packs").exists()


def test_only_what_is_missing_is_made_again(own):
    """One measurement by its name; then, with the sweep gone too, by the pack that lacks it alone."""
    project = own
    (gone,) = project.path.glob("results/stability/output/digits/fc/P16/*.nc")
    name = str(gone.relative_to(project.path))
    times = {path: path.stat().st_mtime_ns for path in project.path.glob("results/training/**/*.*")}
    gone.unlink()
    assert project.jobs(CONFIG, name) == {"measure": 1}
    sweep = project.path / "results/sweeps/default.nc"
    whole = sweep.read_bytes()
    sweep.unlink()
    said = said_of(project, SWEEP)
    assert (count(said, "pack"), count(said, "train"), count(said, "measure")) == (1, 0, 0)
    assert gone.exists() and times == {path: path.stat().st_mtime_ns for path in times}
    assert sweep.read_bytes() == whole


def test_a_run_that_fails_holds_up_no_other_and_is_all_that_is_tried_again(own):
    project = own
    for path in project.path.glob("results/[st]*/**/digits/**/*.*"):
        path.unlink()
    (project.path / SWEEP).unlink()
    (log,) = project.path.glob("results/logs/training/digits/fc/P16/*.log")
    digest = log.name.split(".")[-2]
    obstacle = project.path / "results/checkpoints" / digest
    obstacle.parent.mkdir(exist_ok=True)
    obstacle.write_text("a file where a folder should be")
    result = project.snakemake(SWEEP)
    said = result.stdout + result.stderr
    assert result.returncode != 0 and (count(said, "pack"), count(said, "collect")) == (0, 0)
    assert "Failed: 1." in said and "run digits/fc/P16/seeds0-1: " in said
    assert len(list(project.path.glob("results/stability/**/digits/**/*.nc"))) == 3
    obstacle.unlink()
    said = said_of(project, SWEEP)
    assert (count(said, "pack"), count(said, "train"), count(said, "collect")) == (1, 0, 1)
    newest = max(project.path.glob("results/logs/packs/*.log"), key=lambda log: log.stat().st_mtime)
    assert "(1 of 1)" in newest.read_text()


def test_what_is_forced_is_trained_anew_by_jobs_of_its_own(own):
    project = own
    before = {path: path.stat().st_mtime_ns for path in project.path.glob("results/training/digits/**/*.nc")}
    assert project.jobs(CONFIG, SWEEP, "--forcerun", "train") == {"train": 4, "measure": 4, "collect": 1}
    said = said_of(project, SWEEP, "--until", "train", "--forcerun", "train")
    assert (count(said, "pack"), count(said, "train"), count(said, "measure")) == (0, 4, 0)
    assert all(path.stat().st_mtime_ns > time for path, time in before.items())
    for path in project.path.glob("results/logs/training/digits/**/*.log"):
        assert "epoch" in path.read_text()
