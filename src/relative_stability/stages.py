"""One function a stage: files in, files out. The workflow's scripts call these and nothing else."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relative_stability.errors import InputError
from relative_stability.logs import log
from relative_stability.provenance import hardware, software
from relative_stability.results import digest as digest_of
from relative_stability.store import as_json, expect, write

Request = Mapping[str, Any]


def _attributes(request: Request, digest: str, started: float | None = None) -> dict[str, str | float]:
    made = {"stage": request["stage"], "digest": digest, "request": as_json(request), **software()}
    return made if started is None else {**made, "wall_time_s": round(time.monotonic() - started, 3)}


def _clear_other_marks(mark: str) -> None:
    """Before a result without a digest in its name is written: marks of what it was made from before go.

    Going back to an earlier request then finds no mark, and the result is made anew.
    """
    current = Path(mark)
    for old in current.parent.glob(f"{current.stem}.*"):
        if old != current:
            old.unlink()


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
    attributes = _attributes(request, digest)
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
    """A run: curves as netCDF, weights as safetensors.

    checkpoints: side folder of this run alone, which is gone when the run is done. engine: how to train, see
    `Execution`. data_root: folder of raw data, and of pretrained weights.
    """
    from relative_stability.datasets.prepared import open_prepared
    from relative_stability.grid import parse_seeds
    from relative_stability.store import write_tensors
    from relative_stability.training.checkpoints import Checkpoints
    from relative_stability.training.lock import locked
    from relative_stability.training.run import Execution, train_run

    where, execution = _device(device, threads), Execution(**engine)
    side = Checkpoints(Path(checkpoints), digest, execution.checkpoint_minutes)
    with side.listening(), locked(side.folder, side.heed) as waited:
        started = time.monotonic()
        if waited and _made(curves, weights, digest):
            log.info("the process that this one waited for has finished the run")
            side.clear()
            return
        try:
            data = open_prepared(dataset, digest_of(request["dataset"]))
            seeds = parse_seeds(request["seeds"])
            trained = train_run(request, data, seeds, where, Path(data_root), execution, side)
            attributes = {**_attributes(request, digest, started), **hardware(str(where)), **trained.attributes}
            write_tensors(weights, trained.weights, {"digest": digest, "request": as_json(request)})
            write(curves, trained.curves, attributes)
        except BaseException:
            side.clear_if_empty()
            raise
        side.clear()


def _made(curves: str, weights: str, digest: str) -> bool:
    """Whether both files of a run are there and whole."""
    from relative_stability.store import read_attributes, read_tensors

    try:
        made = [read_attributes(curves), read_tensors(weights)[1]]
    except InputError:
        return False
    return all(attributes.get("digest") == digest for attributes in made)


def measure(
    request: Request,
    digest: str,
    run_digest: str,
    dataset: str,
    curves: str,
    weights: str,
    out: str,
    device: str,
    threads: int,
) -> None:
    """Stability of a run, as netCDF."""
    from relative_stability.datasets.prepared import open_prepared
    from relative_stability.observables import LATER, measure_run
    from relative_stability.store import read, read_tensors

    started, where = time.monotonic(), _device(device, threads)
    records, made = read(curves, remade_by="train")
    expect(curves, made, run_digest, remade_by="train")
    tensors, made = read_tensors(weights, remade_by="train")
    expect(weights, made, run_digest, remade_by="train")
    data = open_prepared(dataset, digest_of(request["run"]["dataset"]))
    variables = measure_run(request, data, records, tensors, where)
    settings = {**LATER, **request["stability"]}
    settings = {key: value if isinstance(value, str | int) else as_json(value) for key, value in settings.items()}
    settings["stability_seed"] = settings.pop("seed")
    write(out, variables, {**_attributes(request, digest, started), **hardware(str(where)), **settings})


def collect(request: Request, runs: Sequence[Mapping[str, Any]], mark: str, out: str, former: str = "") -> None:
    """The runs of a sweep, as one netCDF.

    runs: for each its labels and place, path and digest of its curves, and for each observable those of its stability.
    former: second name of the file, under which the next job finds it; what it has already is not read again.
    """
    from relative_stability.collection import Collection
    from relative_stability.former import PARTS, contents, head, keep, open_former
    from relative_stability.grid import parse_seeds
    from relative_stability.parts import Part, run_part
    from relative_stability.store import read

    def checked(made: Sequence[str], rule: str) -> Any:
        path, digest = made
        variables, attributes = read(path, rule)
        expect(path, attributes, digest, remade_by=rule)
        return variables, attributes

    def from_files(run: Mapping[str, Any]) -> Part:
        measured = {name: checked(made, "measure") for name, made in run["stability"].items()}
        return run_part(run, measured, checked(run["curves"], "train")[0])

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
    attributes = {**collection.attributes, **_attributes(request, _digest(mark)), "sweep": request["sweep"]}
    if collection.exact:
        attributes[PARTS] = contents(heads)
    _clear_other_marks(mark)
    write(out, variables, attributes)
    if former:
        keep(out, former)


def figure(
    request: Request, digests: Sequence[str], mark: str, sources: Sequence[str], pdf: str, png: str, numbers: str
) -> None:
    """A figure as PDF and PNG, and the numbers drawn as netCDF. digests: what the sources must have been made from."""
    from relative_stability.figures import draw
    from relative_stability.store import atomic, write_dataset

    drawn, picture = draw(request["kind"], sources, digests)
    drawn.attrs.update(_attributes(request, _digest(mark)))
    _clear_other_marks(mark)
    write_dataset(numbers, drawn)
    for path, options in ((pdf, {"metadata": {"CreationDate": None}}), (png, {"dpi": 200})):
        with atomic(path) as temporary:
            picture.savefig(temporary, format=Path(path).suffix[1:], **options)


def claims(request: Request, digests: Sequence[str], mark: str, sweeps: Sequence[str], table: str, page: str) -> None:
    """The claims checked on every sweep, as CSV and as a page in Markdown. digests: those that the sweeps must have."""
    from relative_stability.claims import check, to_csv, to_markdown
    from relative_stability.store import write_text
    from relative_stability.sweep import open_sweep

    datasets = [open_sweep(path) for path in sweeps]
    for path, dataset, digest in zip(sweeps, datasets, digests, strict=True):
        expect(path, dataset.attrs, digest, remade_by="collect")
    rows = [row for dataset in datasets for row in check(dataset)]
    _clear_other_marks(mark)
    write_text(table, to_csv(rows))
    write_text(page, to_markdown(rows, datasets))


def _digest(mark: str) -> str:
    return Path(mark).suffix[1:]
