"""What is done as snakemake begins and ends: packs written down, times from the future set right, failures named."""

import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from relative_stability.jobs.shared_process import FOLDER, Packs
from relative_stability.jobs.stages import ANEW
from relative_stability.jobs.status import failures
from relative_stability.plan.runs import RESULTS


def begin(packs: Packs, inputs: Iterable[str | Path], anew: bool) -> None:
    """inputs: of all jobs that are to run; anew: whether those that train and measure are to do so again."""
    for log in Path(RESULTS, "logs").rglob("*.log"):
        if log.stat().st_size == 0:  # Snakemake leaves one of a job that does not start: those to come are told from it
            log.unlink()
    shutil.rmtree(FOLDER, ignore_errors=True)
    packs.write()
    set_right(inputs)
    if anew:
        os.environ[ANEW] = str(time.time())  # jobs take it over, on a cluster too


def set_right(files: Iterable[str | Path]) -> None:
    """Files from the future, as clocks differ, get the time of now: else Snakemake refuses what is made from them."""
    for file in {Path(file) for file in files}:
        if file.exists() and file.stat().st_mtime > time.time():
            os.utime(file)


def end(packs: Packs, since: float) -> None:
    """since: when snakemake started, in seconds of the epoch."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    packs.mark_unstarted()
    failed = failures(packs.grid, since)
    if failed:
        print(f"\nFailed: {len(failed)}. Each log has more.", file=sys.stderr)
        print(*failed, sep="\n", file=sys.stderr)
