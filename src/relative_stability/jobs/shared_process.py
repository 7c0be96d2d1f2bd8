"""Small runs that share one process: neighbours in P, of one net on one dataset.

A run of a minute costs as much again in queues, in starts of Snakemake and in imports. `pack_minutes` of the config
says how long such a process is to last by estimate; a run that is expected to last longer stays by itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from relative_stability.core.store import as_json
from relative_stability.jobs import resources
from relative_stability.plan.runs import RESULTS, Measurement, Request, Result, Run
from relative_stability.plan.seeds import parse_seeds

MOST = 32  # runs in a pack: what Snakemake spends on a group grows with its square


@dataclass(frozen=True)
class Member:
    """A run, and all that is measured on it."""

    run: Run
    measurements: Sequence[Measurement]

    @property
    def missing(self) -> bool:
        """Whether there is something to do, by the names on the disk."""
        paths = [*self.run.files, *(m.path for m in self.measurements)]
        return not all(Path(path).is_file() for path in paths)

    def estimate(self, device: str) -> resources.Estimate:
        """Time and memory of it all in one process."""
        parts = [resources.training(self.run, device), *(resources.measuring(m, device) for m in self.measurements)]
        seconds = sum(part.seconds for part in parts) - (len(parts) - 1) * resources.START
        return resources.Estimate(seconds, max(part.megabytes for part in parts))

    @property
    def task(self) -> Request:
        """What the job needs to know: requests, digests and paths."""
        run = self.run
        train = {
            "request": run.request,
            "digest": run.digest,
            "dataset": run.dataset.path,
            "curves": run.curves,
            "weights": run.weights,
            "checkpoints": run.checkpoints,
            "log": run.log,
        }
        measure = [
            {
                "request": m.request,
                "digest": m.digest,
                "dataset": run.dataset.path,
                "curves": run.curves,
                "weights": run.weights,
                "out": m.path,
                "log": m.log,
            }
            for m in self.measurements
        ]
        return {"train": train, "measure": measure}


@dataclass(frozen=True)
class Pack(Result):
    """Runs that one process trains and measures, one after another."""

    members: Sequence[Member]

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        digests = [[member.run.digest, *(m.digest for m in member.measurements)] for member in self.members]
        return {"stage": "pack", "runs": digests}

    @property
    def mark(self) -> str:
        """An empty file, there from the end of the process until its results have been taken."""
        return f"{RESULTS}/.packs/{self.digest}"

    @property
    def datasets(self) -> list[str]:
        return sorted({member.run.dataset.path for member in self.members})

    @property
    def tasks_json(self) -> str:
        """For each member what `stages.pack` needs to know."""
        return as_json([member.task for member in self.members])

    def estimate(self, device: str) -> resources.Estimate:
        """Time and memory for what is not there yet."""
        parts = [member.estimate(device) for member in self.members if member.missing]
        seconds = sum(part.seconds - resources.START for part in parts) + resources.START
        return resources.Estimate(seconds, max((part.megabytes for part in parts), default=resources.IMPORTS))


def packed(measurements: Iterable[Measurement], device: str, minutes: float) -> Mapping[str, Pack]:
    """The packs of at most so many minutes, by the digest of each run in one; none of a single run."""
    if not minutes:
        return {}
    measured: dict[str, dict[str, Measurement]] = defaultdict(dict)
    runs: dict[str, Run] = {}
    for m in measurements:
        runs[m.run.digest] = m.run
        measured[m.run.digest][m.digest] = m
    rows: dict[tuple[str, str], list[Member]] = defaultdict(list)
    for digest, run in runs.items():
        rows[run.dataset.name, run.net].append(Member(run, list(measured[digest].values())))
    packs: dict[str, Pack] = {}
    for row in rows.values():
        row.sort(key=lambda member: (member.run.P, parse_seeds(member.run.seeds).start, member.run.digest))
        for members in _filled(row, device, 60 * minutes):
            pack = Pack(members)
            packs.update({member.run.digest: pack for member in members})
    return packs


def _filled(row: Iterable[Member], device: str, limit: float) -> Iterable[list[Member]]:
    """Consecutive members that are small enough, in packs that are; of two and more."""
    members: list[Member] = []
    spent = resources.START
    for member in row:
        seconds = member.estimate(device).seconds - resources.START
        if members and (spent + seconds > limit or len(members) == MOST):
            yield from [members] if len(members) > 1 else []
            members, spent = [], resources.START
        if spent + seconds <= limit:
            members.append(member)
            spent += seconds
    yield from [members] if len(members) > 1 else []
