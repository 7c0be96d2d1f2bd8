"""`snakemake --profile slurm` on a cluster that keeps accounts, and what those say of its jobs."""

import re
import subprocess

import pytest

from tests.slurm.submitted import ALONE, SMALL, project_with, submitting, sweep, until

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]
FIELDS = "JobID,State,ReqTRES,AllocCPUS,ElapsedRaw,TimelimitRaw"


def accounts(project):
    """A row for each job of the project, from sacct."""
    command = ["sacct", "-a", "-X", "-n", "-P", "--starttime", "now-1hours", "--format", f"WorkDir,{FIELDS}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("|") for line in said.splitlines()]
    return [dict(zip(FIELDS.split(","), fields, strict=True)) for where, *fields in rows if where == str(project.path)]


def test_a_group_asks_for_one_gpu_and_a_cancelled_job_is_tried_again(cluster_with_accounts, tmp_path):
    """One run with two observables: three processes that take turns on one GPU, in one job; then the collection."""
    config = (
        ALONE
        + SMALL.replace("steps: 60", "steps: 6000")
        + sweep([64]).replace("}\n", ", observables: [output, depth]}\n")
    )
    project = project_with(tmp_path / "project", config)
    with submitting(project) as process:
        until(lambda: any(job["State"] == "RUNNING" for job in accounts(project)), process)
        (first,) = accounts(project)
        subprocess.run(["scancel", first["JobID"]], check=True)
        assert process.wait(timeout=300) == 0, (project.path / "said").read_text()
    said = (project.path / "said").read_text()
    assert "SLURM jobs are polled with sacct, as this cluster keeps accounts." in said
    jobs = accounts(project)
    assert sorted(job["State"].split()[0] for job in jobs) == ["CANCELLED", "COMPLETED", "COMPLETED"]
    assert [job["AllocCPUS"] for job in jobs] == ["1", "1", "1"]
    assert [re.findall(r"gres/gpu=(\d+)", job["ReqTRES"]) for job in jobs] == [["1"], ["1"], []]
    assert len(list(project.path.glob("results/stability/*/**/*.nc"))) == 2
    (report,) = project.path.glob("results/logs/efficiency_report_*.csv")
    assert all(job["JobID"] in report.read_text() for job in jobs if job["State"] == "COMPLETED")
