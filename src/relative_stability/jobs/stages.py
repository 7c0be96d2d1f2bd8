"""One function a stage: files in, files out. The workflow's scripts call these and nothing else."""

import gc
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from relative_stability.core.errors import InputError
from relative_stability.core.logs import STOPPED, job_log, log
from relative_stability.core.provenance import hardware, software
from relative_stability.core.store import as_json, expect, write
from relative_stability.jobs.finished import forget, keep, kept, name, take
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
            write(curves, trained.curves, attributes)
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
    from relative_stability.core.store import read, read_tensors
    from relative_stability.datasets.prepared import open_prepared
    from relative_stability.jobs.observables import LATER, measure_run

    started, where = time.monotonic(), _device(device, threads)
    records, made = read(curves, remade_by="train")
    run = digest_of(request["run"])
    expect(curves, made, run, remade_by="train")
    tensors, made = read_tensors(weights, remade_by="train")
    expect(weights, made, run, remade_by="train")
    data = open_prepared(dataset, digest_of(request["run"]["dataset"]))
    variables = measure_run(request, data, records, tensors, where)
    settings = {**LATER, **request["stability"]}
    settings = {key: value if isinstance(value, str | int) else as_json(value) for key, value in settings.items()}
    settings["stability_seed"] = settings.pop("seed")
    write(out, variables, {**made_by(request, digest, started), **hardware(str(where)), **settings})
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


def collect(
    request: Request, runs: Sequence[Mapping[str, Any]], mark: str, out: str, former: str = "", finished: str = ""
) -> None:
    """The runs of a sweep, as one netCDF.

    runs: for each its labels and place, path and digest of its curves, and for each observable those of its stability.
    former: second name of the file, under which the next job finds it; what it has already is not read again.
    finished: folder of the second names of runs, which go as they have been collected.
    """
    from relative_stability.analysis.collect import Collection
    from relative_stability.analysis.former import PARTS, contents, head, open_former
    from relative_stability.analysis.parts import Part, run_part
    from relative_stability.core.store import read
    from relative_stability.plan.seeds import parse_seeds

    def checked(made: Sequence[str], rule: str) -> Any:
        path, digest = made
        variables, attributes = read(path, rule)
        expect(path, attributes, digest, remade_by=rule)
        return variables, attributes

    def from_files(run: Mapping[str, Any]) -> Part:
        measured = {name: checked(made, "measure") for name, made in run["stability"].items()}
        curves, trained = checked(run["curves"], "train")
        return run_part(run, measured, curves, str(trained["device"]))

    runs = [{**run, "seeds": parse_seeds(run["seeds"])} for run in runs]
    known, collection, heads, read_anew = open_former(former, request), Collection(runs), {}, 0
    for run in runs:
        part = known.part(run) if known is not None else None
        if part is None:
            part, read_anew = from_files(run), read_anew + 1
        collection.add(run, part)
        heads[run["place"]] = head(part)
    log.info("%d runs, of which %d were read and the others taken from the former file", len(runs), read_anew)
    variables = collection.variables
    # Versions and commits are those of the runs, which may have been made long before.
    attributes = {**made_by(request, digest_in(mark)), **collection.attributes, "sweep": request["sweep"]}
    attributes |= {key: request[key] for key in ("missing", "planned") if key in request}
    if collection.exact:
        attributes[PARTS] = contents(heads)
    settle(mark)
    write(out, variables, attributes)
    if former:
        name(out, former)
    for run in runs:
        curves = run["curves"][0]
        weights = Path(curves).with_suffix(".safetensors")
        forget([curves, weights, *(made[0] for made in run["stability"].values())], finished)
