"""What a cluster does to jobs, done to real ones: each sweep ends whole, and no training is done twice."""

import os
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
    jobs_after,
    last_job,
    project_with,
    scontrol,
    submit,
    submitting,
    sweep,
    until,
)  # fmt: skip

SECONDS = int(os.environ.get("RELATIVE_STABILITY_SILENCE", "0"))


def curves(project):
    return sorted(project.path.glob("results/training/**/*.nc"))


def checkpoints(project):
    """Folders of trainings that have left something to go on from."""
    return {path.parent for path in project.path.glob("results/checkpoints/*/*.safetensors")}


def ended(project, running, seconds=300):
    code = running.wait(timeout=seconds)
    assert code == 0, (project.path / "said").read_text()


def running(before):
    return [job for job in jobs_after(before) if job["JobState"] == "RUNNING"]


def held_back(before):
    """Jobs that SLURM lets wait for two minutes after it has requeued them; each is told to start now."""
    waiting = [job["JobId"] for job in jobs_after(before) if job["JobState"] == "PENDING"]
    for job in waiting:
        subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], capture_output=True, timeout=60)
    return waiting


def silence(process):
    """The controller says nothing for a while, which snakemake outlives."""
    try:
        subprocess.run(["pkill", "-STOP", "slurmctld"], check=True)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=SECONDS)
    finally:
        subprocess.run(["pkill", "-CONT", "slurmctld"], check=True)


def log_of(project, net, P):
    (log,) = project.path.glob(f"results/logs/training/digits/{net}/P{P}/*.log")
    return log.read_text()


def test_a_job_that_is_out_of_time_or_memory_is_tried_again_with_more(cluster, tmp_path):
    """One net needs more than the minute of its first attempt, the other more memory than its first attempt gets."""
    config = SLOW.replace("15000", "30000") + sweep([256], "cnn, fc")
    project = project_with(tmp_path / "project", config)
    asked = (
        "train:runtime=1 * attempt if wildcards.net == 'cnn' else 5",
        "train:mem_mb=100 if wildcards.net == 'fc' and attempt == 1 else 2000",
        "measure:runtime=0",
        "measure:mem_mb=100",
    )
    before = last_job()
    # SLURM looks every half minute, and sends the signal up to half a minute early: here after 25 to 55 s.
    result = submit(project, "--set-resources", *asked, "--default-resources", "slurm_extra='--signal=USR1@5'")
    assert result.returncode == 0, result.stdout + result.stderr
    limits = {job["TimeLimit"] for job in jobs_after(before) if job.get("TresPerJob") == "gres:gpu:1"}
    assert limits >= {"00:01:00", "00:02:00", "00:05:00"}  # and 3 minutes, where the signal came a minute early twice
    memory = [job["MinMemoryNode"] for job in jobs_after(before) if job["TimeLimit"] == "00:05:00"]
    assert memory == ["100M", "2000M"]
    slow = log_of(project, "cnn", 256)
    steps = int(re.search(r"goes on after (\d+) of 30000 steps", slow)[1])
    assert 0 < steps < 30000
    epochs = [int(epoch) for epoch in re.findall(r"epoch (\d+) of 1875", slow)]
    assert epochs == sorted(epochs) and epochs[0] > steps / 16  # where it was, and further
    restarts = {path.parts[-3]: read_attributes(path)["restarts"] for path in curves(project)}
    assert restarts["cnn"] >= 1
    assert not checkpoints(project)


def test_requeued_cancelled_and_lost_with_its_node(cluster, tmp_path):
    project = project_with(tmp_path / "project", SLOW + sweep([128, 256, 512]))
    before = last_job()
    with submitting(project) as process:
        until(lambda: len(checkpoints(project)) == 3 and len(running(before)) == 3, process)
        one, two, three = sorted(running(before), key=lambda job: job["NodeList"])
        scontrol("requeue", one["JobId"])
        subprocess.run(["scancel", two["JobId"]], check=True)
        try:
            scontrol("update", f"nodename={three['NodeList']}", "state=down", "reason=test")
            until(lambda: three["JobId"] not in {job["JobId"] for job in running(before)}, process)
        finally:
            resume = ["scontrol", "update", f"nodename={three['NodeList']}", "state=resume"]
            subprocess.run(resume, capture_output=True)  # refused where the node has come back by itself
        until(lambda: len(jobs_after(before)) >= 4 and not held_back(before), process)
        ended(project, process)
    assert [read_attributes(path)["restarts"] for path in curves(project)] == [1, 1, 1]
    assert not checkpoints(project) and (project.path / "results/sweeps/default.nc").exists()


def test_a_submitter_that_was_killed_is_started_again(cluster, tmp_path):
    """It submits what runs a second time: the second job waits for the first, and takes what that has made."""
    project = project_with(tmp_path / "project", SLOW.replace("15000", "30000") + sweep([128, 256]))
    before = last_job()
    process = project.start("--profile", "slurm", *IMPATIENT, config="config/here.yaml")
    until(lambda: len(checkpoints(project)) == 2, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert project.snakemake("--unlock", config="config/here.yaml").returncode == 0
    with submitting(project) as again:
        ended(project, again)
    with_gpu = [job for job in jobs_after(before) if job.get("TresPerJob") == "gres:gpu:1"]
    assert len(with_gpu) == 4 and all(job["JobState"] == "COMPLETED" for job in with_gpu)
    for path in curves(project):
        assert read_attributes(path)["restarts"] == 0  # trained once, by the first job
        said = log_of(project, "cnn", int(path.parts[-2][1:]))
        assert "waits: this run is being trained by process" in said and "taken as another process" in said
    assert "2 done of 2 runs" in project.status("config/here.yaml")


def test_a_job_left_over_from_a_killed_submitter_touches_nothing(cluster, tmp_path):
    """Held back until another snakemake has made all of it, it starts late and finds everything whole."""
    project = project_with(tmp_path / "project", ALONE + SMALL + sweep([64]))
    before = last_job()
    subprocess.run(["scontrol", "update", "nodename=node[1-2]", "state=drain", "reason=test"], check=True)
    process = project.start("--profile", "slurm", *IMPATIENT, config="config/here.yaml")
    until(lambda: jobs_after(before), process)
    (left,) = jobs_after(before)
    scontrol("hold", left["JobId"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    scontrol("update", "nodename=node[1-2]", "state=resume")
    assert project.snakemake("--unlock", config="config/here.yaml").returncode == 0
    local = project.snakemake("results/sweeps/default.nc", config="config/here.yaml")
    assert local.returncode == 0, local.stdout + local.stderr
    made = {path: path.stat().st_mtime_ns for path in project.path.glob("results/[st]*/**/*.*")}
    scontrol("release", left["JobId"])
    until(lambda: [job["JobState"] for job in jobs_after(before)] == ["COMPLETED"], None, seconds=180)
    assert len(made) == 4 and made == {path: path.stat().st_mtime_ns for path in made}
    assert "taken as another process has finished it" in log_of(project, "cnn", 64)


@pytest.mark.skipif(not SECONDS, reason="takes minutes: set RELATIVE_STABILITY_SILENCE to 40 seconds, say")
def test_an_unresponsive_controller_is_waited_for(cluster, tmp_path):
    project = project_with(tmp_path / "project", ALONE + SMALL.replace("steps: 60", "steps: 10000") + sweep([256]))
    before = last_job()
    with submitting(project) as process:
        log = "results/logs/training/digits/cnn/P256/*.log"
        until(lambda: any("epoch" in path.read_text() for path in project.path.glob(log)), process)
        silence(process)
        ended(project, process)
    assert len(jobs_after(before)) == 2  # the run and the collection: nothing was submitted twice


@pytest.mark.skipif(not SECONDS, reason="takes minutes: set RELATIVE_STABILITY_SILENCE to 40 seconds, say")
def test_what_is_to_be_submitted_waits_for_an_unresponsive_controller(cluster, tmp_path):
    project = project_with(tmp_path / "project", ALONE + SMALL + sweep([16, 32]))
    before = last_job()
    with submitting(project) as process:
        until(lambda: "prepare dataset" in (project.path / "said").read_text(), process)
        silence(process)
        ended(project, process)
    assert "SLURM's controller does not respond" in (project.path / "said").read_text()
    assert len(jobs_after(before)) == 3  # two runs and the collection, each at the first attempt
