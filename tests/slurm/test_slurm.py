"""`snakemake --profile slurm` on a real SLURM: what comes home is what a local run makes, and only what is asked runs."""

import re

import pytest
import xarray as xr

from relative_stability.grid import read_grid
from tests.slurm.submitted import SMALL, jobs_after, last_job, project_with, submit, sweep


def said_by(result):
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def small(cluster, schema, tmp_path_factory):
    """Four runs on the cluster, one of which cannot work: a file lies where its folder of checkpoints should be."""
    project = project_with(tmp_path_factory.mktemp("small") / "project", SMALL + sweep([16, 32], "fc, cnn"))
    (run,) = (
        m.run
        for m in read_grid(project.path / "config/here.yaml", schema).sweeps[0].measurements
        if (m.run.net, m.run.P) == ("fc", 32)
    )
    broken = project.path / run.checkpoints
    broken.parent.mkdir(parents=True)
    broken.write_text("a file where a folder should be")
    before = last_job()
    return project, submit(project), broken, jobs_after(before)


def test_forty_small_runs_share_few_jobs_and_end_with_the_numbers_of_a_local_run(cluster, tmp_path):
    P = [8 * k for k in range(1, 11)]
    config = "pack_minutes: 5\n" + SMALL + sweep(P, "fc, fc2, cnn, lenet", "0-1")
    here, there = project_with(tmp_path / "here", config), project_with(tmp_path / "there", config)
    before = last_job()
    result = submit(there)
    assert result.returncode == 0, said_by(result)
    jobs = jobs_after(before)
    with_gpu = [job for job in jobs if job.get("TresPerJob") == "gres:gpu:1"]
    assert len(with_gpu) == 4 and len(jobs) == 5, jobs  # a pack of ten runs of each net; and the collection
    assert {job["NodeList"] for job in with_gpu} == {"node1", "node2"}
    assert all(job["JobState"] == "COMPLETED" and job["NumCPUs"] == "1" for job in jobs)
    assert re.search(r"^GPU hours +4 ", result.stderr, re.MULTILINE), result.stderr[-2000:]
    assert "40 done of 40 runs" in there.status("config/here.yaml")
    local = here.snakemake(config="config/here.yaml")
    assert local.returncode == 0, said_by(local)
    path = "results/sweeps/default.nc"
    with xr.open_dataset(here.path / path) as one, xr.open_dataset(there.path / path) as other:
        assert one.sizes["P"] == 10 and one.sizes["seed"] == 2
        xr.testing.assert_equal(one, other)


def test_one_run_that_always_fails_is_named_and_holds_up_no_other(small):
    project, result, _, jobs = small
    assert result.returncode != 0
    assert sum(job["JobState"] == "FAILED" for job in jobs) == 3  # the attempts of the one
    assert sum(job["JobState"] == "COMPLETED" for job in jobs) == 3
    end = result.stderr[result.stderr.index("Failed: 1.") :]
    assert "run digits/fc/P32/seeds0: " in end and "lock cannot be written" in end
    (log,) = re.findall(r"^ +(results/logs/\S+)$", end, re.MULTILINE)
    assert "lock cannot be written" in (project.path / log).read_text()
    table = project.status("config/here.yaml")
    assert "3 done, 1 failed of 4 runs" in table and log in table
    assert re.search(r"^digits +fc +done +failed$", table, re.MULTILINE)
    assert "SLURM jobs are asked after with squeue, as this cluster keeps no accounts." in result.stderr


def test_a_P_added_afterwards_submits_its_own_jobs_alone(small):
    project, _, broken, _ = small
    broken.unlink(missing_ok=True)
    (project.path / "config/here.yaml").write_text(SMALL + sweep([16, 32, 64], "fc, cnn"))
    before = last_job()
    result = submit(project)
    assert result.returncode == 0, said_by(result)
    jobs = jobs_after(before)
    assert len(jobs) == 4 and all(
        job["JobState"] == "COMPLETED" for job in jobs
    )  # that of before, two more, collection
    before = last_job()
    assert "Nothing to be done" in said_by(submit(project)) and not jobs_after(before)
    assert "6 done of 6 runs" in project.status("config/here.yaml")
