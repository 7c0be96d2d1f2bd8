import time
from pathlib import Path

import pytest
import torch
import yaml

from relative_stability.core.logs import job_log
from relative_stability.core.store import write_tensors
from relative_stability.jobs.finished import keep
from relative_stability.jobs.hooks import begin, end, put_back
from relative_stability.plan.grid import build_grid
from relative_stability.plan.runs import FINISHED
from tests.runs import make_runs

CONFIG = """
nets: {fc: {}}
training: {steps: 60}
stability: {images: 20}
datasets: {digits: {image_size: 12}}
sweeps:
  default: {datasets: [digits], nets: [fc], P: [16, 32], seeds: 0-1}
"""


@pytest.fixture
def grid(schema, tmp_path, monkeypatch):
    """Two runs that are there, and have second names."""
    monkeypatch.chdir(tmp_path)
    grid = build_grid(yaml.safe_load(CONFIG), schema)
    make_runs(grid.sweeps[0].measurements)
    for m in grid.sweeps[0].measurements:
        write_tensors(m.run.weights, {"w": torch.ones(2)}, {"digest": m.run.digest})
        keep([*m.run.files, m.path], FINISHED)
    return grid


def test_what_a_failed_group_lost_is_put_back(grid):
    for m in grid.sweeps[0].measurements:
        for file in (*m.run.files, m.path):
            Path(file).unlink()
    put_back(grid)
    assert all(Path(file).is_file() for m in grid.sweeps[0].measurements for file in (*m.run.files, m.path))


def test_the_end_names_failures_with_their_logs(grid, tmp_path, capsys):
    since = time.time() - 1
    measurement = grid.sweeps[0].measurements[0]
    Path(measurement.path).unlink()
    (tmp_path / FINISHED / f"{measurement.digest}.nc").unlink()
    with pytest.raises(SystemExit), job_log(measurement.log, "measure"):
        raise RuntimeError("the disk is on fire")
    (tmp_path / "snakemake.log").write_text("SLURM run ID: abc\n")
    capsys.readouterr()
    end(grid, since, ["snakemake.log"])
    said = capsys.readouterr().err
    assert said == (
        "\nFailed: 1. Each log has more.\n"
        f"measurement output/digits/fc/P16/seeds0-1: RuntimeError: the disk is on fire\n    {measurement.log}\n"
    )


def test_empty_logs_of_before_are_cleared(grid, tmp_path):
    """Snakemake leaves one where a job did not start, and does not touch it when that happens again."""
    run = grid.sweeps[0].measurements[0].run
    for file in run.files:
        Path(file).unlink()
        (tmp_path / FINISHED / f"{run.digest}{Path(file).suffix}").unlink()
    log, other = Path(run.log), Path("results/logs/sweeps/default.log")
    for path in (log, other):
        path.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    other.write_text("said something")
    begin()
    assert not log.exists() and other.exists()


def test_a_good_end_says_nothing(grid, capsys):
    end(grid, time.time() - 1, [])
    assert capsys.readouterr().err == ""
