"""What the SLURM profile finds out about a cluster."""

import shutil
import sys
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
