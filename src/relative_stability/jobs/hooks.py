"""What is done as snakemake begins and ends: results put back, failures named, and what a cluster was asked for."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from relative_stability.core.used import efficiency, found_in
from relative_stability.jobs.finished import take
from relative_stability.jobs.joblogs import recent
from relative_stability.jobs.status import failures
from relative_stability.plan.grid import Grid
from relative_stability.plan.runs import FINISHED, RESULTS, Measurement, Run

_RUN_ID = re.compile(r"SLURM run ID: (\S+)")


def end(grid: Grid, since: float, logs: Iterable[str | Path]) -> None:
    """since: when snakemake started, in seconds of the epoch; logs: its own."""
    put_back(grid)
    failed = failures(grid, since)
    if failed:
        print(f"\nFailed: {len(failed)}. Each log has more.", file=sys.stderr)
        print(*failed, sep="\n", file=sys.stderr)
    said = "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    match = _RUN_ID.search(said)
    report = efficiency(found_in(recent(Path(RESULTS, "logs"), since)), match[1] if match else "", since)
    if report:
        print(f"\n{report}", file=sys.stderr)


def begin() -> None:
    """Clear the empty logs that Snakemake has left of jobs that did not start: those to come are told from them."""
    for log in Path(RESULTS, "logs").rglob("*.log"):
        if log.stat().st_size == 0:
            log.unlink()


def put_back(grid: Grid) -> None:
    """Give finished results their own names again, which Snakemake took from all of a group where one failed."""
    for job in grid.by_digest.values():
        if isinstance(job, Run | Measurement) and not all(Path(file).is_file() for file in job.files):
            take(job.files, job.digest, FINISHED)
