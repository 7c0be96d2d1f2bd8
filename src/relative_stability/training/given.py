"""Nets that are given rather than trained: built, loaded, and scored on the test images; each is a run of one seed."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from relative_stability.core.errors import InputError
from relative_stability.core.logs import log
from relative_stability.core.store import labelled
from relative_stability.datasets.prepared import Prepared
from relative_stability.nets.external import Element, Preprocessing, colours, load_net, renumbered
from relative_stability.nets.weights import is_file, load_weights
from relative_stability.stability.activations import tensors_in
from relative_stability.stability.evaluation_mode import evaluation_mode
from relative_stability.training.run import Trained

BATCH = 100


class Given(NamedTuple):
    """A net, and how it wants its images; normalised: whether that says by which mean, or it is that of the dataset."""

    net: nn.Module
    preprocessing: Preprocessing
    normalised: bool

    def seen(self, data: Prepared, indices: Tensor, device: torch.device) -> Tensor:
        """Samples as the net sees them, (B, C, n, n)."""
        how = self.preprocessing
        if not self.normalised:
            how = how._replace(mean=tuple(data.mean.flatten().tolist()), std=tuple(data.std.flatten().tolist()))
        return how.of(data.images[indices].to(device), colours(self.net))


def has_start(net: Mapping[str, Any]) -> bool:
    """Whether it is known how the net was before its training. net: `architecture` and options, as in a request."""
    return net.get("weights") is not None


def given_net(net: Mapping[str, Any], seed: int, trained: bool = True) -> Given:
    """The net with its weights, or, where these are known apart from it, at the initialisation of the seed."""
    weights = net.get("weights")
    name = weights if weights is not None and not is_file(weights) else None
    module, own = load_net(
        net["architecture"], net.get("classes"), seed, trained and name is not None, name or "DEFAULT"
    )
    if trained and weights is not None and name is None:
        without = load_weights(module, weights).without
        log.info("weights %s%s", weights, f", without {', '.join(without)}" if without else "")
    if net.get("output") is not None:
        module = Element(module, net["output"])
    how = own.but(*(net.get(key) for key in ("size", "crop", "mean", "std")))
    return Given(module, how, own != Preprocessing() or net.get("mean") is not None)


def given_run(request: Mapping[str, Any], data: Prepared, seed: int, device: torch.device) -> Trained:
    """What `train_run` would have made of the net: its test error as that of epoch 1, and its weights as the last.

    Raises InputError for what cannot be built or loaded, and for a net whose scores are not those of the classes.
    """
    started = time.monotonic()
    given = given_net(request["net"], seed)
    net = given.net.to(device)
    error = _test_error(given, data, request["net"].get("class_names"), device)
    log.info("%s: test error %.4g", request["net"]["architecture"], error)
    one = ("seed",)
    curves = xr.Dataset(
        {
            "seed": labelled(one, np.array([seed]), "seed of the initialisation that it is compared with"),
            "epoch": labelled(("epoch",), np.arange(2), "0: not known, 1: as given", "epoch"),
            "train_loss": labelled(("seed", "epoch"), np.full((1, 2), np.nan), "training loss, which is not known"),
            "test_error": labelled(("seed", "epoch"), np.array([[np.nan, error]]), "test error"),
            "best_epoch": labelled(one, np.ones(1), "epoch of the best test error", "epoch"),
            "collapsed": labelled(one, np.zeros(1, bool), "whether the output became a constant"),
            "diverged_epoch": labelled(one, np.full(1, np.nan), "epoch at which the loss was not finite", "epoch"),
        }
    )
    weights = {f"last/{name}": tensor.cpu()[None].clone() for name, tensor in net.state_dict().items()}
    return Trained(curves, weights, {"train_time_s": round(time.monotonic() - started, 3)})


def _test_error(given: Given, data: Prepared, class_names: str | None, device: torch.device) -> float:
    """Share of the test images that go into another class; NaN, and a warning, for a net that gives no scores."""
    test = torch.nonzero(data.test).flatten()
    wanted = data.labels[test].long()
    if class_names is not None:
        wanted = renumbered(wanted, data.class_names, Path(class_names))
    wrong = 0
    with evaluation_mode(given.net, "running", device), torch.no_grad():
        for part, labels in zip(test.split(BATCH), wanted.split(BATCH), strict=True):
            scores = next((t for t in tensors_in(given.net(given.seen(data, part, device))) if t.ndim == 2), None)
            if scores is None:
                log.warning("the net gives no scores, and has no test error")
                return float("nan")
            if class_names is None and scores.shape[1] != data.classes:
                raise InputError(
                    f"the net gives {scores.shape[1]} scores, and the dataset has {data.classes} classes; class_names: "
                    "FILE says which of its outputs they are"
                )
            wrong += int((scores.argmax(1).cpu() != labels).sum())
    return wrong / len(test)
