"""`snakemake --profile slurm` on a real SLURM, with pretended nodes and GPUs on this machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import xarray as xr

from tests.workflow.project import copy_project

CLUSTER = Path(__file__).parent / "cluster.sh"
MISSING = [program for program in ("slurmctld", "slurmd", "munged") if shutil.which(program) is None]

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"no SLURM here: install slurm-wlm and munge (missing: {', '.join(MISSING)})"
    ),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can start a SLURM here"),
]


@pytest.fixture(scope="module")
def cluster():
    started = subprocess.run([CLUSTER, "start"], capture_output=True, text=True)
    assert started.returncode == 0, started.stdout + started.stderr
    yield
    subprocess.run([CLUSTER, "stop"], check=True)
    assert not Path("/etc/slurm/slurm.conf").exists()


def test_a_sweep_goes_through_slurm_and_comes_home_with_the_numbers_of_a_local_run(cluster, finished, tmp_path):
    project = copy_project(tmp_path / "project")
    # This cluster keeps no accounts, so its jobs are asked after with squeue; the first look comes after 3 s, not 40.
    site = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3")
    result = project.snakemake("--profile", "slurm", *site)
    assert result.returncode == 0, result.stdout + result.stderr
    said = result.stdout + result.stderr
    assert said.count("SLURM jobid") >= 12  # six trainings and six measurements
    known = subprocess.run(
        ["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True, check=True
    ).stdout
    asked = [line for line in known.splitlines() if "gres:gpu:1" in line]
    assert len(asked) == 12 and all("JobState=COMPLETED" in line for line in asked)
    for sweep in ("default", "linear"):
        path = f"results/sweeps/{sweep}.nc"
        with xr.open_dataset(finished.path / path) as local, xr.open_dataset(project.path / path) as remote:
            xr.testing.assert_equal(local, remote)
    assert project.jobs() == {}
