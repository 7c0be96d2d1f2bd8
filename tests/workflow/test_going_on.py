"""A training that is killed under Snakemake goes on when snakemake is typed again."""

import os
import signal
import time

import pytest
from filelock import SoftFileLease

from relative_stability.core.store import read_attributes
from tests.workflow.project import copy_project

pytestmark = pytest.mark.workflow
CONFIG = """
device: cpu
engine: {checkpoint_minutes: 0.005}
training: {steps: 1200, evaluations: 2, batch_size: 16}
nets: {cnn: {width: 0.5}}
stability: {images: 20, displacement: [1]}
datasets: {digits: {image_size: 12}}
sweeps:
  default: {datasets: [digits], nets: [cnn], P: [256], seeds: 0-1}
"""


def test_a_job_that_is_killed_twice_goes_on_each_time(tmp_path):
    project = copy_project(tmp_path / "project")
    (project.path / "config/slow.yaml").write_text(CONFIG)
    results, said = project.path / "results", project.path / "said"

    def checkpoints():
        """Each is written anew, so that it is another file."""
        return {(path, path.stat().st_ino) for path in results.glob("checkpoints/*/seed*.safetensors")}

    for sign in (signal.SIGTERM, signal.SIGKILL):
        before, running = checkpoints(), project.start(config="config/slow.yaml")
        _until(lambda: checkpoints() - before, running)  # noqa: B023
        (folder,) = results.glob("checkpoints/*")
        os.kill(SoftFileLease(folder / "lock").pid, sign)
        assert running.wait(timeout=900) != 0
        assert checkpoints() and not list(results.glob("training/**/*.nc"))
    assert "stopped by SIGTERM; what was done is kept" in said.read_text()
    again = project.snakemake(config="config/slow.yaml")
    assert again.returncode == 0, again.stdout + again.stderr
    (log,) = results.glob("logs/training/digits/cnn/P256/*.log")
    assert "goes on after" in log.read_text()
    (curves,) = results.glob("training/digits/cnn/P256/*.nc")
    assert read_attributes(curves)["restarts"] == 2
    assert not list(results.glob("checkpoints/*"))
    assert (results / "sweeps/default.nc").exists()


def _until(true, running, timeout=900):
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end and running.poll() is None, "it did not come to pass"
        time.sleep(0.01)
