"""From a config to datasets, runs, measurements, sweeps and figures, each with the path of its result.

A path carries a digest of everything that made the result: its configuration with defaults filled in, and the
versions of its stage and of those before it (the `request`). The grammar of the paths stands in the Snakefile.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from relative_stability.config import Schema, check_config, merged
from relative_stability.datasets import Facts, facts
from relative_stability.errors import InputError, nearest
from relative_stability.perturbations.temperature import check_displacements
from relative_stability.source import source_digest
from relative_stability.store import as_json
from relative_stability.versions import STAGES

Request = dict[str, Any]
RESULTS = "results"


def digest(request: Request) -> str:
    """Ten hexadecimal digits that stand for a request."""
    return sha256(as_json(request).encode()).hexdigest()[:10]


class _Result:
    """Something made from a request."""

    request: Request

    @cached_property
    def digest(self) -> str:
        return digest(self.request)

    @cached_property
    def json(self) -> str:
        return as_json(self.request)


@dataclass(frozen=True)
class Dataset(_Result):
    """A dataset of the config, prepared once. options: as they enter the digest."""

    name: str
    options: Mapping[str, Any]
    facts: Facts

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        return {"stage": "prepare", "version": STAGES["prepare"], "options": dict(self.options)}

    @property
    def path(self) -> str:
        return f"{RESULTS}/datasets/{self.name}.{self.digest}.nc"


@dataclass(frozen=True)
class Run(_Result):
    """One net trained on P samples of one dataset for one range of seeds."""

    dataset: Dataset
    net: str
    net_options: Mapping[str, Any]
    training: Mapping[str, Any]
    P: int
    seeds: str

    @cached_property
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


@dataclass(frozen=True)
class Measurement(_Result):
    """One observable measured on one run."""

    run: Run
    stability: Mapping[str, Any]
    observable: str = "output"

    @cached_property
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
        return f"{RESULTS}/stability/{self.observable}/{self.run.place}.{self.digest}.nc"


class _Published(_Result):
    """A result whose path has no digest; its mark has one, and stands beside the result only while it tells the truth."""

    path: str

    @property
    def mark(self) -> str:
        return f"{RESULTS}/.requests/{Path(self.path).relative_to(RESULTS)}.{self.digest}"


@dataclass(frozen=True)
class Sweep(_Published):
    """A named grid of runs with what is measured on them."""

    name: str
    measurements: Sequence[Measurement]

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        labels = [[m.run.place, m.run.digest, m.digest] for m in self.measurements]
        return {"stage": "collect", "version": STAGES["collect"], "sweep": self.name, "measurements": labels}

    @property
    def path(self) -> str:  # type: ignore[override]
        return f"{RESULTS}/sweeps/{self.name}.nc"

    @cached_property
    def runs_json(self) -> str:
        """For each measurement its labels, and the paths and digests of its stability and curves."""
        rows = [
            {
                "dataset": m.run.dataset.name,
                "net": m.run.net,
                "architecture": m.run.net_options["architecture"],
                "P": m.run.P,
                "stability": m.path,
                "stability_digest": m.digest,
                "curves": m.run.curves,
                "curves_digest": m.run.digest,
            }
            for m in self.measurements
        ]
        return as_json(rows)

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
        code = source_digest("figures", "statistics", "sweep")
        return {"stage": "figure", "code": code, "name": self.name, "kind": self.kind, "sweep": self.sweep.request}

    @property
    def path(self) -> str:  # type: ignore[override]
        return f"{RESULTS}/figures/{self.name}.pdf"

    @property
    def sources(self) -> list[str]:
        """Files that it is drawn from: samples of a dataset, or the sweep."""
        return [d.path for d in self.sweep.datasets] if self.kind == "twins" else [self.sweep.path]


@dataclass(frozen=True)
class Claims(_Published):
    """The claims, checked on every sweep."""

    sweeps: Sequence[Sweep]
    path: str = f"{RESULTS}/claims.md"

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        code = source_digest("claims", "statistics", "sweep")
        return {"stage": "claims", "code": code, "sweeps": [sweep.request for sweep in self.sweeps]}


def parse_seeds(text: str | int) -> range:
    """The seeds of a range, first and last included.

    >>> parse_seeds("4-7"), parse_seeds(3)
    (range(4, 8), range(3, 4))
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(text))
    if match is None:
        raise InputError(f"seeds {text!r} is no range; write first-last, such as 0-3, or a single seed")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise InputError(f"seeds {text!r} runs backwards; write {last}-{first}")
    return range(first, last + 1)


def seed_ranges(value: str | int | Iterable[str | int]) -> list[str]:
    """Ranges as they stand in paths, in order. Raises InputError where two of them share a seed."""
    given = [value] if isinstance(value, str | int) else list(value)
    ranges = sorted((parse_seeds(item) for item in given), key=lambda seeds: seeds.start)
    for a, b in pairwise(ranges):
        if b.start < a.stop:
            raise InputError(f"seeds {a.start}-{a.stop - 1} and {b.start}-{b.stop - 1} overlap; every seed may stand once")
    return [str(r.start) if len(r) == 1 else f"{r.start}-{r.stop - 1}" for r in ranges]


@dataclass(frozen=True)
class Grid:
    """Everything that a config asks for. `by_digest` finds what a path in it belongs to."""

    device: str
    sweeps: Sequence[Sweep]
    figures: Sequence[Figure]
    claims: Claims
    warnings: Sequence[str]
    by_digest: Mapping[str, Any] = field(repr=False)

    def sweep(self, name: str) -> Sweep:
        """A sweep by name."""
        return _named(name, self.sweeps, "sweep")

    def figure(self, name: str) -> Figure:
        """A figure by name."""
        return _named(name, self.figures, "figure")

    def find(self, digest: str) -> Any:
        """The dataset, run or measurement with this digest. Raises InputError where this config has none."""
        if digest not in self.by_digest:
            raise InputError(f"no result of this config has the digest {digest!r}; it was made by another config")
        return self.by_digest[digest]


def _named(name: str, items: Sequence[Any], what: str) -> Any:
    known = {item.name: item for item in items}
    if name not in known:
        raise InputError(f"{what} {name!r} is not in this config; {nearest(name, known)}")
    return known[name]


def build_grid(raw: Mapping[str, Any], schema: Schema) -> Grid:
    """Check a config and lay out its grid. Raises InputError with one sentence for whatever is wrong."""
    config = check_config(raw, schema)
    warnings: list[str] = []
    datasets = {}
    for name, entry in config["datasets"].items():
        options = {key: value for key, value in entry.items() if key != "source"}
        digested = {"source": entry["source"], **schema.digested(options, schema.part("datasets", entry["source"]))}
        datasets[name] = Dataset(name, digested, facts(entry["source"], **options))
    runs: dict[str, Run] = {}
    sweeps = [_sweep(name, entry, config, datasets, schema, runs, warnings) for name, entry in config["sweeps"].items()]
    named = {sweep.name: sweep for sweep in sweeps}
    figures = [Figure(name, entry["kind"], named[entry["sweep"]]) for name, entry in config["figures"].items()]
    everything = [*datasets.values(), *runs.values(), *(m for sweep in sweeps for m in sweep.measurements)]
    by_digest = {item.digest: item for item in everything}
    return Grid(config["device"], sweeps, figures, Claims(sweeps), list(dict.fromkeys(warnings)), by_digest)


def _sweep(
    name: str,
    entry: Mapping[str, Any],
    config: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    schema: Schema,
    runs: dict[str, Run],
    warnings: list[str],
) -> Sweep:
    where = f"sweeps.{name}"
    stability = schema.check(merged(config["stability"], entry["stability"]), schema.part("stability"), f"{where}.stability")
    seeds = seed_ranges(entry["seeds"])
    measurements = []
    for dataset, net in product(entry["datasets"], entry["nets"]):
        data, options = datasets[dataset], config["nets"][net]
        training = schema.check(
            merged(config["training"], entry["training"], options["training"]), schema.part("training"), f"{where}.training"
        )
        _check_training(where, data, entry["P"], training)
        warnings += [f"{where}: {sentence}" for sentence in _check_stability(where, data, stability)]
        architecture = {key: value for key, value in options.items() if key not in ("architecture", "training")}
        net_options = {
            "architecture": options["architecture"],
            **schema.digested(architecture, schema.part("nets", options["architecture"])),
        }
        for P, seed_range in product(sorted(entry["P"]), seeds):
            run = Run(data, net, net_options, schema.digested(training, schema.part("training")), P, seed_range)
            run = runs.setdefault(run.curves, run)  # sweeps may share runs; a shared run is one
            measurements.append(Measurement(run, _settings(stability, schema)))
    return Sweep(name, measurements)


def _settings(stability: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Stability settings that bear on this perturbation: displacements leave a measurement in a subspace alone."""
    idle = ("magnitude",) if stability["perturbation"] == "diffeomorphism" else ("cut", "displacement")
    digested = schema.digested(stability, schema.part("stability"))
    return {key: value for key, value in digested.items() if key not in idle}


def _check_training(where: str, data: Dataset, sizes: Sequence[int], training: Mapping[str, Any]) -> None:
    if max(sizes) > data.facts.train_size:
        raise InputError(
            f"{where}.P: {max(sizes)} is more than the {data.facts.train_size} training samples of dataset {data.name!r}"
        )
    if training["loss"] == "hinge" and data.facts.classes != 2:
        raise InputError(
            f"{where}.training.loss: hinge needs two classes, and dataset {data.name!r} has {data.facts.classes}; "
            "use cross_entropy"
        )


def _check_stability(where: str, data: Dataset, stability: Mapping[str, Any]) -> list[str]:
    where = f"{where}.stability"
    if stability["images"] > data.facts.test_size:
        raise InputError(
            f"{where}.images: {stability['images']} is more than the {data.facts.test_size} test samples of "
            f"dataset {data.name!r}"
        )
    if stability["perturbation"] == "subspace" and not data.facts.uninformative:
        raise InputError(f"{where}.perturbation: subspace needs uninformative inputs, and dataset {data.name!r} names none")
    if stability["perturbation"] != "diffeomorphism":
        return []
    try:
        return [
            sentence
            for cut in stability["cut"]
            for sentence in check_displacements(stability["displacement"], data.facts.image_size, cut)
        ]
    except InputError as error:
        raise InputError(f"{where}, dataset {data.name!r}: {error}") from None
