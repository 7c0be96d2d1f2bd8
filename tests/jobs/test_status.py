import json
import os
import time
from pathlib import Path

import pytest
import yaml

from relative_stability.core.errors import Stopped
from relative_stability.core.logs import job_log
from relative_stability.jobs.status import failures, table
from relative_stability.plan.grid import build_grid
from tests import runs

CONFIG = """
nets: {fc: {}, cnn: {}}
training: {steps: 60}
stability: {images: 20}
datasets: {digits: {image_size: 12}}
sweeps:
  default: {datasets: [digits], nets: [fc, cnn], P: [16, 32], seeds: [0-1, 2]}
"""


@pytest.fixture
def grid(schema, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return build_grid(yaml.safe_load(CONFIG), schema)


def make_runs(measurements, fails=lambda run, seed: ""):
    runs.make_runs(measurements, fails)
    for m in measurements:
        Path(m.run.weights).touch()


def measurement(grid, net="fc", P=16, seeds="0-1"):
    (found,) = [m for m in grid.sweeps[0].measurements if (m.run.net, m.run.P, m.run.seeds) == (net, P, seeds)]
    return found


def fail(log, error):
    with pytest.raises(SystemExit), job_log(log, "train"):
        raise error


def row(grid, net):
    (line,) = [line for line in table(grid.sweeps[0]).splitlines() if line.split()[:2] == ["digits", net]]
    return [cell.strip() for cell in line.split("  ") if cell.strip()][2:]


def test_nothing_is_there(grid):
    said = table(grid.sweeps[0])
    assert said.splitlines()[0] == "sweep default: 8 missing of 8 runs"
    assert said.splitlines()[1].split() == ["dataset", "net", "P", "=", "16", "P", "=", "32"]
    assert row(grid, "fc") == row(grid, "cnn") == ["missing", "missing"]


def test_everything_is_there(grid):
    make_runs(grid.sweeps[0].measurements)
    assert table(grid.sweeps[0]).splitlines()[0] == "sweep default: 8 done of 8 runs"
    assert row(grid, "fc") == ["done", "done"]


def test_ranges_of_seeds_are_counted(grid):
    make_runs([measurement(grid, seeds="2")])
    assert row(grid, "fc") == ["1 done, 1 missing", "missing"]


def test_seeds_that_diverged_or_collapsed_are_named(grid):
    make_runs(
        grid.sweeps[0].measurements,
        lambda run, seed: {("fc", 32, 1): "diverged", ("cnn", 16, 2): "collapsed"}.get((run.net, run.P, seed), ""),
    )
    said = table(grid.sweeps[0])
    assert row(grid, "fc") == ["done", "1 done, 1 diverged"] and row(grid, "cnn") == ["1 done, 1 collapsed", "done"]
    assert (
        "diverged: digits/fc/P32/seeds0-1: seeds 1\n" in said and "collapsed: digits/cnn/P16/seeds2: seeds 2\n" in said
    )


def test_a_failure_has_its_last_words_and_its_log(grid):
    run = measurement(grid).run
    fail(run.log, RuntimeError("the disk is on fire"))
    assert row(grid, "fc") == ["1 failed, 1 missing", "missing"]
    assert f"failed: {run.place}: RuntimeError: the disk is on fire\n    {run.log}" in table(grid.sweeps[0])
    (found,) = failures(grid, 0)
    assert found == (f"run {run.place}", "RuntimeError: the disk is on fire", run.log)
    assert failures(grid, time.time() + 10) == []  # since later


def test_a_failed_measurement_of_a_run_that_is_there(grid):
    make_runs([m := measurement(grid)])
    Path(m.path).unlink()
    fail(m.log, ValueError("no"))
    assert row(grid, "fc")[0] == "1 failed, 1 missing" and m.log in table(grid.sweeps[0])


def test_a_job_that_was_killed_without_a_word(grid):
    run = measurement(grid).run
    with job_log(run.log, "train"):
        words = Path(run.log).read_text()
    Path(run.log).write_text(words)  # as it was before its end
    assert row(grid, "fc")[0] == "1 running, 1 missing"  # it has said something just now
    os.utime(run.log, (0, 0))
    assert row(grid, "fc")[0] == "1 failed, 1 missing" and "ended without a word" in table(grid.sweeps[0])


def test_a_held_lock_is_a_run_that_runs(grid, tmp_path):
    run = measurement(grid).run
    (tmp_path / run.checkpoints).mkdir(parents=True)
    (tmp_path / run.checkpoints / "lock").write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    fail(run.log, RuntimeError("an attempt before"))
    assert row(grid, "fc")[0] == "1 running, 1 missing"


def test_other_jobs_fail_too(grid):
    fail("results/logs/sweeps/default.log", RuntimeError("no"))
    assert [(f.what, f.reason) for f in failures(grid, 0)] == [("logs/sweeps/default", "RuntimeError: no")]


def test_a_run_that_was_asked_to_leave_goes_on_and_has_not_failed(grid):
    fail(measurement(grid).run.log, Stopped("SIGUSR1"))
    said = table(grid.sweeps[0])
    assert said.splitlines()[0] == "sweep default: 8 missing of 8 runs"
    assert "stopped by SIGUSR1; what was done is kept, and the next start goes on from there" in said


def test_results_that_were_removed_are_missing_and_were_not_killed(grid):
    with job_log(measurement(grid).run.log, "train"):
        pass
    os.utime(measurement(grid).run.log, (0, 0))
    assert table(grid.sweeps[0]).splitlines()[0] == "sweep default: 8 missing of 8 runs"


def test_one_damaged_file_does_not_take_the_table_with_it(grid):
    make_runs(grid.sweeps[0].measurements)
    Path(measurement(grid).run.curves).write_text("damaged")
    said = table(grid.sweeps[0])
    assert said.splitlines()[0] == "sweep default: 7 done, 1 failed of 8 runs"
    assert "is not a complete result file" in said
