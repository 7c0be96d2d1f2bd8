"""One function a stage: files in, files out. The workflow's scripts call these and nothing else."""

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from relative_stability.core.errors import InputError
from relative_stability.core.logs import STOPPED, job_log, log
from relative_stability.core.provenance import hardware, software
from relative_stability.core.store import as_json, expect, write_dataset
from relative_stability.jobs.finished import forget, keep, kept, take
from relative_stability.plan.digests import source_digest
from relative_stability.plan.marks import digest_in, settle
from relative_stability.plan.runs import digest as digest_of
from relative_stability.training.lock import clear_unless_held

Request = Mapping[str, Any]


def made_by(request: Request, digest: str, started: float | None = None) -> dict[str, str | float]:
    made = {"stage": request["stage"], "digest": digest, "request": as_json(request), **software()}
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
    finished: str = "",
    packs: Sequence[str] = (),
) -> None:
    """A run: curves as netCDF, weights as safetensors.

    checkpoints: side folder of this run alone, which is gone when the run is done. engine: how to train, see
    `Execution`. data_root: folder of raw data, and of pretrained weights. finished: folder where finished results have
    second names. packs: mark of the pack that has trained this run, if one has.
    """
    if _taken((curves, weights), digest, finished, packs):
        clear_unless_held(Path(checkpoints))
        return
    from relative_stability.core.store import write_tensors
    from relative_stability.datasets.prepared import open_prepared
    from relative_stability.plan.seeds import parse_seeds
    from relative_stability.training.checkpoints import Checkpoints
    from relative_stability.training.gradient_flow.run import flow_run
    from relative_stability.training.lock import locked
    from relative_stability.training.run import Execution, train_run

    where, execution = _device(device, threads), Execution(**engine)
    side = Checkpoints(Path(checkpoints), digest, execution.checkpoint_minutes)
    with side.listening(), locked(side.folder, side.heed) as waited:
        started = time.monotonic()
        if waited and _taken((curves, weights), digest, finished):
            side.clear()
            return
        try:
            data = open_prepared(dataset, digest_of(request["dataset"]))
            seeds = parse_seeds(request["seeds"])
            if request["training"]["optimizer"] == "gradient_flow":
                trained = flow_run(request, data, seeds, where, execution, side)
            else:
                trained = train_run(request, data, seeds, where, Path(data_root), execution, side)
            attributes = {**made_by(request, digest, started), **hardware(str(where)), **trained.attributes}
            write_tensors(weights, trained.weights, {"digest": digest, "request": as_json(request)})
            write_dataset(curves, trained.curves.assign_attrs(attributes))
        except BaseException:
            side.clear_if_empty()
            raise
        keep((curves, weights), finished)
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
    finished: str = "",
    packs: Sequence[str] = (),
) -> None:
    """Stability of a run, as netCDF. finished, packs: as for `train`."""
    if _taken([out], digest, finished, packs):
        return
    from relative_stability.core.store import open_dataset, read_tensors
    from relative_stability.datasets.prepared import open_prepared
    from relative_stability.jobs.observables import LATER, measure_run

    started, where = time.monotonic(), _device(device, threads)
    records = open_dataset(curves, remade_by="train")
    run = digest_of(request["run"])
    expect(curves, records.attrs, run, remade_by="train")
    tensors, made = read_tensors(weights, remade_by="train")
    expect(weights, made, run, remade_by="train")
    data = open_prepared(dataset, digest_of(request["run"]["dataset"]))
    measured = measure_run(request, data, records, tensors, where)
    settings = {**LATER, **request["stability"]}
    settings = {key: value if isinstance(value, str | int) else as_json(value) for key, value in settings.items()}
    settings["stability_seed"] = settings.pop("seed")
    write_dataset(out, measured.assign_attrs({**made_by(request, digest, started), **hardware(str(where)), **settings}))
    keep([out], finished)


def _taken(paths: Sequence[str], digest: str, finished: str, packs: Sequence[str] = ()) -> bool:
    """Whether results are there already, as another process has made them. A pack must have."""
    if take(paths, digest, finished):
        log.info("taken as another process has finished it")
        return True
    if packs:
        Path(packs[0]).unlink(missing_ok=True)  # so that the pack is run again
        raise SystemExit(1)  # what went wrong there is what this job's log ends with
    return False


def pack(
    tasks: Iterable[Mapping[str, Any]],
    device: str,
    threads: int,
    engine: Mapping[str, Any],
    data_root: str,
    finished: str,
) -> None:
    """Small runs in one process, each trained and measured. What they make waits in `finished` for their own jobs.

    tasks: for each run the arguments of `train`, and those of `measure` for whatever is measured, each with its log.
    A run that fails says so there and holds up no other; a signal to leave ends them all.
    """
    failed = 0
    for task in tasks:
        run = task["train"]
        curves, weights = _place((run["curves"], run["weights"]), finished)
        shared = {"curves": curves, "weights": weights, "device": device, "threads": threads}
        done = _logged(train, {**run, **shared, "engine": engine, "data_root": data_root}, run["curves"], finished)
        for one in task["measure"] if done else []:
            (out,) = _place([one["out"]], finished)
            done &= _logged(measure, {**one, **shared, "out": out}, one["out"], finished)
        failed += not done
        _release()
    if failed:
        log.warning("%d of its runs failed; their own logs say why", failed)


def _place(paths: Sequence[str], finished: str) -> list[str]:
    """Where a pack finds or leaves results: under their own names if they are there, else under their second ones."""
    if all(Path(path).is_file() for path in paths):
        keep(paths, finished)  # their own jobs may be about to start, and Snakemake to delete them
        return list(paths)
    return [str(kept(path, finished)) for path in paths]


def _release() -> None:
    """Give back what a run has left in memory."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _logged(stage: Callable[..., None], arguments: Mapping[str, Any], title: str, finished: str) -> bool:
    """Whether a stage went well, logged where its own job goes on with the log."""
    rest = {key: value for key, value in arguments.items() if key != "log"}
    try:
        with job_log(str(kept(arguments["log"], finished)), f"{stage.__name__} {title}"):
            stage(**rest)
    except SystemExit as left:
        if left.code == STOPPED:
            raise
        return False
    return True


def collect(request: Request, runs: Sequence[Mapping[str, Any]], mark: str, out: str, finished: str = "") -> None:
    """The runs of a sweep, as one netCDF.

    runs: for each its labels and place, path and digest of its curves, and for each observable those of its stability.
    What the sweep file of last time has of them is not read again. finished: folder of the second names of runs, which
    go as they have been collected.
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
        part = collect.run_dataset(run, measured, checked(run["curves"], "train"))
        kinds[run["place"]] = collect.kind(part)
        return part

    runs = [{**run, "seeds": parse_seeds(run["seeds"])} for run in runs]
    parts, kinds = _known(out, request, runs)
    new = [run for run in runs if run["place"] not in kinds]
    log.info("%d runs, of which %d are read and the others taken from the former file", len(runs), len(new))
    order = {axis: list(dict.fromkeys(run[axis] for run in runs)) for axis in ("dataset", "net")}
    sweep = collect.combine(chain(parts, map(read, new)), order)
    # Versions and commits are those of the runs, which may have been made long before.
    ordered = {run["place"]: kinds[run["place"]] for run in runs}
    attributes = {
        **made_by(request, digest_in(mark)),
        **collect.attributes(ordered.values()),
        "sweep": request["sweep"],
    }
    attributes |= {key: request[key] for key in ("missing", "planned") if key in request}
    numbers = {kind: k for k, kind in enumerate(dict.fromkeys(ordered.values()))}
    of = {place: numbers[kind] for place, kind in ordered.items()}
    attributes["parts"] = as_json({"code": _code(), "kinds": list(numbers), "of": of})
    write_dataset(out, sweep.assign_attrs(attributes))
    settle(mark)
    Path(out).touch()  # never older than its mark
    for run in runs:
        curves = run["curves"][0]
        weights = Path(curves).with_suffix(".safetensors")
        forget([curves, weights, *(made[0] for made in run["stability"].values())], finished)


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
