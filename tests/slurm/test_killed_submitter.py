"""Snakemake is killed while its jobs are in the queue."""

import signal

import pytest

from relative_stability.core.store import read_attributes
from tests.slurm.submitted import (
    ALONE,
    IMPATIENT,
    SLOW,
    SMALL,
    checkpoints,
    curves,
    ended,
    jobs_of,
    log_of,
    project_with,
    scontrol,
    submitting,
    sweep,
    trained,
    until,
)

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]


def test_a_submitter_that_was_killed_is_started_again(cluster, tmp_path):
    """It takes the lock, cancels what the killed one has left in the queue, and goes on from there."""
    project = project_with(tmp_path / "project", SLOW + sweep([256]))
    process = project.start("--profile", "slurm", *IMPATIENT, config="config/here.yaml")
    until(lambda: checkpoints(project), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with submitting(project) as again:
        ended(project, again)
    assert [job["JobState"] for job in trained(jobs_of(project))] == ["CANCELLED", "COMPLETED"]
    (path,) = curves(project)
    assert read_attributes(path)["restarts"] == 1
    said = (project.path / "said").read_text()
    assert "locked by a snakemake that was killed" in said and "its lock is taken" in said
    assert "1 job of an earlier snakemake, which was killed, cancelled" in said
    assert "1 done of 1 runs" in project.status("config/here.yaml")


def test_a_job_left_over_from_a_killed_submitter_touches_nothing(cluster, tmp_path):
    """Held back until another snakemake has made all of it, it starts late and finds everything whole."""
    project = project_with(tmp_path / "project", ALONE + SMALL + sweep([64]), "drained")
    scontrol("update", "nodename=node7", "state=drain", "reason=test")
    process = project.start("--profile", "slurm", *IMPATIENT, config="config/here.yaml")
    until(lambda: jobs_of(project), process)
    (left,) = jobs_of(project)
    scontrol("hold", left["JobId"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    scontrol("update", "nodename=node7", "state=resume")
    assert project.snakemake("--unlock", config="config/here.yaml").returncode == 0
    local = project.snakemake("results/sweeps/default.nc", config="config/here.yaml")
    assert local.returncode == 0, local.stdout + local.stderr
    # Snakemake gives the outputs of a job a new time at its end; a file that is written anew is another one.
    made = {path: path.stat().st_ino for path in project.path.glob("results/[st]*/**/*.*")}
    scontrol("release", left["JobId"])
    until(lambda: jobs_of(project, "COMPLETED"), None)
    assert len(made) == 4 and made == {path: path.stat().st_ino for path in made}
    assert project.jobs("config/here.yaml", "results/sweeps/default.nc") == {}
    assert "taken as another process has finished it" in log_of(project, "cnn", 64)
