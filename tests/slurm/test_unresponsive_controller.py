"""A controller that does not respond for a while."""

import os
import signal
import subprocess

import pytest

from tests.slurm.submitted import (
    ALONE,
    SLOW,
    SMALL,
    checkpoints,
    ended,
    jobs_of,
    project_with,
    submitting,
    sweep,
    until,
)

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]
UNRESPONSIVE = 40  # seconds, in which each command of SLURM gives up four times


def test_an_unresponsive_controller_is_waited_for(cluster_alone, tmp_path):
    """By one sweep whose job runs, and by one whose jobs are about to be submitted; nothing is submitted twice."""
    long = project_with(tmp_path / "long", SLOW + sweep([256]))
    new = project_with(tmp_path / "new", ALONE + SMALL + sweep([16, 32]))
    with submitting(long) as asks:
        until(lambda: jobs_of(long, "RUNNING") and checkpoints(long), asks)
        with submitting(new) as submits:
            until(lambda: "prepare dataset" in (new.path / "said").read_text(), submits)  # seconds before it submits
            try:
                os.kill(cluster_alone, signal.SIGSTOP)
                until(lambda: "SLURM's controller does not respond" in (new.path / "said").read_text(), submits)
                for process in (asks, submits):
                    with pytest.raises(subprocess.TimeoutExpired):
                        process.wait(timeout=UNRESPONSIVE / 2)
            finally:
                os.kill(cluster_alone, signal.SIGCONT)
            ended(long, asks)
            ended(new, submits)
        assert len(jobs_of(long)) == 2  # the run and the collection
        assert len(jobs_of(new)) == 3  # two runs and the collection, each at the first attempt
