import os
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from relative_stability.analysis.claims.page import to_csv
from relative_stability.analysis.claims.verdicts import Row
from relative_stability.core.logs import job_log
from relative_stability.core.store import write_text
from relative_stability.jobs import hooks
from relative_stability.jobs.hooks import BEGUN, LOCKS, begin, declared_gone, end, findings, unlock
from relative_stability.jobs.shared_process import FOLDER, Packs
from relative_stability.jobs.stages import ANEW
from relative_stability.plan.grid import build_grid
from relative_stability.plan.marks import making
from tests.runs import make_runs

CONFIG = """
device: cpu
nets: {fc: {}}
training: {steps: 60}
stability: {images: 20}
datasets: {digits: {image_size: 12}}
sweeps:
  default: {datasets: [digits], nets: [fc], P: [16, 32], seeds: 0-1}
"""


@pytest.fixture
def grid(schema, tmp_path, monkeypatch):
    """Two runs that are there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ANEW, raising=False)
    grid = build_grid(yaml.safe_load(CONFIG), schema)
    make_runs(grid.sweeps[0].measurements)
    for m in grid.sweeps[0].measurements:
        Path(m.run.weights).touch()
    return grid


def packs_of(grid):
    return Packs(grid, none=lambda: False, device=lambda: "cpu")


def test_the_end_names_failures_with_their_logs(grid, capsys):
    since = time.time() - 1
    measurement = grid.sweeps[0].measurements[0]
    Path(measurement.path).unlink()
    with pytest.raises(SystemExit), job_log(measurement.log, "measure"):
        raise RuntimeError("the disk is on fire")
    capsys.readouterr()
    end(packs_of(grid), since)
    said = capsys.readouterr().err
    assert said == (
        "\nFailed: 1. Each log has more.\n"
        f"measurement output/digits/fc/P16/seeds0-1: RuntimeError: the disk is on fire\n    {measurement.log}\n"
    )


def test_runs_of_a_pack_that_did_not_start_are_named(grid, capsys):
    """As where sbatch refuses its job, of which Snakemake leaves an empty log."""
    since, (first, second) = time.time() - 1, grid.sweeps[0].measurements
    Path(first.path).unlink()
    packs = packs_of(grid)
    (mark,) = packs.makers([first.path])
    log = Path(f"results/logs/packs/pack.{Path(mark).name}.log")
    log.parent.mkdir(parents=True)
    log.touch()
    end(packs, since)
    said = capsys.readouterr().err
    assert "Failed: 1." in said and first.log in said and "did not start" in said
    assert not Path(second.log).exists()


def test_empty_logs_of_before_are_cleared(grid):
    """Snakemake leaves one where a job did not start, and does not touch it when that happens again."""
    log, other = Path(grid.sweeps[0].measurements[0].run.log), Path("results/logs/sweeps/default.log")
    for path in (log, other):
        path.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    other.write_text("said something")
    begin(packs_of(grid), [], anew=False)
    assert not log.exists() and other.exists()


def test_packs_of_before_go_and_those_of_now_are_written_down(grid):
    Path(grid.sweeps[0].measurements[0].path).unlink()
    old = Path(FOLDER, "0123456789")
    old.parent.mkdir(parents=True)
    old.touch()
    packs = packs_of(grid)
    (mark,) = packs.makers([grid.sweeps[0].measurements[0].path])
    begin(packs, [], anew=False)
    assert not old.exists() and [file.name for file in old.parent.iterdir()] == [f"{Path(mark).name}.json"]
    assert packs_of(grid).find(Path(mark).name) == packs.find(Path(mark).name)
    end(packs, time.time())
    assert not old.parent.exists()


def test_files_from_the_future_get_the_time_of_now(grid):
    """Snakemake refuses a result that is older than what it was made from."""
    now, future = (Path(m.path) for m in grid.sweeps[0].measurements)
    os.utime(now, (1, 1))
    os.utime(future, (time.time() + 86_400,) * 2)
    begin(packs_of(grid), [now, future, Path("absent")], anew=False)
    assert now.stat().st_mtime == 1 and future.stat().st_mtime <= time.time()


def test_jobs_are_told_what_is_to_be_made_anew(grid, monkeypatch):
    begin(packs_of(grid), [], anew=False)
    assert ANEW not in os.environ
    monkeypatch.setenv(ANEW, "0")  # to be put back
    begin(packs_of(grid), [], anew=True)
    assert time.time() - 60 < float(os.environ[ANEW]) <= time.time()


def test_a_good_end_says_nothing(grid, capsys):
    end(packs_of(grid), time.time() - 1)
    assert capsys.readouterr().err == ""


def test_what_was_found_of_r_is_said_in_a_line_for_each_net(grid):
    numbers = [
        ("R at init, cut 3", 1.234),
        ("R after training at P = 32, cut 3", 0.25),
        ("exponent of R in P, cut 3", -0.5),
    ]
    rows = [Row("x", "default", "digits, fc", what, v, v, v, "", 2, "holds", "") for what, v in numbers]
    rows += [Row("x", "moved", "digits, fc", "R at init, displacement 1", 9.0, 9, 9, "", 2, "holds", "")]
    rows += [Row("x", "default", "digits, lost", "R at init, cut 3", *[float("nan")] * 3, "", 0, "undecided", "")]
    assert findings(grid) == []  # nothing was checked yet
    write_text(grid.claims.path.replace(".md", ".csv"), to_csv(rows))
    assert findings(grid) == []  # what lies there was made for another config
    with making(grid.claims.mark):
        pass
    _, _, line, more = findings(grid)
    assert line == "  digits, fc: R 1.2 at initialisation, 0.25 after training, as P to the power -0.5"
    assert "results/claims.md" in more and "relative-stability measure" in more


def test_a_pack_says_what_it_trains(grid):
    for m in grid.sweeps[0].measurements:
        Path(m.path).unlink()
    packs = packs_of(grid)
    (mark,) = set(packs.makers([m.path for m in grid.sweeps[0].measurements]))
    assert packs.find(Path(mark).name).what == "fc on digits, 2 values of P"


@pytest.fixture
def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def begun(*names):
    for name in names:
        write_text(BEGUN / name, "")


def test_the_lock_of_a_snakemake_that_is_gone_is_taken(tmp_path, monkeypatch, gone):
    monkeypatch.chdir(tmp_path)
    here = os.uname().nodename

    def lock():
        write_text(LOCKS / "0.output.lock", "results/claims.md")

    lock()
    assert unlock() == ""  # nobody knows whose it is
    for other in (f"elsewhere.{gone}", f"{here}.{os.getppid()}"):
        begun(f"{here}.{gone}", other)
        assert unlock() == "" and LOCKS.is_dir()  # it may be that of the other
        (BEGUN / other).unlink()
    said = unlock()
    assert said == f"This folder was locked by a snakemake that was killed ({here}.{gone}): its lock is taken."
    assert not LOCKS.exists() and unlock() == ""
    lock()
    begun(f"elsewhere.{gone}")
    declared_gone()
    assert unlock() != ""


def test_jobs_in_the_queue_are_cancelled_where_all_that_may_have_submitted_them_are_gone(grid, monkeypatch, gone):
    here, cancelled = os.uname().nodename, []
    monkeypatch.setattr(hooks, "cancel_left_over", lambda folder: cancelled.append(folder) or "cancelled")

    def start(on_slurm=True):
        begin(packs_of(grid), [], anew=False, on_slurm=on_slurm)
        assert (BEGUN / f"{here}.{os.getpid()}").is_file()

    start()
    begun(f"{here}.{gone}", f"{here}.{os.getppid()}")
    start()
    assert not cancelled  # another snakemake works here, on other results
    (BEGUN / f"{here}.{os.getppid()}").unlink()
    start(on_slurm=False)
    assert not cancelled and not (BEGUN / f"{here}.{gone}").exists()
    begun(f"{here}.{gone}")
    start()
    assert cancelled == [str(Path.cwd())]
    end(packs_of(grid), time.time())
    assert not list(BEGUN.iterdir())
