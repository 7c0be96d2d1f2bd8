"""`snakemake --profile slurm` on a real SLURM: what comes home is what a local run makes, and only what is asked runs."""

import re

import pytest

from relative_stability.plan.grid import read_grid
from tests.slurm.conftest import running
from tests.slurm.submitted import ALONE, SMALL, jobs_of, project_with, submit, submitting, sweep

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]


def said_by(result):
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def small(schema, tmp_path_factory):
    """Four runs that are being submitted, of which one cannot work: a file lies where its checkpoints should be."""
    project = project_with(tmp_path_factory.mktemp("small") / "project", ALONE + SMALL + sweep([16, 32], "fc, cnn"))
    measurements = read_grid([project.path / "config/here.yaml"], schema).sweeps[0].measurements
    (run,) = [m.run for m in measurements if (m.run.net, m.run.P) == ("fc", 32)]
    broken = project.path / run.checkpoints
    broken.parent.mkdir(parents=True)
    broken.write_text("a file where a folder should be")
    with running("plain"), submitting(project) as process:
        yield project, process, broken


def test_one_run_that_always_fails_is_named_and_holds_up_no_other(small):
    project, process, _ = small
    assert process.wait(timeout=900) != 0
    jobs, said = jobs_of(project), (project.path / "said").read_text()
    assert sum(job["JobState"] == "FAILED" for job in jobs) == 3  # the attempts of the one
    assert sum(job["JobState"] == "COMPLETED" for job in jobs) == 3
    end = said[said.index("Failed: 1.") :]
    assert "run digits/fc/P32/seeds0: " in end and "lock cannot be written" in end
    (log,) = re.findall(r"^ +(results/logs/\S+)$", end, re.MULTILINE)
    assert "lock cannot be written" in (project.path / log).read_text()
    table = project.status("config/here.yaml")
    assert "3 done, 1 failed of 4 runs" in table and log in table
    assert re.search(r"^digits +fc +done +failed$", table, re.MULTILINE)
    assert "SLURM jobs are polled with squeue, as this cluster keeps no accounts." in said


def test_a_P_added_afterwards_submits_its_own_jobs_alone(small):
    project, process, broken = small
    process.wait(timeout=900)
    broken.unlink(missing_ok=True)
    (project.path / "config/here.yaml").write_text(ALONE + SMALL + sweep([16, 32, 64], "fc, cnn"))
    before = len(jobs_of(project))
    result = submit(project)
    assert result.returncode == 0, said_by(result)
    new = jobs_of(project)[before:]
    assert len(new) == 4  # that of before, two more, collection
    assert all(job["JobState"] == "COMPLETED" for job in new)
    assert "Nothing to be done" in said_by(submit(project)) and len(jobs_of(project)) == before + 4
    assert "6 done of 6 runs" in project.status("config/here.yaml")


def test_what_sbatch_refuses_is_said_with_its_reason(cluster, tmp_path):
    project = project_with(tmp_path / "project", SMALL + sweep([16]))
    result = submit(project, "--default-resources", "slurm_partition=nowhere", "--retries", "0")
    assert result.returncode != 0
    assert "SLURM sbatch failed" in result.stderr and "invalid partition specified: nowhere" in result.stderr
    assert "sbatch call" not in result.stderr
    assert "1 failed of 1 runs" in project.status("config/here.yaml") and not jobs_of(project)
