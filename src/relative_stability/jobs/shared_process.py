"""Small runs that share one process, which trains and measures them one after another: a pack.

A run of seconds costs more than that in queues, starts of Snakemake and imports. `pack_minutes` of the config says how
long such a process is to last by estimate; a run that is expected to last longer has jobs of its own. What a pack makes
is the output of no rule, so Snakemake deletes none of it: those that need it wait for the pack's mark instead.
"""

import gc
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from relative_stability.core.errors import InputError
from relative_stability.core.logs import STOPPED, job_log, log
from relative_stability.core.store import as_json, write_text
from relative_stability.jobs import resources, stages
from relative_stability.plan.grid import Grid
from relative_stability.plan.runs import RESULTS, Measurement, Request, Run, benchmark, digest
from relative_stability.plan.seeds import parse_seeds

FOLDER = f"{RESULTS}/.packs"
MOST = 32  # runs in a pack


@dataclass(frozen=True)
class Member:
    """A run, whether it is to be trained, and what is to be measured on it."""

    run: Run
    train: bool
    measurements: Sequence[Measurement]

    def estimate(self, device: str) -> resources.JobCost:
        """Time and memory of what is to do, in one process."""
        jobs: list[Run | Measurement] = [*([self.run] if self.train else []), *self.measurements]
        return together([resources.estimated(job, device) for job in jobs])

    @property
    def task(self) -> Request:
        """What the job needs to know: requests, digests and paths."""
        run = self.run
        files = {"dataset": run.dataset.path, "curves": run.curves, "weights": run.weights}
        train = {**files, "request": run.request, "digest": run.digest, "checkpoints": run.checkpoints, "log": run.log}
        measure = [
            {**files, "request": m.request, "digest": m.digest, "out": m.path, "log": m.log} for m in self.measurements
        ]
        return {"train": train, "measure": measure}


@dataclass(frozen=True)
class Pack:
    """Runs that one process trains and measures, as its job finds them in a file."""

    tasks: Sequence[Request]
    seconds: float
    megabytes: float

    @property
    def estimate(self) -> resources.JobCost:
        """Time and memory of the process."""
        return resources.JobCost(self.seconds, self.megabytes)

    @property
    def what(self) -> str:
        """Which runs it has, in a few words."""
        places = [Path(task["train"]["curves"]).parts[-4:-1] for task in self.tasks]
        datasets, nets, sizes = (list(dict.fromkeys(part)) for part in zip(*places, strict=True))
        span = f"P = {sizes[0][1:]}" if len(sizes) == 1 else f"{len(sizes)} values of P"
        return f"{', '.join(nets)} on {', '.join(datasets)}, {span}"

    @property
    def datasets(self) -> list[str]:
        """The files that it reads."""
        return sorted({task["train"]["dataset"] for task in self.tasks})


class Packs:
    """What is not there yet of a config's results and is small enough to be made in packs.

    Their names are those of one start of snakemake, so that the mark of a pack never stands for files that have gone
    since. none: whether jobs of their own are asked for; device: what they will run on. Neither is asked before a pack
    is.
    """

    def __init__(self, grid: Grid, none: Callable[[], bool], device: Callable[[], str]) -> None:
        self.grid, self.none, self.device = grid, none, device

    def find(self, name: str) -> Pack:
        """A pack by its name; in another process than that which planned it, from its file."""
        if name in self._by_name:
            return self._by_name[name]
        file = Path(FOLDER, f"{name}.json")
        if not file.is_file():
            raise InputError(f"there is no pack {name}: snakemake has been started anew since, and does its work")
        return Pack(**json.loads(file.read_text(encoding="utf-8")))

    def makers(self, files: Iterable[str]) -> list[str]:
        """What a job waits for that needs some files: themselves, or the marks of the packs that are to make them."""
        return list(dict.fromkeys(f"{FOLDER}/{self._maker[f]}" if f in self._maker else f for f in files))

    def write(self) -> None:
        """The file of each pack, which its job reads."""
        for name, pack in self._by_name.items():
            write_text(f"{FOLDER}/{name}.json", as_json(asdict(pack)))

    def mark_unstarted(self) -> None:
        """Give the runs of a pack whose job did not start an empty log each, as Snakemake does for a run's own job."""
        for name, pack in self._by_name.items():
            log = Path(f"{RESULTS}/logs/packs/pack.{name}.log")
            if not log.is_file() or log.stat().st_size:
                continue
            for task in pack.tasks:
                for made, path in (
                    (task["train"]["curves"], Path(task["train"]["log"])),
                    *((one["out"], Path(one["log"])) for one in task["measure"]),
                ):
                    if not Path(made).is_file() and not path.is_file():
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.touch()

    @cached_property
    def _by_name(self) -> dict[str, Pack]:
        if self.none():
            return {}
        sources = [path for figure in self.grid.figures for path, _ in figure.sources]
        wanted = {file for sweep in self.grid.sweeps for file in sweep.parts}.union(sources)
        missing = {file for file in wanted if not Path(file).is_file()}
        started, device, packs = time.time_ns(), self.device(), {}
        for number, members in enumerate(packed(self.grid, device, missing)):
            estimate = together([member.estimate(device) for member in members])
            name = digest({"started": started, "number": number})
            packs[name] = Pack([member.task for member in members], *estimate)
        return packs

    @cached_property
    def _maker(self) -> dict[str, str]:
        """The name of the pack that is to make a file."""
        found = {}
        for name, pack in self._by_name.items():
            for task in pack.tasks:
                files = [task["train"]["curves"], task["train"]["weights"], *(one["out"] for one in task["measure"])]
                found.update({file: name for file in files if not Path(file).is_file()})
        return found


def together(estimates: Sequence[resources.JobCost]) -> resources.JobCost:
    """Time and memory of several jobs in one process, which starts once."""
    seconds = sum(one.seconds - resources.START for one in estimates) + resources.START
    return resources.JobCost(seconds, max((one.megabytes for one in estimates), default=resources.IMPORTS))


def packed(grid: Grid, device: str, missing: set[str] | None = None) -> list[list[Member]]:
    """Runs that share a process, neighbours in net and P on one dataset: of those that lack files, or of all."""
    runs: dict[str, tuple[Run, list[Measurement]]] = {}
    for m in grid.measurements:
        runs.setdefault(m.run.digest, (m.run, []))[1].append(m)
    rows: dict[str, list[Member]] = {}
    for run, found in runs.values():
        if missing is None or not missing.isdisjoint([*run.files, *(m.path for m in found)]):
            train = missing is None or not all(Path(file).is_file() for file in run.files)
            member = Member(run, train, [m for m in found if missing is None or m.path in missing])
            rows.setdefault(run.dataset.name, []).append(member)
    packs = []
    for row in rows.values():
        row.sort(key=lambda member: (member.run.net, member.run.P, parse_seeds(member.run.seeds).start))
        packs += _filled(row, device, 60 * grid.pack_minutes)
    return packs


def _filled(row: Iterable[Member], device: str, limit: float) -> list[list[Member]]:
    """Those that are small enough, in packs that are."""
    packs: list[list[Member]] = []
    spent = math.inf
    for member in row:
        seconds = member.estimate(device).seconds
        if seconds > limit:
            continue
        if spent + seconds - resources.START > limit or len(packs[-1]) == MOST:
            packs.append([])
            spent = resources.START
        packs[-1].append(member)
        spent += seconds - resources.START
    return packs


def own_jobs(settings: Any) -> bool:
    """Whether the command line names training or measuring, by Snakemake's own settings: each run then has its jobs."""
    named = {*settings.forcerun, *settings.until, *settings.omit_from}
    return settings.forceall or not named.isdisjoint({"train", "measure"})


def forced(settings: Any) -> bool:
    """Whether the command line asks for results, by rule or by name, that may be there already."""
    return settings.forceall or settings.forcetargets or not {*settings.forcerun}.isdisjoint({"train", "measure"})


def train_and_measure(
    tasks: Sequence[Mapping[str, Any]], device: str, threads: int, engine: Mapping[str, Any], data_root: str
) -> None:
    """The runs of a pack, in this process, one after another. Raises InputError at its end where some have failed.

    tasks: for each run the arguments of `stages.train`, and those of `stages.measure` for whatever is measured, each
    with its log. A run that fails says so there and holds up no other; a signal to leave ends them all.
    """
    failed, shared = 0, {"device": device, "threads": threads}
    for number, task in enumerate(tasks, 1):
        run = task["train"]
        how = {**shared, "engine": engine, "data_root": data_root}
        done = _logged(stages.train, {**run, **how}, run["curves"], run["weights"])
        for one in task["measure"] if done else []:
            done &= _logged(stages.measure, {**one, **shared}, one["out"])
        log.info("%s: %s (%d of %d)", "done" if done else "failed", run["curves"], number, len(tasks))
        failed += not done
        _release()
    if failed:
        raise InputError(f"{failed} of {len(tasks)} runs failed; their own logs say why")


def _release() -> None:
    """Give back what a run has left in memory."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _logged(stage: Callable[..., None], arguments: Mapping[str, Any], *made: str) -> bool:
    """Whether a stage went well, logged and timed where a job of its own would be. What is there needs none."""
    if all(stages.whole(Path(path), arguments["digest"]) for path in made):
        return True
    rest, path, started = dict(arguments), arguments["log"], time.monotonic()
    del rest["log"]
    Path(path).unlink(missing_ok=True)
    try:
        with job_log(path, f"{stage.__name__} {made[0]}"):
            stage(**rest)
    except SystemExit as left:
        if left.code == STOPPED:
            raise
        return False
    write_text(benchmark(path), f"s\n{time.monotonic() - started:.4f}\n")
    return True
