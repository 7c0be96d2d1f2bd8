"""From a config to its grid: datasets, runs, measurements, sweeps and figures, each checked and laid out once."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from relative_stability.config import Schema, check_config, merged
from relative_stability.datasets import SOURCES, Facts, below, data_root, facts
from relative_stability.errors import InputError, nearest
from relative_stability.nets import ARCHITECTURES
from relative_stability.perturbations import DISPLACING, GEOMETRIC, build_perturbation
from relative_stability.perturbations.temperature import check_displacements
from relative_stability.results import Claims, Dataset, Figure, Measurement, Run, Sweep
from relative_stability.store import read_attributes
from relative_stability.weights import check_weights_file


def parse_seeds(text: str | int) -> range:
    """The seeds of a range, first and last included.

    >>> parse_seeds("4-7"), parse_seeds(3)
    (range(4, 8), range(3, 4))
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(text))
    if match is None:
        raise InputError(f"seeds {text!r} is no range; write first-last, such as 0-3, or a single seed")
    first, last = int(match[1]), int(match[2] or match[1])
    if last >= 2**31:
        raise InputError(f"seeds {text!r} is refused: seeds below 2147483648 are needed")
    if last < first:
        raise InputError(f"seeds {text!r} runs backwards; write {last}-{first}")
    return range(first, last + 1)


def seed_ranges(value: str | int | Iterable[str | int]) -> list[str]:
    """Ranges as they stand in paths, in order. Raises InputError where two of them share a seed."""
    given = [value] if isinstance(value, str | int) else list(value)
    ranges = sorted((parse_seeds(item) for item in given), key=lambda seeds: seeds.start)
    for a, b in pairwise(ranges):
        if b.start < a.stop:
            raise InputError(
                f"seeds {a.start}-{a.stop - 1} and {b.start}-{b.stop - 1} overlap; every seed may stand once"
            )
    return [str(r.start) if len(r) == 1 else f"{r.start}-{r.stop - 1}" for r in ranges]


@dataclass(frozen=True)
class Grid:
    """Everything that a config asks for. `by_digest` finds what a path in it belongs to."""

    device: str
    data_root: str
    sweeps: Sequence[Sweep]
    figures: Sequence[Figure]
    claims: Claims
    warnings: Sequence[str]
    by_digest: Mapping[str, Any] = field(repr=False)

    def sweep(self, name: str) -> Sweep:
        """A sweep by name."""
        found: Sweep = _named(name, self.sweeps, "sweep")
        return found

    def figure(self, name: str) -> Figure:
        """A figure by name."""
        found: Figure = _named(name, self.figures, "figure")
        return found

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
    root = data_root(config["data_root"])
    datasets = {name: _dataset(name, entry, schema, root) for name, entry in config["datasets"].items()}
    runs: dict[str, Run] = {}
    sweeps = [_sweep(name, entry, config, datasets, schema, runs, warnings) for name, entry in config["sweeps"].items()]
    _check_pretrained(runs.values(), root)
    named = {sweep.name: sweep for sweep in sweeps}
    figures = [Figure(name, entry["kind"], named[entry["sweep"]]) for name, entry in config["figures"].items()]
    for figure in figures:
        _check_figure(figure)
    everything = [*datasets.values(), *runs.values(), *(m for sweep in sweeps for m in sweep.measurements)]
    by_digest = {item.digest: item for item in everything}
    return Grid(config["device"], str(root), sweeps, figures, Claims(sweeps), list(dict.fromkeys(warnings)), by_digest)


def _dataset(name: str, entry: Mapping[str, Any], schema: Schema, root: Path) -> Dataset:
    source = entry["source"]
    options = {key: value for key, value in entry.items() if key != "source"}
    digested = {"source": source, **schema.digested(options, schema.part("datasets", source))}
    dataset = Dataset(name, digested)
    if SOURCES[source].scanned and Path(dataset.path).is_file():
        # Once prepared, raw pictures may be elsewhere, and nobody waits for a walk through them.
        return replace(dataset, facts=Facts(**json.loads(read_attributes(dataset.path, remade_by="prepare")["facts"])))
    try:
        return replace(dataset, facts=facts(source, root, **options))
    except InputError as error:
        raise InputError(f"datasets.{name}: {error}") from None


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
    stability = schema.check(
        merged(config["stability"], entry["stability"]), schema.part("stability"), f"{where}.stability"
    )
    seeds = seed_ranges(entry["seeds"])
    measurements = []
    for dataset, net in product(entry["datasets"], entry["nets"]):
        data, options = datasets[dataset], config["nets"][net]
        training = schema.check(
            merged(config["training"], entry["training"], options["training"]),
            schema.part("training"),
            f"{where}.training",
        )
        _check_net(where, data, net, options["architecture"], training)
        _check_training(where, data, entry["P"], training)
        _check_batches(where, net, options["architecture"], entry["P"], training)
        _check_observables(where, entry["observables"], training)
        warnings += [f"{where}: {sentence}" for sentence in _check_stability(where, data, stability)]
        architecture = {key: value for key, value in options.items() if key not in ("architecture", "training")}
        net_options = {
            "architecture": options["architecture"],
            **schema.digested(architecture, schema.part("nets", options["architecture"])),
        }
        for P, seed_range in product(sorted(entry["P"]), seeds):
            run = Run(data, net, net_options, schema.digested(training, schema.part("training")), P, seed_range)
            run = runs.setdefault(run.curves, run)  # sweeps may share runs; a shared run is one
            measurements += [
                Measurement(run, _settings(stability, name, schema), name) for name in entry["observables"]
            ]
    return Sweep(name, measurements)


def _settings(stability: Mapping[str, Any], observable: str, schema: Schema) -> dict[str, Any]:
    """Stability settings that bear on this observable: displacements leave a measurement in a subspace alone."""
    family = stability["perturbation"]
    idle = {"magnitude" if family in DISPLACING else "displacement"}
    idle |= set() if family == "diffeomorphism" else {"cut", "modes"}
    idle |= set() if family in GEOMETRIC else {"interpolation"}
    idle |= set() if observable == "depth" else {"layers"}
    digested = schema.digested(stability, schema.part("stability"))
    return {key: value for key, value in digested.items() if key not in idle}


def _check_observables(where: str, observables: Sequence[str], training: Mapping[str, Any]) -> None:
    if "output" not in observables:
        raise InputError(f"{where}.observables: output is missing; it is what the others are compared with, so add it")
    if "dynamics" in observables and not training["snapshots"]:
        raise InputError(
            f"{where}.observables: dynamics needs snapshots of the training; set training.snapshots to 10, say"
        )


def _check_net(where: str, data: Dataset, net: str, architecture: str, training: Mapping[str, Any]) -> None:
    known, size = ARCHITECTURES[architecture], data.facts.image_size
    if size < known.smallest:
        raise InputError(
            f"{where}: net {net!r} cannot take the images of dataset {data.name!r}, of {size} pixels; "
            f"the smallest it takes is {known.smallest}"
        )
    if known.batch_norm and training["alpha"] is not None:
        raise InputError(
            f"{where}.training.alpha: net {net!r} has batch normalisation, whose outputs depend on "
            "the batch, so that f − f₀ means nothing; use null or another net"
        )
    if known.dropout and training["alpha"] is not None:
        raise InputError(
            f"{where}.training.alpha: net {net!r} has dropout or stochastic depth, so that f − f₀ is not zero at the "
            "start; use null or another net"
        )


def _check_figure(figure: Figure) -> None:
    """A figure that could only fail at the end is refused at the start."""
    runs = [m.run for m in figure.sweep.measurements]
    hidden = any(
        run.net_options["architecture"] == "one_hidden" and run.dataset.facts.uninformative[:1] == (1,) for run in runs
    )
    if figure.kind == "neurons" and not hidden:
        raise InputError(
            f"figures.{figure.name}: neurons needs the net one_hidden on a linear dataset (stripe, interface), "
            f"and sweep {figure.sweep.name!r} has none"
        )
    flat = [run.dataset.name for run in runs if run.dataset.facts.image_size < 3]
    if figure.kind == "twins" and flat:
        raise InputError(f"figures.{figure.name}: twins needs images, and dataset {flat[0]!r} has none")


def _check_training(where: str, data: Dataset, sizes: Sequence[int], training: Mapping[str, Any]) -> None:
    if max(sizes) > data.facts.train_size:
        raise InputError(
            f"{where}.P: {max(sizes)} is more than the {data.facts.train_size} training samples "
            f"of dataset {data.name!r}"
        )
    if training["augmentation"] and data.facts.image_size < 2:
        raise InputError(f"{where}.training.augmentation: dataset {data.name!r} has no images to move or flip; use []")
    if training["augmentation"] and training["alpha"] is not None:
        raise InputError(
            f"{where}.training.augmentation: with alpha, f₀ is taken on the images as they are; use [] or alpha: null"
        )
    if training["loss"] == "hinge" and data.facts.classes != 2:
        raise InputError(
            f"{where}.training.loss: hinge needs two classes, and dataset {data.name!r} has {data.facts.classes}; "
            "use cross_entropy"
        )


def _check_batches(where: str, net: str, architecture: str, sizes: Sequence[int], training: Mapping[str, Any]) -> None:
    batch_size = training["batch_size"]
    lonely = next((P for P in sizes if P % min(batch_size, P) == 1 or P == 1 or batch_size == 1), None)
    if ARCHITECTURES[architecture].batch_norm and lonely is not None:
        raise InputError(
            f"{where}.P: {lonely} leaves a batch of one sample at batch_size {batch_size}, in which the batch "
            f"normalisation of net {net!r} finds no variance; take another P or batch_size"
        )


def _check_pretrained(runs: Iterable[Run], root: Path) -> None:
    """A file of weights that is missing is refused now, unless all that starts from it has been trained."""
    for run in runs:
        named = run.net_options.get("pretrained")
        if named is not None and not Path(run.weights).is_file():
            try:
                check_weights_file(below(root, named))
            except InputError as error:
                raise InputError(f"nets.{run.net}.pretrained: {error}; paths start from data_root") from None


def _check_stability(where: str, data: Dataset, stability: Mapping[str, Any]) -> list[str]:
    where = f"{where}.stability"
    if stability["images"] > data.facts.test_size:
        raise InputError(
            f"{where}.images: {stability['images']} is more than the {data.facts.test_size} test samples of "
            f"dataset {data.name!r}"
        )
    if stability["perturbation"] == "subspace" and not data.facts.uninformative:
        raise InputError(
            f"{where}.perturbation: subspace needs uninformative inputs, and dataset {data.name!r} names none"
        )
    family, n = stability["perturbation"], data.facts.image_size
    if family not in GEOMETRIC:
        return []
    try:
        if family == "diffeomorphism":
            cuts, displacements = stability["cut"], stability["displacement"]
            return [sentence for cut in cuts for sentence in check_displacements(displacements, n, cut)]
        magnitudes = stability["displacement" if family in DISPLACING else "magnitude"]
        return build_perturbation(family).check((1, n, n), tuple(magnitudes))
    except InputError as error:
        raise InputError(f"{where}, dataset {data.name!r}: {error}") from None
