"""What is patched, tried on the executor itself."""

import asyncio
import logging
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as executor

from relative_stability.jobs import slurm_patches
from relative_stability.jobs.slurm_patches import apply_patches


@pytest.fixture(autouse=True)
def patched():
    apply_patches()
    apply_patches()  # once is enough, and twice does no harm


@pytest.mark.parametrize(
    ("said", "states"),
    [("7|CANCELLED by 1000\\n8|RUNNING\\n", {"7": "CANCELLED", "8": "RUNNING"}), ("", {})],
)
def test_a_state_is_its_first_word(said, states):
    """sacct names who cancelled a job; the executor would take that for a job that still runs."""
    found, _ = asyncio.run(executor.query_job_status(f"printf '{said}'", logging.getLogger()))
    assert found == states


def test_a_question_without_an_answer_is_none():
    assert asyncio.run(executor.query_job_status("false", logging.getLogger())) == (None, None)


def test_a_node_that_sacct_does_not_know_is_not_excluded():
    job = SimpleNamespace(resources=SimpleNamespace(get={}.get), threads=1, is_group=lambda: True)
    params = {"run_uuid": "r", "slurm_logfile": "l", "comment_str": "c", "account": "", "partition": "", "workdir": "."}
    assert "--exclude=node1 " in executor.get_submit_command(job, params, failed_nodes={"node1", "None assigned"}) + " "
    assert "--exclude" not in executor.get_submit_command(job, params, failed_nodes={"None assigned"})


def test_squeue_is_asked_whatever_the_controller_says_of_the_age_of_jobs(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert executor.get_min_job_age() > 3600


def test_a_job_is_submitted_once_the_controller_answers(tmp_path, monkeypatch, caplog):
    (tmp_path / "scontrol").write_text(
        "#!/bin/sh\n[ -e answers ] && echo 'controller is UP' || echo 'controller is DOWN'\n"
    )
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    waits = []
    # The module's own clock alone: threads of other tests may be sleeping.
    clock = SimpleNamespace(sleep=lambda s: waits.append(s) or (tmp_path / "answers").touch())
    monkeypatch.setattr(slurm_patches, "time", clock)
    submitted = []
    slurm_patches._once_it_answers(lambda self, job: submitted.append((job, len(waits))))(
        SimpleNamespace(logger=logging.getLogger("executor")), "job"
    )
    assert submitted == [("job", 1)] and "does not respond" in caplog.text


@pytest.mark.parametrize(("group", "said"), [(True, ["sbatch failed: invalid partition"]), (False, [])])
def test_why_a_group_failed_is_said(group, said, caplog):
    reported = []
    fake = SimpleNamespace(
        logger=logging.getLogger("executor"),
        workflow=SimpleNamespace(scheduler=SimpleNamespace(error_callback=reported.append)),
        print_job_error=lambda job_info, msg: reported.append(msg),
    )
    job = SimpleNamespace(is_group=lambda: group)
    message = "sbatch failed: invalid partition\n    sbatch call:\n        sbatch --wrap …"
    job_info = SimpleNamespace(job=job, external_jobid=None)
    executor.Executor.report_job_error(fake, job_info, msg=message)
    assert reported == ["sbatch failed: invalid partition", job]
    assert [record.getMessage() for record in caplog.records] == said


def test_what_is_given_up_is_cancelled_as_slurm_may_have_requeued_it(tmp_path, monkeypatch):
    (tmp_path / "scancel").write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/cancelled"\n')
    (tmp_path / "scancel").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    reported = []
    report = slurm_patches._said_and_cancelled(lambda self, job_info, msg: reported.append(job_info.external_jobid))
    job = SimpleNamespace(is_group=lambda: False)
    for job_id in ("7", None):
        report(None, SimpleNamespace(job=job, external_jobid=job_id))
    assert reported == ["7", None] and (tmp_path / "cancelled").read_text() == "7\n"
    monkeypatch.setenv("PATH", "")
    report(None, SimpleNamespace(job=job, external_jobid="8"))
    assert reported[-1] == "8"
