"""What a config asks for, one class a stage: what makes a result (its request), the digest of that, and its path.

A path carries a digest of everything that made the result: its configuration with defaults filled in, and the
versions of its stage and of those before it. The grammar of the paths stands in the Snakefile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from relative_stability.core.store import as_json
from relative_stability.datasets import UNKNOWN, Facts
from relative_stability.plan.digests import STAGES

Request = dict[str, Any]
RESULTS = "results"


def digest(request: Request) -> str:
    """Ten hexadecimal digits that stand for a request."""
    return sha256(as_json(request).encode()).hexdigest()[:10]


def checkpoints(digest: str) -> str:
    """Folder of what an unfinished training has left, of no rule's output: Snakemake deletes those on failure."""
    return f"{RESULTS}/checkpoints/{digest}"


def training_folder(dataset: str, net: str, P: int | str) -> str:
    """Folder of all ranges of seeds of a run."""
    return f"{RESULTS}/training/{dataset}/{net}/P{P}"


def benchmark(log: str) -> str:
    """The table of what a job took, beside its log."""
    return log.replace(f"{RESULTS}/logs/", f"{RESULTS}/benchmarks/").removesuffix(".log") + ".tsv"


def trained_by(training: Mapping[str, Any]) -> str:
    """The stage that makes a run, by its name in STAGES."""
    return {"gradient_flow": "flow", "none": "give"}.get(str(training.get("optimizer")), "train")


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

    @property
    def log(self) -> str:
        """Of the job that prepares it."""
        return f"{RESULTS}/logs/datasets/{self.name}.{self.digest}.log"


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
            "version": STAGES[trained_by(self.training)],
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
    def folder(self) -> str:
        """Where its files lie, and those of other ranges of seeds."""
        return training_folder(self.dataset.name, self.net, self.P)

    @property
    def curves(self) -> str:
        return f"{self.folder}/seeds{self.seeds}.{self.digest}.nc"

    @property
    def weights(self) -> str:
        return f"{self.folder}/seeds{self.seeds}.{self.digest}.safetensors"

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
