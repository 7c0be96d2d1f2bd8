"""How far a config is: what is done, runs, failed, diverged or is missing, by what lies in results/."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from relative_stability.core.errors import InputError
from relative_stability.core.logs import FINISHED, STOPPED_BY
from relative_stability.core.store import open_dataset
from relative_stability.plan.grid import Grid
from relative_stability.plan.outputs import Sweep
from relative_stability.plan.runs import RESULTS, Measurement, Run
from relative_stability.training.lock import DEAD, lately_held

STATES = ("done", "running", "failed", "diverged", "collapsed", "missing")
STALE = 600.0  # seconds without a word after which a measurement is taken for dead
KILLED = "ended without a word: killed, or its node was lost"
UNSTARTED = "did not start: another job of its group failed first, or .snakemake/slurm_logs says why"
_DIGEST = re.compile(r"\.([0-9a-f]{10})\.log$")
_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (\w+) (.*)$")
_TAIL = 20_000  # characters that are read of a log's end


class Failure(NamedTuple):
    """A job that failed: of which result, its last words, and the log that has them all."""

    what: str
    reason: str
    log: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}\n    {self.log}"


class State(NamedTuple):
    """One of STATES, and what to know about it."""

    word: str
    note: str = ""
    log: str = ""


def state(run: Run, measurements: list[Measurement]) -> State:
    """Of a run with what is measured on it."""
    jobs: list[Run | Measurement] = [run, *measurements]
    for job in jobs:
        if _there(job):
            continue
        log = Path(job.log)
        if job is run and lately_held(Path(run.checkpoints)):
            return State("running")
        if not log.is_file():
            return State("missing", "trained, and not measured" if job is not run else "")
        if log.stat().st_size == 0:
            return State("failed", UNSTARTED, str(log))
        if (error := last_error(log)) is not None:
            return State("missing" if error.startswith(f"{STOPPED_BY} ") else "failed", error, str(log))
        if _tail(log)[-1].endswith(f" {FINISHED}"):
            return State("missing")  # its result has gone since
        age = time.time() - log.stat().st_mtime
        return State("running") if age < (DEAD if job is run else STALE) else State("failed", KILLED, str(log))
    return _ended(run)


def _there(job: Run | Measurement) -> bool:
    return all(Path(file).is_file() for file in job.files)


def _ended(run: Run) -> State:
    """Of a run that is done: whether its seeds are of use."""
    try:
        curves = open_dataset(run.curves, remade_by="train", only=("seed", "diverged_epoch", "collapsed"))
    except (InputError, KeyError) as error:  # one damaged file is no reason to say nothing of the others
        return State("failed", str(error), run.log)
    seeds = curves["seed"].values
    for word, gone in (
        ("diverged", np.isfinite(curves["diverged_epoch"].values)),
        ("collapsed", curves["collapsed"].values),
    ):
        gone = gone.reshape(len(seeds), -1).any(1)
        if gone.any():
            return State(word, f"seeds {', '.join(str(seed) for seed in seeds[gone])}", run.log)
    return State("done")


def states(sweep: Sweep) -> list[tuple[Run, State]]:
    """Of each run of a sweep, in its order."""
    measured: dict[str, tuple[Run, list[Measurement]]] = {}
    for m in sweep.measurements:
        measured.setdefault(m.run.digest, (m.run, []))[1].append(m)
    return [(run, state(run, measurements)) for run, measurements in measured.values()]


def table(sweep: Sweep) -> str:
    """A sweep as text: datasets and nets in rows, P in columns; below, each run that has failed or is of no use."""
    from tabulate import tabulate

    found = states(sweep)
    cells: dict[tuple[str, str], dict[int, Counter[str]]] = {}
    for run, now in found:
        row = cells.setdefault((run.dataset.name, run.net), {})
        row.setdefault(run.P, Counter())[now.word] += 1
    columns = sorted({run.P for run, _ in found})
    rows = [[*names, *(_cell(row.get(P, Counter())) for P in columns)] for names, row in cells.items()]
    total = Counter(now.word for _, now in found)
    lines = [f"sweep {sweep.name}: {_words(total)} of {len(found)} runs"]
    lines.append(tabulate(rows, ["dataset", "net", *(f"P = {P}" for P in columns)], tablefmt="simple"))
    lines += [f"{now.word}: {Failure(run.place, now.note, now.log)}" for run, now in found if now.log]
    return "\n".join(lines)


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[word]} {word}" for word in STATES if counts[word])


def _cell(counts: Counter[str]) -> str:
    return next(iter(counts)) if len(counts) == 1 else _words(counts)


def failures(grid: Grid, since: float) -> list[Failure]:
    """Jobs of a config that have failed since a moment, in seconds of the epoch."""
    return list(_failures(grid, since))


def _failures(grid: Grid, since: float) -> Iterator[Failure]:
    for log in recent(Path(RESULTS, "logs"), since):
        match = _DIGEST.search(log.name)
        job: Any = grid.by_digest.get(match[1]) if match else None
        known = isinstance(job, Run | Measurement)
        if match and (job is None or (known and _there(job))):
            continue
        if isinstance(job, Measurement) and not _there(job.run):
            continue
        what = f"{type(job).__name__.lower()} {job.place}" if known else str(log.relative_to(RESULTS).with_suffix(""))
        if (error := last_error(log)) is not None:
            yield Failure(what, error, str(log))
        elif known:
            yield Failure(what, KILLED if log.stat().st_size else UNSTARTED, str(log))


def last_error(log: Path) -> str | None:
    """The sentence with which a job failed, or None if the last that it said was no error.

    Of an error with a traceback it is the last line.
    """
    lines = _tail(log)
    found = ((number, _RECORD.match(line)) for number, line in enumerate(lines))
    records = [(number, match) for number, match in found if match]
    if not records:
        return None
    number, match = records[-1]
    if match[1] != "ERROR":
        return None
    traceback = [line for line in lines[number + 1 :] if not _RECORD.match(line)]
    return traceback[-1].strip() if traceback else match[2]


def _tail(log: Path) -> list[str]:
    """The last lines of a log that have words."""
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        return [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]


def recent(folder: Path, since: float) -> list[Path]:
    """Logs in a folder that were written to since a moment, in seconds of the epoch."""
    return sorted(log for log in folder.rglob("*.log") if log.stat().st_mtime >= since)
