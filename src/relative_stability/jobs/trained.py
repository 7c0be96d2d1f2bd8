"""A trained net of a sweep, ready to use."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from relative_stability.core.errors import InputError, nearest
from relative_stability.core.store import open_dataset, read_tensors
from relative_stability.datasets.prepared import open_prepared
from relative_stability.plan.runs import digest, trained_by
from relative_stability.training.run import load_net

STATES = ("init", "last", "best", "trained")


class TrainedNet(NamedTuple):
    """net: from (B, C, n, n) to (B, outputs), in evaluation mode; mean, std: (C, 1, 1), of pixels from 0 to 1.

    images, labels: those of the test split, (N, C, n, n) as the net sees them, and (N,).
    """

    net: nn.Module
    mean: Tensor
    std: Tensor
    images: Tensor
    labels: Tensor


def load_run(curves: str | Path, seed: int = 0, state: str = "trained") -> TrainedNet:
    """A net that the pipeline has trained, and the test images of its dataset.

    curves: a file results/training/…/seeds….nc, its weights beside it and its dataset in results/datasets; seed: one of
    the file's; state: "init", "last", "best" (of the lowest test error), or "trained", which is "best". Raises
    InputError for a file that is not there or is no such run, a seed that it does not hold or that diverged, for nets
    that were given, and for gradient flows, whose weights stand in the file itself.

    >>> load_run("results/training/digits/cnn/P64/seeds0-3.nc", seed=2)
    Traceback (most recent call last):
    relative_stability.core.errors.InputError: results/training/digits/cnn/P64/seeds0-3.nc does not exist; runs lie ...
    """
    path = Path(curves)
    if not path.is_file():
        raise InputError(f"{path} does not exist; runs lie in results/training/DATASET/NET/P…/seeds….nc")
    run = open_dataset(path, "train")
    request = json.loads(run.attrs.get("request", "{}"))
    if request.get("stage") != "train":
        raise InputError(f"{path} is no trained run; runs lie in results/training")
    if "time" in run.dims:
        raise InputError(f"{path} is a gradient flow: its weights at every time are its variable hidden_weight")
    if trained_by(request["training"]) == "give":
        raise InputError(f"{path} is of a net that was given, as {request['net']['architecture']}: it is where it was")
    if state not in STATES:
        raise InputError(f"state {state!r} is unknown; {nearest(state, STATES)}")
    seeds = [int(value) for value in run["seed"].values]
    if seed not in seeds:
        raise InputError(f"seed {seed} is not in {path}, which holds seeds {', '.join(map(str, seeds))}")
    index = seeds.index(seed)
    if state != "init" and np.isfinite(run["diverged_epoch"].values[index]):
        raise InputError(f"seed {seed} of {path} diverged; it has no trained net")
    name = f"*.{digest(request['dataset'])}.nc"
    folder = next((p / "datasets" for p in path.resolve().parents if (p / "datasets").is_dir()), path.parent)
    data = open_prepared(next(iter(sorted(folder.glob(name))), folder / name), digest(request["dataset"]))
    weights, _ = read_tensors(path.with_suffix(".safetensors"), "train")
    net = load_net(request, data, weights, "best" if state == "trained" else state, index, torch.device("cpu")).eval()
    test = torch.nonzero(data.test).flatten()
    return TrainedNet(net, data.mean, data.std, data.seen(test, torch.device("cpu")), data.labels[test])
