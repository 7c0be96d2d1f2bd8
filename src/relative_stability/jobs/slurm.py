"""What is found out about a SLURM cluster, and about jobs of ours that are in its queue."""

import shutil
import subprocess
import sys
import time
from functools import cache

from relative_stability.jobs.slurm_patches import answers


@cache
def status_command() -> str:
    """How jobs are polled: sacct, or squeue where no accounts are kept; the choice is said on stderr.

    Snakemake's own choice is sacct wherever that program is installed, and waits for ever if it knows nothing.
    """
    chosen, reason = "squeue", "this cluster keeps no accounts"
    if shutil.which("sacct") is None:
        reason = "there is no sacct"
    elif answers("sacct", "--noheader", "--allocations", "--name", "none"):
        chosen, reason = "sacct", "this cluster keeps accounts"
    print(f"SLURM jobs are polled with {chosen}, as {reason}.", file=sys.stderr)
    return chosen


def cancel_left_over(folder: str, patience: float = 60) -> str:
    """Cancel jobs that an earlier snakemake of a folder has left in the queue, and say so; "" where there are none.

    For a folder in which no other snakemake runs: what it left would be submitted beside itself. Trainings save where
    they are before they leave, and their next jobs go on from there.
    """
    jobs = _jobs_of(folder)
    if not jobs:
        return ""
    subprocess.run(["scancel", *jobs], capture_output=True, timeout=60, check=False)
    end = time.monotonic() + patience
    while _jobs_of(folder) and time.monotonic() < end:
        time.sleep(1)
    count = f"{len(jobs)} jobs" if len(jobs) > 1 else "1 job"
    return f"{count} of an earlier snakemake, which was killed, cancelled: {', '.join(jobs)}; they go on as new ones"


def _jobs_of(folder: str) -> list[str]:
    """Numbers of jobs in the queue that Snakemake has submitted from a folder; none where SLURM does not answer."""
    command = ["squeue", "--me", "--noheader", "--format=%A|%Z|%k"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = [line.split("|") for line in said.splitlines() if line.count("|") >= 2]
    return [number for number, where, comment, *_ in found if where == folder and comment.startswith("rule_")]
