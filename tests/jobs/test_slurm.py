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


QUEUE = """
echo "11|$HERE|rule_train_wildcards_digits|"
echo "12|/elsewhere|rule_train_wildcards_digits|"
echo "13|$HERE|something of the user|"
echo "14|$HERE|rule_collect|"
"""


def test_jobs_that_a_killed_snakemake_has_left_in_the_queue_are_cancelled(programs, tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", "/project")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    programs("squeue", f"[ -e {tmp_path}/cancelled ] || {{ {QUEUE} }}")
    programs("scancel", f'echo "$@" > {tmp_path}/cancelled')
    said = slurm.cancel_left_over("/project")
    assert said == "2 jobs of an earlier snakemake, which was killed, cancelled: 11, 14; they go on as new ones"
    assert (tmp_path / "cancelled").read_text() == "11 14\n"
    assert slurm.cancel_left_over("/project") == ""
    programs("squeue", "echo no controller >&2; exit 1")
    assert slurm.cancel_left_over("/project") == ""
