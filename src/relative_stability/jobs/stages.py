"""One function a stage: files in, files out. The workflow's scripts call these and nothing else."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from relative_stability.core.errors import InputError, UnavailableError
from relative_stability.core.logs import log
from relative_stability.core.provenance import hardware, software
from relative_stability.core.store import as_json, expect, write_dataset, write_text
from relative_stability.plan.digests import STAGES, source_digest, stage_digest
from relative_stability.plan.marks import digest_in, making
from relative_stability.plan.runs import digest as digest_of
from relative_stability.plan.stage_code import stage_of
from relative_stability.training.lock import clear_unless_held

Request = Mapping[str, Any]
ANEW = "RELATIVE_STABILITY_ANEW"  # where this is set, to seconds of the epoch, results from before are made again


def made_by(request: Request, digest: str, started: float | None = None) -> dict[str, str | float]:
    made = {"stage": request["stage"], "digest": digest, "request": as_json(request), **software()}
    if (stage := stage_of(request)) in STAGES:  # figures and claims have the digest of their code in their request
        made["code"] = stage_digest(stage)
    return made if started is None else {**made, "wall_time_s": round(time.monotonic() - started, 3)}


def _device(name: str, threads: int) -> Any:
    """The device to run on, and as many threads as the job was given."""
    import torch

    torch.set_num_threads(threads)
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda is asked for and torch sees no GPU; use auto or cpu, or ask for a GPU node")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def prepare(request: Request, digest: str, path: str, data_root: str) -> None:
    """A dataset by its options, as one netCDF. data_root: folder of raw data."""
    from relative_stability import datasets
    from relative_stability.datasets.prepared import write_prepared

    options = dict(request["options"])
    source = options.pop("source")
    attributes = made_by(request, digest)
    samples = datasets.load(source, Path(data_root), **options)
    facts = datasets.facts(source, Path(data_root), **options)
    write_prepared(path, samples, facts, attributes)


def train(
    request: Request,
    digest: str,
    dataset: str,
    curves: str,
    weights: str,
    device: str,
    threads: int,
    checkpoints: str,
    engine: Mapping[str, Any],
    data_root: str = "",
) -> None:
    """A run: curves as netCDF, weights as safetensors. What is there already, whole, stays untouched.

    checkpoints: side folder of this run alone, which is gone when the run is done. engine: how to train, see
    `Execution`. data_root: folder of raw data, and of pretrained weights.
    """
    if _taken((curves, weights), digest):
        clear_unless_held(Path(checkpoints))
        return
    from relative_stability.core.store import write_tensors
    from relative_stability.datasets.prepared import open_prepared
    from relative_stability.plan.seeds import parse_seeds
    from relative_stability.training.checkpoints import Checkpoints
    from relative_stability.training.given import given_run
    from relative_stability.training.gradient_flow.run import flow_run
    from relative_stability.training.lock import locked
    from relative_stability.training.run import Execution, train_run

    where, execution = _device(device, threads), Execution(**engine)
    side = Checkpoints(Path(checkpoints), digest, execution.checkpoint_minutes)
    with side.catching_signals(), locked(side.folder, side.check_stopped) as waited:
        started = time.monotonic()
        if waited and _taken((curves, weights), digest):
            side.clear()
            return
        try:
            data = open_prepared(dataset, digest_of(request["dataset"]))
            seeds = parse_seeds(request["seeds"])
            stage = stage_of(request)
            if stage == "flow":
                trained = flow_run(request, data, seeds, where, execution, side)
            elif stage == "give":
                trained = given_run(request, data, seeds[0], where)
            else:
                trained = train_run(request, data, seeds, where, Path(data_root), execution, side)
            attributes = {**made_by(request, digest, started), **hardware(str(where)), **trained.attributes}
            write_tensors(weights, trained.weights, {"digest": digest, "request": as_json(request)})
            write_dataset(curves, trained.curves.assign_attrs(attributes))
        except BaseException:
            side.clear_if_empty()
            raise
        side.clear()


def measure(
    request: Request,
    digest: str,
    dataset: str,
    curves: str,
    weights: str,
    out: str,
    device: str,
    threads: int,
) -> None:
    """Stability of a run, as netCDF. What is there already, whole, stays untouched."""
    if _taken([out], digest):
        return
    from relative_stability.core.store import open_dataset, read_tensors
    from relative_stability.datasets.prepared import open_prepared
    from relative_stability.jobs.observables import LATER, measure_run

    started, where = time.monotonic(), _device(device, threads)
    records = open_dataset(curves, remade_by="train")
    run = digest_of(request["run"])
    expect(curves, records.attrs, run, remade_by="train", lacks={"seed", "diverged_epoch"} - set(records.variables))
    tensors, made = read_tensors(weights, remade_by="train")
    expect(weights, made, run, remade_by="train")
    data = open_prepared(dataset, digest_of(request["run"]["dataset"]))
    measured = measure_run(request, data, records, tensors, where)
    settings = {**LATER, **request["stability"]}
    settings = {key: value if isinstance(value, str | int) else as_json(value) for key, value in settings.items()}
    settings["stability_seed"] = settings.pop("seed")
    write_dataset(out, measured.assign_attrs({**made_by(request, digest, started), **hardware(str(where)), **settings}))


def _taken(paths: Sequence[str], digest: str) -> bool:
    """Whether results are there already, whole and of this digest, as another process has made them."""
    since = float(os.environ.get(ANEW, 0))
    if not all(whole(Path(path), digest) and Path(path).stat().st_mtime >= since for path in paths):
        return False
    log.info("taken as another process has finished it")
    return True


def whole(path: Path, digest: str) -> bool:
    """Whether a result is there, complete and of this digest. Raises UnavailableError where that cannot be told now."""
    from relative_stability.core.store import open_dataset, tensor_attributes

    try:
        if path.is_file():
            made = tensor_attributes(path) if path.suffix == ".safetensors" else open_dataset(path).attrs
            return made.get("digest") == digest
    except UnavailableError:
        raise
    except InputError:
        pass
    return False


def collect(request: Request, runs: Sequence[Mapping[str, Any]], mark: str, out: str) -> None:
    """The runs of a sweep, as one netCDF.

    runs: for each its labels and place, path and digest of its curves, and for each observable those of its stability.
    What the sweep file of last time has of them is not read again.
    """
    from relative_stability.analysis import collect
    from relative_stability.core.store import open_dataset
    from relative_stability.plan.seeds import parse_seeds

    def checked(made: Sequence[str], rule: str) -> Any:
        path, digest = made
        dataset = open_dataset(path, rule)
        expect(path, dataset.attrs, digest, remade_by=rule)
        return dataset

    def read(run: Mapping[str, Any]) -> Any:
        measured = {name: checked(made, "measure") for name, made in run["stability"].items()}
        curves = checked(run["curves"], "train")
        try:
            part = collect.run_dataset(run, measured, curves)
        except KeyError as error:  # the right digest, and other content
            files = ", ".join(made[0] for made in (run["curves"], *run["stability"].values()))
            raise InputError(f"{files}: {error} is in none of them; delete them and run snakemake again") from error
        kinds[run["place"]] = collect.kind(part)
        return part

    runs = [{**run, "seeds": parse_seeds(run["seeds"])} for run in runs]
    with making(mark):  # from here on: where this fails, Snakemake puts the former file back as if it were new
        parts, kinds = _known(out, request, runs)
        new = [run for run in runs if run["place"] not in kinds]
        log.info("%d runs, of which %d are read and the others taken from the former file", len(runs), len(new))
        order = {axis: list(dict.fromkeys(run[axis] for run in runs)) for axis in ("dataset", "net")}
        sweep = collect.combine(chain(parts, map(read, new)), order)
        ordered = {run["place"]: kinds[run["place"]] for run in runs}
        numbers = {kind: k for k, kind in enumerate(dict.fromkeys(ordered.values()))}
        attributes = {
            **made_by(request, digest_in(mark)),
            **collect.attributes(numbers),  # versions and commits of the runs, which may have been made long before
            "sweep": request["sweep"],
            **{key: request[key] for key in ("missing", "planned") if key in request},
        }
        of = {place: numbers[kind] for place, kind in ordered.items()}
        attributes["parts"] = as_json({"code": _code(), "kinds": list(numbers), "of": of})
        write_dataset(out, sweep.assign_attrs(attributes))


def _code() -> str:
    return source_digest("analysis/collect")


def _known(path: str, request: Request, runs: Sequence[Mapping[str, Any]]) -> tuple[list[Any], dict[str, str]]:
    """What the sweep file of last time has of these runs, as datasets; and of what kind each of them is, by place.

    A run is read again if a digest is another one, or one of its files newer than the sweep.
    """
    from relative_stability.analysis.collect import parts_of
    from relative_stability.analysis.sweep import AXES
    from relative_stability.core.store import open_dataset

    if not Path(path).is_file():
        return [], {}
    try:
        sweep, time = open_dataset(path), Path(path).stat().st_mtime_ns
        made, parts = json.loads(sweep.attrs["request"]), json.loads(sweep.attrs["parts"])
        if (made["version"], parts["code"]) != (request["version"], _code()):
            raise ValueError("it was made by another version")
        digests: dict[str, tuple[str, dict[str, str]]] = {}
        for place, run, observable, measurement in made["measurements"]:
            digests.setdefault(place, (run, {}))[1][observable] = measurement
        same: dict[str, list[Mapping[str, Any]]] = {}
        for run in runs:
            files = [made[0] for made in (run["curves"], *run["stability"].values())]
            wanted = run["curves"][1], {name: made[1] for name, made in run["stability"].items()}
            if digests.get(run["place"]) == wanted and all(Path(file).stat().st_mtime_ns <= time for file in files):
                same.setdefault(parts["kinds"][parts["of"][run["place"]]], []).append(run)
        found = []
        for kind, those in same.items():
            nets = [{**run, "seed": seed} for run in those for seed in run["seeds"]]
            labels = {axis: [net[axis] for net in nets] for axis in AXES}
            found.append(parts_of(sweep, labels, kind))
    except (InputError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        log.info("every run is read, as the former sweep is of no use: %s", error)
        return [], {}
    return found, {run["place"]: kind for kind, those in same.items() for run in those}


def figure(
    request: Request, digests: Sequence[str], mark: str, sources: Sequence[str], pdf: str, png: str, numbers: str
) -> None:
    """A figure as PDF and PNG, and the numbers drawn as netCDF. digests: what the sources must have been made from."""
    from relative_stability.core.store import atomic, write_dataset
    from relative_stability.figures import draw

    drawn, picture = draw(request["kind"], sources, digests, request["select"], request["size"])
    drawn.attrs.update(made_by(request, digest_in(mark)))
    with making(mark):
        write_dataset(numbers, drawn)
        for path, options in ((pdf, {"metadata": {"CreationDate": None}}), (png, {"dpi": 200})):
            with atomic(path) as temporary:
                picture.savefig(temporary, format=Path(path).suffix[1:], **options)


def animation(kind: str, numbers: str, gif: str) -> None:
    """The film of a figure, from the numbers drawn."""
    from matplotlib.animation import PillowWriter

    from relative_stability.core.store import atomic
    from relative_stability.figures import animate

    with atomic(gif) as temporary:
        # The writer takes the format from the name.
        named = temporary.with_suffix(".gif")
        try:
            animate(kind, numbers).save(named, PillowWriter(fps=4), dpi=100)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)


def claims(request: Request, digests: Sequence[str], mark: str, sweeps: Sequence[str], table: str, page: str) -> None:
    """The claims checked on every sweep, as CSV and as a page in Markdown. digests: those that the sweeps must have."""
    from relative_stability.analysis.claims.diffeomorphisms import check_all
    from relative_stability.analysis.claims.page import to_csv, to_markdown
    from relative_stability.analysis.sweep import open_sweep

    datasets = [open_sweep(path) for path in sweeps]
    for path, dataset, digest in zip(sweeps, datasets, digests, strict=True):
        expect(path, dataset.attrs, digest, remade_by="collect")
    rows = check_all(datasets)
    with making(mark):
        write_text(table, to_csv(rows))
        write_text(page, to_markdown(rows, datasets))


def report(request: Request, mark: str, out: str, **files: Any) -> None:
    """The report as HTML. files: see `figures.pages.report.report`."""
    from relative_stability.figures.pages import report as page

    text = page.report(request, **files)
    with making(mark):
        write_text(out, text)


def explorer(mark: str, out: str, **files: Any) -> None:
    """The explorer as HTML. files: see `figures.pages.explorer.explorer`."""
    from relative_stability.figures.pages import explorer as page

    text = page.explorer(**files)
    with making(mark):
        write_text(out, text)
