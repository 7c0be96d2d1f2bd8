import pytest

from relative_stability.jobs import slurm


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH with programs that are given as shell text."""
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm.status_command.cache_clear()

    def add(name, text):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    yield add
    slurm.status_command.cache_clear()


@pytest.mark.parametrize(
    ("sacct", "chosen", "why"),
    [
        ("exit 0", "sacct", "this cluster keeps accounts"),
        ("echo disabled >&2; exit 1", "squeue", "this cluster keeps no accounts"),
        (None, "squeue", "there is no sacct"),
    ],
)
def test_jobs_are_asked_after_with_what_answers(programs, capsys, sacct, chosen, why):
    if sacct is not None:
        programs("sacct", sacct)
    assert slurm.status_command() == slurm.status_command() == chosen
    assert capsys.readouterr().err == f"SLURM jobs are polled with {chosen}, as {why}.\n"  # said once
