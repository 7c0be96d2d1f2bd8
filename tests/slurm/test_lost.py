"""Jobs that are requeued, cancelled, or lost with their node."""

import subprocess

import pytest

from relative_stability.core.store import read_attributes
from tests.slurm.submitted import (
    SLOW,
    checkpoints,
    curves,
    ended,
    jobs_of,
    project_with,
    scontrol,
    submitting,
    sweep,
    until,
)

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]


def held_back(project):
    """Jobs that SLURM lets wait for two minutes after it has requeued them; each is told to start now."""
    waiting = [job["JobId"] for job in jobs_of(project, "PENDING")]
    for job in waiting:
        subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], capture_output=True, timeout=60)
    return waiting


def test_requeued_cancelled_and_lost_with_its_node(cluster, tmp_path):
    project = project_with(tmp_path / "project", SLOW + sweep([128, 256, 512]), "unreliable")
    with submitting(project) as process:
        until(lambda: len(checkpoints(project)) == 3 and len(jobs_of(project, "RUNNING")) == 3, process)
        one, two, three = sorted(jobs_of(project, "RUNNING"), key=lambda job: job["NodeList"])
        scontrol("requeue", one["JobId"])
        subprocess.run(["scancel", two["JobId"]], check=True)
        try:
            scontrol("update", f"nodename={three['NodeList']}", "state=down", "reason=test")
            until(lambda: three["JobId"] not in {job["JobId"] for job in jobs_of(project, "RUNNING")}, process)
        finally:
            resume = ["scontrol", "update", f"nodename={three['NodeList']}", "state=resume"]
            subprocess.run(resume, capture_output=True)  # refused where the node has come back by itself
        until(lambda: len(jobs_of(project)) >= 4 and not held_back(project), process)
        ended(project, process)
        # Whatever SLURM has requeued, nothing is in its queue beside what Snakemake has submitted again.
        assert not jobs_of(project, "PENDING", "RUNNING")
    assert [read_attributes(path)["restarts"] for path in curves(project)] == [1, 1, 1]
    assert not checkpoints(project) and (project.path / "results/sweeps/default.nc").exists()
