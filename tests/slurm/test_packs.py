"""Small runs that share jobs, and nets that are given."""

import pytest
import torch

import relative_stability as rs
from relative_stability.core.store import open_dataset
from tests.slurm.submitted import SMALL, jobs_of, project_with, submit, sweep, trained

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]
CNN = "relative_stability:build_net('cnn', 1, 10, 12, width=0.5)"
GIVEN = """  zoo: {datasets: [digits], nets: [given], training: none, observables: [output, depth]}
"""


def test_forty_small_runs_share_few_jobs_and_end_with_the_numbers_of_a_local_run(cluster, tmp_path):
    P = [8 * k for k in range(1, 11)]
    nets = SMALL.replace("lenet: {}", f'lenet: {{}}, given: {{architecture: "{CNN}", weights: given.pth}}')
    config = "pack_minutes: 5\n" + nets + sweep(P, "fc, fc2, cnn, lenet", "0-1") + GIVEN
    here, there = project_with(tmp_path / "here", config), project_with(tmp_path / "there", config, "quiet")
    for project in (here, there):
        torch.save(rs.build_net("cnn", 1, 10, 12, width=0.5, seed=0).state_dict(), project.path / "given.pth")
    result = submit(there)
    assert result.returncode == 0, result.stdout + result.stderr
    jobs = jobs_of(there)
    assert len(trained(jobs)) == 2 and len(jobs) == 4, jobs  # packs of 32 runs and of 9; and two collections
    assert {job["NodeList"] for job in trained(jobs)} <= {"node3", "node4"}
    assert all(job["JobState"] == "COMPLETED" and job["NumCPUs"] == "1" for job in jobs)
    status = there.status("config/here.yaml")
    assert "40 done of 40 runs" in status and "sweep zoo: 1 done of 1 runs" in status
    sweeps = ("results/sweeps/default.nc", "results/sweeps/zoo.nc")
    local = here.snakemake(*sweeps, config="config/here.yaml")
    assert local.returncode == 0, local.stdout + local.stderr
    made = list(here.path.glob("results/[st]*/**/*.nc"))
    assert len(made) == 40 + 40 + 1 + 2 + 2
    for one in made:
        assert open_dataset(one).equals(open_dataset(there.path / one.relative_to(here.path)))
