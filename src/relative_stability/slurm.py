"""What the SLURM profile asks a cluster about itself."""

import shutil
import subprocess
import sys
from functools import cache


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
    if chosen == "squeue":
        _remember_the_age_of_jobs()
    print(f"SLURM jobs are asked after with {chosen}, as {reason}.", file=sys.stderr)
    return chosen


def _remember_the_age_of_jobs() -> None:
    """Ask for MinJobAge once.

    Version 2.8.0 of the executor asks at every look, and where a silent controller gives no answer turns from squeue to
    a sacct that keeps no accounts: it then forgets all jobs, and waits for ever.
    """
    import snakemake_executor_plugin_slurm as executor

    if not hasattr(executor.get_min_job_age, "cache_info"):
        executor.get_min_job_age = cache(executor.get_min_job_age)
    executor.get_min_job_age()


def answers(*command: str) -> bool:
    """Whether a command of SLURM answers within half a minute."""
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
