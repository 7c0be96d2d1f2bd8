"""Faults of the SLURM executor 2.8.0 that cost a sweep, each patched where Snakemake looks the function up."""

import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache, wraps
from typing import Any

ENOUGH = 86_400  # seconds, as MinJobAge
NOWHERE = "None assigned"  # where a job runs that waits to be started again, as sacct says it
PATIENCE = 180  # polls of an unresponsive controller, 10 s apart


@cache
def apply_patches() -> None:
    """Patch the executor in this process; once."""
    import snakemake_executor_plugin_slurm as executor

    executor.get_min_job_age = _never_short(executor.get_min_job_age)
    executor.query_job_status = _by_first_word(executor.query_job_status)
    executor.get_submit_command = _without_nowhere(executor.get_submit_command)
    executor.Executor.run_job = _once_it_answers(executor.Executor.run_job)
    executor.Executor.report_job_error = _said_and_cancelled(executor.Executor.report_job_error)


def answers(*command: str) -> bool:
    """Whether a command of SLURM answers within half a minute."""
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def controller_is_unresponsive() -> bool:
    """Whether no controller of the cluster, of which there may be several, is up."""
    try:
        said = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=30, check=False).stdout
    except subprocess.TimeoutExpired:
        return True
    except OSError:
        return False  # the executor says what is missing
    return "DOWN" in said and "UP" not in said


def _never_short(get_min_job_age: Any) -> Callable[[], int]:
    """By MinJobAge the executor turns from squeue, which it was told to use, to sacct, whenever it polls the jobs.

    Where that is short, or an unresponsive controller does not say it, and sacct keeps no accounts, all jobs are
    forgotten and Snakemake waits for ever.
    """

    @wraps(get_min_job_age)
    def patched() -> int:
        return ENOUGH

    return patched


def _by_first_word(query_job_status: Any) -> Any:
    """A state may have more words, as `CANCELLED by 1000` from sacct; by the whole the job would count as running."""

    @wraps(query_job_status)
    async def patched(command: str, logger: Any) -> tuple[Mapping[str, str] | None, float | None]:
        states, seconds = await query_job_status(command, logger)
        return states and {job: state.partition(" ")[0] for job, state in states.items()}, seconds

    return patched


def _without_nowhere(get_submit_command: Any) -> Any:
    """Nodes that failed are left out from then on. Of a requeued job sacct names none, and sbatch refuses all jobs."""

    @wraps(get_submit_command)
    def patched(*args: Any, failed_nodes: Iterable[str] | None = None, **kwargs: Any) -> str:
        command: str = get_submit_command(*args, failed_nodes=set(failed_nodes or ()) - {NOWHERE}, **kwargs)
        return command

    return patched


def _once_it_answers(run_job: Any) -> Any:
    """What is submitted to an unresponsive controller fails, and at once again, until no attempt is left."""

    @wraps(run_job)
    def patched(self: Any, job: Any) -> None:
        for _ in range(PATIENCE):
            if not controller_is_unresponsive():
                break
            self.logger.warning("SLURM's controller does not respond; it is polled again in 10 s.")
            time.sleep(10)
        run_job(self, job)

    return patched


def _said_and_cancelled(report_job_error: Any) -> Any:
    """Why a job could not be submitted, or how it ended: of a group, as our GPU jobs are, Snakemake says nothing.

    And it is cancelled: what was lost with its node SLURM starts again by itself, beside the next attempt of Snakemake.
    """

    @wraps(report_job_error)
    def patched(self: Any, job_info: Any, msg: str | None = None, **kwargs: Any) -> None:
        if job_info.external_jobid is not None:
            with suppress(OSError, subprocess.TimeoutExpired):  # it may well be gone
                subprocess.run(["scancel", str(job_info.external_jobid)], capture_output=True, timeout=30, check=False)
        reason = msg and msg.partition("\n    sbatch call:")[0]
        if reason and job_info.job.is_group():
            self.logger.error(reason)
        report_job_error(self, job_info, msg=reason, **kwargs)

    return patched
