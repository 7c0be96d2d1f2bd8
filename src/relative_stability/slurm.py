"""What the SLURM profile asks a cluster about itself."""

import shutil
import subprocess
import sys
from functools import cache, wraps
from typing import Any


@cache
def status_command() -> str:
    """How to ask after jobs: sacct, or squeue where no accounts are kept; the choice is said on stderr.

    Snakemake's own choice is sacct wherever that program is installed, and waits for ever if it knows nothing.
    """
    chosen, reason = "squeue", "this cluster keeps no accounts"
    if shutil.which("sacct") is None:
        reason = "there is no sacct"
    elif answers("sacct", "--noheader", "--allocations", "--name", "none"):
        chosen, reason = "sacct", "this cluster keeps accounts"
    _mend_the_executor()
    print(f"SLURM jobs are asked after with {chosen}, as {reason}.", file=sys.stderr)
    return chosen


def _mend_the_executor() -> None:
    """Two faults of version 2.8.0 of the executor, after which it waits for ever.

    MinJobAge is asked for at every look, and where a silent controller gives no answer it turns from squeue to a sacct
    that keeps no accounts, and forgets all jobs: here it is asked for once. And "CANCELLED by 1000", as sacct says it,
    is no state that it knows, so that the job counts as running: here a state is its first word.
    """
    import snakemake_executor_plugin_slurm as executor

    if hasattr(executor.query_job_status, "__wrapped__"):
        return
    executor.get_min_job_age = cache(executor.get_min_job_age)
    executor.get_min_job_age()
    asked = executor.query_job_status

    @wraps(asked)
    async def by_first_word(command: str, logger: Any) -> tuple[dict[str, str] | None, float | None]:
        states, seconds = await asked(command, logger)
        return states and {job: state.partition(" ")[0] for job, state in states.items()}, seconds

    executor.query_job_status = by_first_word


def answers(*command: str) -> bool:
    """Whether a command of SLURM answers within half a minute."""
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
