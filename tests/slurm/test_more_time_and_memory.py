"""A job that runs out of time or memory is tried again with more."""

import re

import pytest

from relative_stability.core.store import read_attributes
from tests.slurm.submitted import SLOW, checkpoints, curves, jobs_of, log_of, project_with, submit, sweep, trained

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]


def test_a_job_that_is_out_of_time_or_memory_is_tried_again_with_more(cluster, tmp_path):
    """One net needs more than the minute of its first attempt, the other more memory than its first attempt gets."""
    config = SLOW.replace("steps: 800", "steps: 1600") + sweep([256], "cnn, fc")
    project = project_with(tmp_path / "project", config)
    asked = (
        "train:runtime=(1 if attempt == 1 else 10) if wildcards.net == 'cnn' else 15",
        "train:mem_mb=100 if wildcards.net == 'fc' and attempt == 1 else 2000",
        "measure:runtime=0",
        "measure:mem_mb=100",
    )
    # SLURM looks every half minute, and sends the signal up to half a minute early: here after 25 to 55 s of 80.
    result = submit(project, "--set-resources", *asked, "--default-resources", "slurm_extra='--signal=USR1@5'")
    assert result.returncode == 0, result.stdout + result.stderr
    assert {job["TimeLimit"] for job in trained(jobs_of(project))} == {"00:01:00", "00:10:00", "00:15:00"}
    memory = [job["MinMemoryNode"] for job in jobs_of(project) if job["TimeLimit"] == "00:15:00"]
    assert memory == ["100M", "2000M"]
    slow = log_of(project, "cnn", 256)
    steps = int(re.search(r"goes on after (\d+) of 1600 steps", slow)[1])
    assert 0 <= steps < 1600  # none where the machine is so busy that the first minute goes by in imports
    epochs = [int(epoch) for epoch in re.findall(r"epoch (\d+) of 100", slow)]
    assert epochs == sorted(epochs) and epochs[0] > steps / 16  # where it was, and further
    restarts = {path.parts[-3]: read_attributes(path)["restarts"] for path in curves(project)}
    assert restarts["cnn"] >= 1
    assert not checkpoints(project)
