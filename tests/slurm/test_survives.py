"""What a cluster does to jobs, done to real ones: each sweep ends whole, and no training is done twice."""

import re
import signal
import subprocess

import pytest

from relative_stability.core.store import read_attributes
from tests.slurm.submitted import (
    ALONE,
    IMPATIENT,
    SLOW,
    SMALL,
    jobs_of,
    project_with,
    scontrol,
    submit,
    submitting,
    sweep,
    trained,
    until,
)  # fmt: skip

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]
UNRESPONSIVE = 40  # seconds, in which each command of SLURM gives up four times


def curves(project):
    return sorted(project.path.glob("results/training/**/*.nc"))


def checkpoints(project):
    """Folders of trainings that have left something to go on from."""
    return {path.parent for path in project.path.glob("results/checkpoints/*/*.safetensors")}


def ended(project, process, seconds=900):
    code = process.wait(timeout=seconds)
    assert code == 0, (project.path / "said").read_text()


def held_back(project):
    """Jobs that SLURM lets wait for two minutes after it has requeued them; each is told to start now."""
    waiting = [job["JobId"] for job in jobs_of(project, "PENDING")]
    for job in waiting:
        subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], capture_output=True, timeout=60)
    return waiting


def log_of(project, net, P):
    (log,) = project.path.glob(f"results/logs/training/digits/{net}/P{P}/*.log")
    return log.read_text()


@pytest.mark.xdist_group("more")
def test_a_job_that_is_out_of_time_or_memory_is_tried_again_with_more(cluster, tmp_path):
    """One net needs more than the minute of its first attempt, the other more memory than its first attempt gets."""
    config = SLOW.replace("15000", "30000") + sweep([256], "cnn, fc")
    project = project_with(tmp_path / "project", config)
    asked = (
        "train:runtime=(1 if attempt == 1 else 10) if wildcards.net == 'cnn' else 15",
        "train:mem_mb=100 if wildcards.net == 'fc' and attempt == 1 else 2000",
        "measure:runtime=0",
        "measure:mem_mb=100",
    )
    # SLURM looks every half minute, and sends the signal up to half a minute early: here after 25 to 55 s.
    result = submit(project, "--set-resources", *asked, "--default-resources", "slurm_extra='--signal=USR1@5'")
    assert result.returncode == 0, result.stdout + result.stderr
    assert {job["TimeLimit"] for job in trained(jobs_of(project))} == {"00:01:00", "00:10:00", "00:15:00"}
    memory = [job["MinMemoryNode"] for job in jobs_of(project) if job["TimeLimit"] == "00:15:00"]
    assert memory == ["100M", "2000M"]
    slow = log_of(project, "cnn", 256)
    steps = int(re.search(r"goes on after (\d+) of 30000 steps", slow)[1])
    assert 0 < steps < 30000
    epochs = [int(epoch) for epoch in re.findall(r"epoch (\d+) of 1875", slow)]
    assert epochs == sorted(epochs) and epochs[0] > steps / 16  # where it was, and further
    restarts = {path.parts[-3]: read_attributes(path)["restarts"] for path in curves(project)}
    assert restarts["cnn"] >= 1
    assert not checkpoints(project)


@pytest.mark.xdist_group("lost")
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
    assert [read_attributes(path)["restarts"] for path in curves(project)] == [1, 1, 1]
    assert not checkpoints(project) and (project.path / "results/sweeps/default.nc").exists()


@pytest.mark.xdist_group("killed")
def test_a_submitter_that_was_killed_is_started_again(cluster, tmp_path):
    """It submits what runs a second time: the second job waits for the first, and takes what that has made."""
    project = project_with(tmp_path / "project", SLOW.replace("15000", "30000") + sweep([256]))
    process = project.start("--profile", "slurm", *IMPATIENT, config="config/here.yaml")
    until(lambda: checkpoints(project), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert project.snakemake("--unlock", config="config/here.yaml").returncode == 0
    with submitting(project) as again:
        ended(project, again)
    assert [job["JobState"] for job in trained(jobs_of(project))] == ["COMPLETED", "COMPLETED"]
    (path,) = curves(project)
    assert read_attributes(path)["restarts"] == 0  # trained once, by the first job
    said = log_of(project, "cnn", 256)
    assert "waits: this run is being trained by process" in said and "taken as another process" in said
    assert "1 done of 1 runs" in project.status("config/here.yaml")


@pytest.mark.xdist_group("left over")
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
    made = {path: path.stat().st_mtime_ns for path in project.path.glob("results/[st]*/**/*.*")}
    scontrol("release", left["JobId"])
    until(lambda: jobs_of(project, "COMPLETED"), None)
    assert len(made) == 4 and made == {path: path.stat().st_mtime_ns for path in made}
    assert "taken as another process has finished it" in log_of(project, "cnn", 64)


@pytest.mark.xdist_group("unresponsive")
def test_an_unresponsive_controller_is_waited_for(cluster_alone, tmp_path):
    """By one sweep whose job runs, and by one whose jobs are about to be submitted; nothing is submitted twice."""
    long = project_with(tmp_path / "long", SLOW + sweep([256]))
    new = project_with(tmp_path / "new", ALONE + SMALL + sweep([16, 32]))
    with submitting(long) as asks, submitting(new) as submits:
        until(lambda: jobs_of(long, "RUNNING") and checkpoints(long), asks)
        until(lambda: "prepare dataset" in (new.path / "said").read_text(), submits)  # seconds before it submits
        try:
            subprocess.run(["pkill", "-STOP", "slurmctld"], check=True)
            until(lambda: "SLURM's controller does not respond" in (new.path / "said").read_text(), submits)
            for process in (asks, submits):
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=UNRESPONSIVE / 2)
        finally:
            subprocess.run(["pkill", "-CONT", "slurmctld"], check=True)
        ended(long, asks)
        ended(new, submits)
        assert len(jobs_of(long)) == 2  # the run and the collection
        assert len(jobs_of(new)) == 3  # two runs and the collection, each at the first attempt
