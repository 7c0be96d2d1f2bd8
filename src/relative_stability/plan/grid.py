"""From a config to its grid: datasets, runs, measurements, sweeps and figures, each checked and laid out once."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, product
from pathlib import Path
from typing import Any

from relative_stability.core.errors import InputError, nearest
from relative_stability.core.store import as_json, read_attributes
from relative_stability.datasets import SOURCES, Facts, data_root, facts
from relative_stability.perturbations import DISPLACING, GEOMETRIC
from relative_stability.plan import checks
from relative_stability.plan.config import GIVEN, Schema, check_config, merged
from relative_stability.plan.digests import STAGES
from relative_stability.plan.files import named, read_layers
from relative_stability.plan.outputs import Claims, Explorer, Figure, Report, Sweep
from relative_stability.plan.runs import Dataset, Measurement, Run, training_folder
from relative_stability.plan.seeds import parse_seeds, seed_blocks, seed_ranges, written
from relative_stability.plan.stage_code import notices, stage_of

FLOW = "gradient_flow"
OF_FLOW_ALONE = ("tolerance", "first_time", "max_time", "flow_end")
_JOB = re.compile(r"\w+:\w+=[\w-]+(,\w+=[\w-]+)*")  # rule:wildcard=value,…
_CURVES = re.compile(r"seeds(\d+(?:-\d+)?)\.([0-9a-f]{10})\.nc")
SEEN_BY_NOBODY = Facts(10**9, 10**9, 3, 64, 2)  # sizes that no check refuses
OF_FLOW = ("optimizer", "loss", "snapshots", *OF_FLOW_ALONE)


@dataclass(frozen=True)
class Grid:
    """Everything that a config asks for. `by_digest` finds what a path in it belongs to."""

    device: str
    pack_minutes: float
    engine: Mapping[str, Any]  # how to train, see training.run.Execution
    data_root: str
    sweeps: Sequence[Sweep]
    figures: Sequence[Figure]
    claims: Claims
    explorer: Explorer
    report: Report
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

    @property
    def gpus(self) -> int:
        """What each training or measuring process has."""
        return int(self.device != "cpu")

    @property
    def measurements(self) -> list[Measurement]:
        """Of all sweeps, each once."""
        return list({m.path: m for sweep in self.sweeps for m in sweep.measurements}.values())

    @property
    def how(self) -> str:
        """How to train, whatever the run; no part of any digest."""
        return as_json({"device": self.device, "engine": self.engine, "data_root": self.data_root})

    @property
    def published(self) -> list[Sweep | Figure | Claims]:
        """All that is shown in the end, under names without digests."""
        return [*self.sweeps, *self.figures, self.claims]

    @property
    def notices(self) -> list[str]:
        """Warnings, and what results in use say of the code that made them."""
        measurements = [m for sweep in self.sweeps for m in sweep.measurements]
        runs = {m.run.curves: m.run for m in measurements}
        in_use: dict[str, list[str]] = {stage: [] for stage in STAGES}
        in_use["prepare"] = list({run.dataset.path for run in runs.values()})
        for path, run in runs.items():
            in_use[stage_of(run.request)].append(path)
        in_use["measure"] = list({m.path for m in measurements})
        in_use["collect"] = [sweep.path for sweep in self.sweeps]
        for path in chain.from_iterable(in_use.values()):
            if os.path.lexists(path) and not Path(path).is_file():
                raise InputError(f"{path} is no file, and stands where a result belongs: remove it")
        return [*self.warnings, *notices(in_use)]

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


def build_grid(raw: Mapping[str, Any], schema: Schema, command: Iterable[str] = (), absent: bool = False) -> Grid:
    """Check a config and lay out its grid. Raises InputError with one sentence for whatever is wrong.

    command: words of the command line; the ranges of seeds of the jobs that it names (--target-jobs) are in the grid
    even while Snakemake has their files deleted. absent: whether raw pictures may be elsewhere, as for names alone.
    """
    config = check_config(raw, schema)
    warnings: list[str] = []
    root = data_root(config["data_root"])
    datasets = {name: _dataset(name, entry, schema, root, absent) for name, entry in config["datasets"].items()}
    runs: dict[str, Run] = {}
    started: dict[str, set[range]] = defaultdict(set)
    for word in filter(_JOB.fullmatch, command):
        job = dict(pair.split("=") for pair in word.partition(":")[2].split(","))
        if "seeds" in job:
            started[training_folder(job["dataset"], job["net"], job["P"])].add(parse_seeds(job["seeds"]))
    sweeps = [
        _sweep(name, entry, config, datasets, schema, runs, warnings, started)
        for name, entry in config["sweeps"].items()
    ]
    half = [sweep for sweep in sweeps if sweep.missing]
    warnings += [f"sweeps.{s.name}: {s.missing} of {s.planned} nets are not there yet" for s in half]
    sweeps = [sweep for sweep in sweeps if sweep.measurements]
    if not sweeps:
        raise InputError("partial: no run of any sweep is there yet; run snakemake without it first")
    checks.check_pretrained(runs.values(), root)
    checks.check_engine(config["engine"], runs.values())
    named = {sweep.name: sweep for sweep in sweeps}
    figures = []
    for name, entry in config["figures"].items():
        there = [named[sweep] for sweep in entry["sweep"] if sweep in named]
        try:
            figures.append(Figure(name, entry["kind"], there, entry["select"], entry["size"]))
            checks.check_figure(figures[-1])
        except InputError as error:
            if not config["partial"]:
                raise
            warnings.append(f"{error}; figure {name} is left out")
            figures.pop()
    everything = [*datasets.values(), *runs.values(), *(m for sweep in sweeps for m in sweep.measurements)]
    by_digest = {item.digest: item for item in everything}
    claims = Claims(sweeps)
    return Grid(
        device=config["device"],
        pack_minutes=config["pack_minutes"],
        engine=config["engine"],
        data_root=str(root),
        sweeps=sweeps,
        figures=figures,
        claims=claims,
        explorer=Explorer(sweeps),
        report=Report(claims, figures, raw),
        warnings=list(dict.fromkeys(warnings)),
        by_digest=by_digest,
    )


def read_grid(
    files: Sequence[str | Path],
    schema: Schema,
    settings: Sequence[str] = (),
    command: Iterable[str] = (),
    absent: bool = False,
) -> Grid:
    """The grid of config files in layers, see `read_layers`. Raises InputError, naming them, for whatever is wrong."""
    raw = read_layers(files, settings)
    try:
        return build_grid(raw, schema, command, absent)
    except InputError as error:
        raise InputError(f"{named(files, settings)}: {error}") from None


def _dataset(name: str, entry: Mapping[str, Any], schema: Schema, root: Path, absent: bool) -> Dataset:
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
        if absent and SOURCES[source].scanned:
            return replace(dataset, facts=SEEN_BY_NOBODY._replace(image_size=options["image_size"]))
        raise InputError(f"datasets.{name}: {error}") from None


def _sweep(
    name: str,
    entry: Mapping[str, Any],
    config: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    schema: Schema,
    runs: dict[str, Run],
    warnings: list[str],
    started: Mapping[str, Collection[range]],
) -> Sweep:
    where = f"sweeps.{name}"
    stability = schema.check(
        merged(config["stability"], entry["stability"]), schema.part("stability"), f"{where}.stability"
    )
    try:
        seeds, given = seed_ranges(entry["seeds"]), entry["training"] == GIVEN
    except InputError as error:
        raise InputError(f"{where}.{error}") from None
    warnings += [f"{where}: {sentence}" for sentence in (() if given else checks.check_seeds(entry["seeds"]))]
    measurements, flows = [], set()
    for dataset, net in product(entry["datasets"], entry["nets"]):
        data, options = datasets[dataset], config["nets"][net]
        architecture = {key: value for key, value in options.items() if key not in ("architecture", "training")}
        net_options = {"architecture": options["architecture"]}
        checks.check_kind(where, net, options["architecture"], given)
        if given:
            training, sizes = {"optimizer": GIVEN, "alpha": None}, entry["P"] or [data.facts.train_size]
            net_options |= schema.digested(architecture, schema.part("given"))
            files = checks.check_given(where, data, net, options, sizes, seeds, entry["observables"])
            net_options |= {"contents": files} if files else {}
        else:
            sizes, known = entry["P"], schema.part("nets", options["architecture"])
            training = schema.check(
                merged(known["properties"]["training"]["default"], config["training"], entry["training"],
                       options["training"]),  # nearer ones win
                schema.part("training"),
                f"{where}.training",
            )  # fmt: skip
            flows.add(training["optimizer"] == FLOW)
            said = checks.check_flow(
                where, data, net, options, training, sizes, entry["observables"], mixed=len(flows) > 1
            )
            checks.check_net(where, data, net, options["architecture"], training)
            said += checks.check_training(where, data, sizes, training)
            checks.check_batches(where, net, options["architecture"], sizes, training)
            warnings += [f"{where}: {sentence}" for sentence in said]
            net_options |= schema.digested(architecture, known)
        checks.check_observables(
            where, entry["observables"], training, net, options["architecture"], stability["images"]
        )
        warnings += [f"{where}: {sentence}" for sentence in checks.check_stability(where, data, stability)]
        observables = {name: _settings(stability, name, schema, training) for name in entry["observables"]}
        training = training if given else _training(training, schema)
        for P in sorted(sizes):
            run = Run(data, net, net_options, training, P, "")
            made = _made(run, seeds, started.get(run.folder, ()))
            for block in seed_blocks(seeds, config["seeds_per_job"], made):
                run = made.get(block) or replace(run, seeds=written(block))
                run = runs.setdefault(run.curves, run)  # sweeps may share runs; a shared run is one
                measurements += [Measurement(run, settings, name) for name, settings in observables.items()]
    if not config["partial"]:
        return Sweep(name, measurements)
    there = _there(measurements)
    planned = _nets(measurements)
    return Sweep(name, there, planned - _nets(there), planned)


def _made(run: Run, asked: Sequence[range], started: Collection[range]) -> dict[range, Run]:
    """By range of seeds, what of a run is on the disk: first what jobs were started for and what is asked for."""
    found = {seeds: replace(run, seeds=written(seeds)) for seeds in started}
    with suppress(FileNotFoundError), os.scandir(run.folder) as entries:
        for match in filter(None, (_CURVES.fullmatch(entry.name) for entry in entries)):
            one = replace(run, seeds=match[1])
            if one.digest == match[2]:
                found.setdefault(parse_seeds(match[1]), one)
    order = sorted(found, key=lambda seeds: (seeds not in started, seeds not in asked, -len(seeds), seeds.start))
    return {seeds: found[seeds] for seeds in order}


def _there(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Of a sweep that is half done, what is there of runs whose output has been measured."""
    found = [m for m in measurements if Path(m.path).is_file() and Path(m.run.curves).is_file()]
    whole = {m.run.digest for m in found if m.observable == "output"}
    return [m for m in found if m.run.digest in whole]


def _nets(measurements: Sequence[Measurement]) -> int:
    """How many nets they are measured on."""
    runs = {m.run.digest: m.run for m in measurements}.values()
    # A gradient flow has a net for every alpha.
    alphas = [len(run.training["alpha"]) if run.training["optimizer"] == FLOW else 1 for run in runs]
    return sum(len(parse_seeds(run.seeds)) * count for run, count in zip(runs, alphas, strict=True))


def _training(training: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Training options that bear on the optimiser: a gradient flow has no learning rate, and nothing else its times."""
    if training["optimizer"] == FLOW:
        alpha = training["alpha"]
        return {
            **{key: training[key] for key in OF_FLOW},
            "alpha": sorted(alpha if isinstance(alpha, list) else [alpha]),
        }
    digested = schema.digested(training, schema.part("training"))
    return {key: value for key, value in digested.items() if key not in OF_FLOW_ALONE}


def _settings(
    stability: Mapping[str, Any], observable: str, schema: Schema, training: Mapping[str, Any]
) -> dict[str, Any]:
    """Stability settings that bear on this observable: displacements leave a measurement in a subspace alone."""
    family = stability["perturbation"]
    idle = {"magnitude" if family in DISPLACING else "displacement"}
    idle |= set() if family == "diffeomorphism" else {"cut", "modes"}
    idle |= set() if family in GEOMETRIC else {"interpolation"}
    idle |= set() if observable in checks.OF_LAYERS else {"layers"}
    idle |= set() if observable.startswith("alignment") else {"kernel_images"}
    idle |= set() if observable == "information" else {"bin_size"}
    if observable.removesuffix("_dynamics") in checks.OF_LAYERS[1:]:  # nothing is perturbed
        idle |= {"cut", "displacement", "magnitude", "draws", "estimator", "noise_matching", "interpolation", "modes"}
    idle |= {"trained_weights"} if training["optimizer"] in (FLOW, GIVEN) else set()
    digested = schema.digested(stability, schema.part("stability"))
    return {key: value for key, value in digested.items() if key not in idle}
