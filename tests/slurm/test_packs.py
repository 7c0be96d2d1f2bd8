"""Small runs that share jobs."""

import pytest

from relative_stability.core.store import open_dataset
from tests.slurm.submitted import SMALL, jobs_of, project_with, submit, sweep, trained

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]


def test_forty_small_runs_share_few_jobs_and_end_with_the_numbers_of_a_local_run(cluster, tmp_path):
    P = [8 * k for k in range(1, 11)]
    config = "pack_minutes: 5\n" + SMALL + sweep(P, "fc, fc2, cnn, lenet", "0-1")
    here, there = project_with(tmp_path / "here", config), project_with(tmp_path / "there", config, "quiet")
    result = submit(there)
    assert result.returncode == 0, result.stdout + result.stderr
    jobs = jobs_of(there)
    assert len(trained(jobs)) == 2 and len(jobs) == 3, jobs  # packs of 32 runs and of 8; and the collection
    assert {job["NodeList"] for job in trained(jobs)} <= {"node3", "node4"}
    assert all(job["JobState"] == "COMPLETED" and job["NumCPUs"] == "1" for job in jobs)
    assert "40 done of 40 runs" in there.status("config/here.yaml")
    local = here.snakemake("results/sweeps/default.nc", config="config/here.yaml")
    assert local.returncode == 0, local.stdout + local.stderr
    for one in here.path.glob("results/[st]*/**/*.nc"):
        assert open_dataset(one).equals(open_dataset(there.path / one.relative_to(here.path)))
