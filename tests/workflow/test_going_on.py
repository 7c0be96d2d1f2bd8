"""A training that is killed under Snakemake goes on when snakemake is typed again."""

import os
import signal
import subprocess
import sys
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


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_killed_job_goes_on(tmp_path, name):
    project = copy_project(tmp_path / "project")
    (project.path / "config/slow.yaml").write_text(CONFIG)
    results = project.path / "results"
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/slow.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(project.path / "src")}
    with (tmp_path / "said").open("w") as said:
        running = subprocess.Popen(command, cwd=project.path, env=environment, stdout=said, stderr=said)
        _until(lambda: list(results.glob("checkpoints/*/seed*.safetensors")), running)
        (folder,) = results.glob("checkpoints/*")
        os.kill(SoftFileLease(folder / "lock").pid, getattr(signal, name))
        assert running.wait(timeout=900) != 0
    assert list(folder.glob("seed*.safetensors")) and not list(results.glob("training/**/*.nc"))
    if name == "SIGTERM":
        assert "stopped by SIGTERM; what was done is kept" in (tmp_path / "said").read_text()
    again = project.snakemake(config="config/slow.yaml")
    assert again.returncode == 0, again.stdout + again.stderr
    (log,) = results.glob("logs/training/digits/cnn/P256/*.log")
    assert "goes on after" in log.read_text()
    (curves,) = results.glob("training/digits/cnn/P256/*.nc")
    assert read_attributes(curves)["restarts"] == 1
    assert not list(results.glob("checkpoints/*"))
    assert (results / "sweeps/default.nc").exists()


def _until(true, running, timeout=900):
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end and running.poll() is None, "it did not come to pass"
        time.sleep(0.01)
