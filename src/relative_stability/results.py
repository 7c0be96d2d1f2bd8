"""What a config asks for, one class a stage: what makes a result (its request), the digest of that, and its path.

A path carries a digest of everything that made the result: its configuration with defaults filled in, and the
versions of its stage and of those before it. The grammar of the paths stands in the Snakefile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from relative_stability.datasets import UNKNOWN, Facts
from relative_stability.figures import ANIMATED, KINDS
from relative_stability.source import source_digest
from relative_stability.store import as_json
from relative_stability.versions import STAGES

Request = dict[str, Any]
RESULTS = "results"
FINISHED = f"{RESULTS}/.finished"  # second names, see finished.py


def digest(request: Request) -> str:
    """Ten hexadecimal digits that stand for a request."""
    return sha256(as_json(request).encode()).hexdigest()[:10]


def checkpoints(digest: str) -> str:
    """Folder of what an unfinished training has left, of no rule's output: Snakemake deletes those on failure."""
    return f"{RESULTS}/checkpoints/{digest}"


class Result:
    """Something made from a request. Of a large grid only digests stay in memory."""

    request: Request

    @cached_property
    def digest(self) -> str:
        return digest(self.request)

    @property
    def json(self) -> str:
        return as_json(self.request)


@dataclass(frozen=True)
class Dataset(Result):
    """A dataset of the config, prepared once. options: as they enter the digest."""

    name: str
    options: Mapping[str, Any]
    facts: Facts = UNKNOWN  # no part of the request: they follow from it

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        return {"stage": "prepare", "version": STAGES["prepare"], "options": dict(self.options)}

    @property
    def path(self) -> str:
        return f"{RESULTS}/datasets/{self.name}.{self.digest}.nc"


@dataclass(frozen=True)
class Run(Result):
    """One net trained on P samples of one dataset for one range of seeds."""

    dataset: Dataset
    net: str
    net_options: Mapping[str, Any]
    training: Mapping[str, Any]
    P: int
    seeds: str

    @property
    def request(self) -> Request:  # type: ignore[override]
        return {
            "stage": "train",
            "version": STAGES["train"],
            "dataset": self.dataset.request,
            "net": dict(self.net_options),
            "training": dict(self.training),
            "P": self.P,
            "seeds": self.seeds,
        }

    @property
    def place(self) -> str:
        return f"{self.dataset.name}/{self.net}/P{self.P}/seeds{self.seeds}"

    @property
    def curves(self) -> str:
        return f"{RESULTS}/training/{self.place}.{self.digest}.nc"

    @property
    def weights(self) -> str:
        return f"{RESULTS}/training/{self.place}.{self.digest}.safetensors"

    @property
    def path(self) -> str:
        return self.curves

    @property
    def files(self) -> list[str]:
        return [self.curves, self.weights]

    @property
    def log(self) -> str:
        return f"{RESULTS}/logs/training/{self.place}.{self.digest}.log"

    @property
    def checkpoints(self) -> str:
        return checkpoints(self.digest)


@dataclass(frozen=True)
class Measurement(Result):
    """One observable measured on one run."""

    run: Run
    stability: Mapping[str, Any]
    observable: str = "output"

    @property
    def request(self) -> Request:  # type: ignore[override]
        return {
            "stage": "measure",
            "version": STAGES["measure"],
            "observable": self.observable,
            "stability": dict(self.stability),
            "run": self.run.request,
        }

    @property
    def path(self) -> str:
        return f"{RESULTS}/stability/{self.place}.{self.digest}.nc"

    @property
    def place(self) -> str:
        return f"{self.observable}/{self.run.place}"

    @property
    def files(self) -> list[str]:
        return [self.path]

    @property
    def log(self) -> str:
        return f"{RESULTS}/logs/stability/{self.place}.{self.digest}.log"


class _Published(Result):
    """A result whose path has no digest. Its mark has one, and is older than the result while it tells the truth."""

    path: str
    sweeps: Sequence["Sweep"] = ()  # what it is made from

    @property
    def mark(self) -> str:
        return f"{RESULTS}/.requests/{Path(self.path).relative_to(RESULTS)}.{self.digest}"

    @property
    def files(self) -> list[str]:
        """All files of the result."""
        return [self.path]

    @property
    def marks(self) -> list[str]:
        """Its own mark, then those of the sweeps that it is made from: one that is stale is noticed here too."""
        return [self.mark, *(sweep.mark for sweep in self.sweeps)]


@dataclass(frozen=True)
class Sweep(_Published):
    """A named grid of runs with what is measured on them."""

    name: str
    measurements: Sequence[Measurement]

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        labels = [[m.run.place, m.run.digest, m.observable, m.digest] for m in self.measurements]
        return {"stage": "collect", "version": STAGES["collect"], "sweep": self.name, "measurements": labels}

    @property
    def path(self) -> str:  # type: ignore[override]
        return f"{RESULTS}/sweeps/{self.name}.nc"

    @property
    def former(self) -> str:
        """Second name of the file, of no rule's output: Snakemake deletes those before the job that makes them anew."""
        return f"{RESULTS}/.collected/{self.name}.nc"

    @cached_property
    def runs_json(self) -> str:
        """For each run its place, labels, path and digest of its curves, and by observable those of its stability."""
        rows: dict[str, Request] = {}
        for m in self.measurements:
            labels = {
                "place": m.run.place,
                "dataset": m.run.dataset.name,
                "net": m.run.net,
                "architecture": m.run.net_options["architecture"],
                "pretrained": "pretrained" in m.run.net_options,
                "P": m.run.P,
                "seeds": m.run.seeds,
                "curves": [m.run.curves, m.run.digest],
                "stability": {},
            }
            rows.setdefault(m.run.curves, labels)["stability"][m.observable] = [m.path, m.digest]
        return as_json(list(rows.values()))

    @property
    def datasets(self) -> list[Dataset]:
        return list({m.run.dataset.name: m.run.dataset for m in self.measurements}.values())


@dataclass(frozen=True)
class Figure(_Published):
    """A figure of a sweep."""

    name: str
    kind: str
    sweep: Sweep

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        code = source_digest(
            "figures", "statistics", "sweep", "linear_model", *([] if self.sweeps else ["perturbations", "randomness"])
        )
        drawn_from = [part.request for part in self.parts]
        return {
            "stage": "figure",
            "code": code,
            "name": self.name,
            "kind": self.kind,
            "drawn_from": drawn_from,
        }

    @property
    def path(self) -> str:  # type: ignore[override]
        return f"{RESULTS}/figures/{self.name}.pdf"

    @property
    def files(self) -> list[str]:
        film = [".gif"] if self.kind in ANIMATED else []
        return [self.path.replace(".pdf", suffix) for suffix in (".pdf", ".png", ".nc", *film)]

    @property
    def sweeps(self) -> list[Sweep]:  # type: ignore[override]
        return [self.sweep] if KINDS[self.kind] == "sweep" else []

    @property
    def parts(self) -> Sequence["Sweep | Dataset | Run"]:
        """What it is drawn from: the sweep, its datasets, or its first run at the largest P."""
        if KINDS[self.kind] == "run":
            return [max((m.run for m in self.sweep.measurements), key=lambda run: run.P)]
        return self.sweeps or self.sweep.datasets


@dataclass(frozen=True)
class Claims(_Published):
    """The claims, checked on every sweep."""

    sweeps: Sequence[Sweep]
    path: str = f"{RESULTS}/claims.md"

    @property
    def files(self) -> list[str]:
        return [self.path, self.path.replace(".md", ".csv")]

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        code = source_digest("claims", "linear_claims", "verdicts", "statistics", "sweep")
        return {"stage": "claims", "code": code, "sweeps": [sweep.request for sweep in self.sweeps]}
