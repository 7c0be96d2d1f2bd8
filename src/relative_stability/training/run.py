"""A run: its seeds trained one after another, packed as arrays for the store."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relative_stability.datasets.base import below
from relative_stability.datasets.prepared import Prepared
from relative_stability.logs import log
from relative_stability.store import Variable
from relative_stability.training.engine import State, Trained, make_net, recorded_epochs, train_seed

Weights = dict[str, Tensor]


def train_run(
    request: Mapping[str, Any], data: Prepared, seeds: range, device: torch.device, data_root: Path = Path()
) -> tuple[dict[str, Variable], Weights]:
    """Curves, and weights named `state/parameter` with a first dimension for the seeds.

    data_root: the folder that `pretrained` is looked for in.
    A seed that diverged is stored with the epoch at which it did, and its curves are NaN from there on; one that
    collapsed is marked.
    """
    options, P = request["training"], request["P"]
    named = request["net"].get("pretrained")
    pretrained = None if named is None else below(data_root, named)
    trained = []
    for seed in seeds:

        def report(epoch: int, loss: float, error: float, seed: int = seed) -> None:
            log.info("seed %d, epoch %d: training loss %.4g, test error %.4g", seed, epoch, loss, error)

        result = train_seed(request["net"], data, P, options, seed, device, report, pretrained)
        if result.diverged_epoch is not None:
            log.warning(
                "seed %d diverged: its loss is not finite at epoch %d; it enters no average",
                seed,
                result.diverged_epoch,
            )
        if result.collapsed:
            log.warning(
                "seed %d collapsed: its output is the same for every sample, at a loss of %.4g; it enters no average. "
                "Another learning_rate may help",
                seed,
                result.train_loss[-1],
            )
        trained.append(result)
    epochs = recorded_epochs(options, P)
    steps_an_epoch = math.ceil(P / min(options["batch_size"], P))
    return _curves(seeds, epochs, trained, steps_an_epoch), _stacked(trained)


def _curves(seeds: range, epochs: list[int], trained: list[Trained], steps_an_epoch: int) -> dict[str, Variable]:
    def column(values: list[Any]) -> np.ndarray:
        return np.array(values, dtype=float)

    diverged = [math.nan if t.diverged_epoch is None else t.diverged_epoch for t in trained]
    return {
        "seed": Variable(("seed",), np.array(seeds), "seed of subset, initialisation and order"),
        "epoch": Variable(("epoch",), np.array(epochs), "passes over the training set", "epoch"),
        "train_loss": Variable(("seed", "epoch"), column([t.train_loss for t in trained]), "training loss"),
        "test_error": Variable(("seed", "epoch"), column([t.test_error for t in trained]), "test error"),
        "best_epoch": Variable(
            ("seed",), column([epochs[t.best] for t in trained]), "epoch of the best test error", "epoch"
        ),
        "collapsed": Variable(
            ("seed",), np.array([t.collapsed for t in trained]), "whether the output became a constant"
        ),
        "diverged_epoch": Variable(("seed",), column(diverged), "epoch at which the loss was not finite", "epoch"),
        **(_snapshot_curves(trained, steps_an_epoch) if trained[0].snapshots else {}),
    }


def _snapshot_curves(trained: list[Trained], steps_an_epoch: int) -> dict[str, Variable]:
    """Loss and error at the snapshots, NaN where a seed had diverged."""
    steps = [snapshot.step for snapshot in trained[0].snapshots]
    losses = np.array([[s.train_loss for s in t.snapshots] for t in trained])
    errors = np.array([[s.test_error for s in t.snapshots] for t in trained])
    return {
        "snapshot_step": Variable(("snapshot",), np.array(steps), "optimisation steps at each snapshot", "step"),
        "snapshot_epoch": Variable(
            ("snapshot",), np.array(steps) / steps_an_epoch, "passes over the training set at each snapshot", "epoch"
        ),
        "snapshot_train_loss": Variable(("seed", "snapshot"), losses, "training loss at each snapshot"),
        "snapshot_test_error": Variable(("seed", "snapshot"), errors, "test error at each snapshot"),
    }


def snapshot_state(step: int) -> str:
    """The name under which the weights after so many steps are stored."""
    return f"step{step}"


def _stacked(trained: list[Trained]) -> Weights:
    """All weights; a seed that had diverged before a snapshot keeps its last ones there, and NaN in the curves."""
    states = [
        {**t.weights, **{snapshot_state(s.step): s.weights or t.weights["last"] for s in t.snapshots}} for t in trained
    ]
    return {
        f"{state}/{name}": torch.stack([own[state][name] for own in states]).cpu()
        for state in states[0]
        for name in states[0][state]
    }


def load_net(
    request: Mapping[str, Any], data: Prepared, weights: Weights, state: str, index: int, device: torch.device
) -> torch.nn.Module:
    """The net of a run, for the seed at position `index`. state: init, best, last, or that of `snapshot_state`."""
    model = make_net(request["net"], data, request["training"]["loss"], seed=0)
    prefix = f"{state}/"
    own: State = {name.removeprefix(prefix): t[index] for name, t in weights.items() if name.startswith(prefix)}
    model.load_state_dict(own)
    return model.to(device)
