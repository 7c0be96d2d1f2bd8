"""What is done as snakemake begins and ends: packs written down, times from the future set right, failures named."""

import math
import os
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import product
from pathlib import Path

from relative_stability.core.store import write_text
from relative_stability.jobs.shared_process import FOLDER, Packs
from relative_stability.jobs.slurm import cancel_left_over
from relative_stability.jobs.stages import ANEW
from relative_stability.jobs.status import failures
from relative_stability.plan.grid import Grid
from relative_stability.plan.marks import is_made
from relative_stability.plan.runs import RESULTS

LOCKS = Path(".snakemake/locks")
BEGUN = Path(".snakemake/begun")  # HOST.PROCESS for each snakemake that has begun here and not ended
# Of the table of claims: how a quantity begins, and what it is here.
NUMBERS = {"R at init": "before", "R after training": "after", "exponent of R in P": "power"}


def begin(packs: Packs, inputs: Iterable[str | Path], anew: bool, on_slurm: bool = False) -> None:
    """inputs: of all jobs that are to run; anew: whether those that train and measure are to do so again."""
    gone, others = _begun()
    if not others:
        # Several may work here at once, on other results: jobs in the queue are left over where all of these are gone.
        if gone and on_slurm and (said := cancel_left_over(str(Path.cwd()))):
            print(said, file=sys.stderr)
        for record in gone:
            record.unlink(missing_ok=True)
    write_text(_record(), "")
    for log in Path(RESULTS, "logs").rglob("*.log"):
        if log.stat().st_size == 0:  # Snakemake leaves one of a job that does not start: those to come are told from it
            log.unlink()
    shutil.rmtree(FOLDER, ignore_errors=True)
    packs.write()
    set_right(inputs)
    if anew:
        os.environ[ANEW] = str(time.time())  # jobs take it over, on a cluster too


def unlock() -> str:
    """Take Snakemake's locks where all that have begun here are known to be gone, and say so; "" where they are not.

    Whose locks they are stands in records of ours, as Snakemake does not write that down.
    """
    gone, others = _begun()
    with suppress(OSError):
        if gone and not others and any(LOCKS.iterdir()):
            shutil.rmtree(LOCKS)
            return f"This folder was locked by a snakemake that was killed ({gone[0].name}): its lock is taken."
    return ""


def declared_gone() -> None:
    """Whoever types --unlock knows that no snakemake runs here, on other machines either."""
    for record in _begun()[1]:
        record.replace(record.with_name(f"{os.uname().nodename}.0"))  # no process of this machine


def _record() -> Path:
    return BEGUN / f"{os.uname().nodename}.{os.getpid()}"


def _begun() -> tuple[list[Path], list[Path]]:
    """Records of processes that are known to be gone, as they were of this machine, and of other ones."""
    found: tuple[list[Path], list[Path]] = ([], [])
    for record in set(BEGUN.glob("*.*")) - {_record()}:
        host, _, process = record.name.rpartition(".")
        gone = host == os.uname().nodename and not Path(f"/proc/{process}").exists()
        found[not gone].append(record)
    return found


def set_right(files: Iterable[str | Path]) -> None:
    """Files from the future, as clocks differ, get the time of now: else Snakemake refuses what is made from them."""
    for file in {Path(file) for file in files}:
        if file.exists() and file.stat().st_mtime > time.time():
            os.utime(file)


def findings(grid: Grid) -> list[str]:
    """What the claims say of R, a line for each net, and where to look next; nothing where there are none yet."""
    from relative_stability.analysis.claims.page import from_csv

    table = Path(grid.claims.path).with_suffix(".csv")
    if not (is_made(grid.claims.mark) and table.is_file()):
        return []
    said: dict[str, dict[str, str]] = {}
    for row, (start, word) in product(from_csv(table.read_text(encoding="utf-8")), NUMBERS.items()):
        if row.quantity.startswith(start) and math.isfinite(row.value):
            said.setdefault(row.subject, {}).setdefault(word, f"{row.value:.2g}")
    lines = [
        f"  {net}: R {numbers['before']} at initialisation, {numbers['after']} after training"
        + (f", as P to the power {numbers['power']}" if "power" in numbers else "")
        for net, numbers in said.items()
        if {"before", "after"} <= set(numbers)
    ]
    if not lines:
        return []
    more = (
        f"Figures: {RESULTS}/figures; claims: {grid.claims.path}; all on one page: make report; R of a net of yours: "
    )
    return ["", "Relative stability R, at the largest P:", *lines, f"{more}relative-stability measure"]


def end(packs: Packs, since: float) -> None:
    """since: when snakemake started, in seconds of the epoch."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    _record().unlink(missing_ok=True)
    packs.mark_unstarted()
    failed = failures(packs.grid, since)
    if failed:
        print(f"\nFailed: {len(failed)}. Each log has more.", file=sys.stderr)
        print(*failed, sep="\n", file=sys.stderr)
