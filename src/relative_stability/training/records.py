"""What is known of the seeds of a group so far: their curves, and the weights that are kept of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from relative_stability.core.store import labelled
from relative_stability.training.compact import compress
from relative_stability.training.members import State
from relative_stability.training.schedule import Schedule

STATES = ("init", "best", "last")


def snapshot_state(step: int) -> str:
    """The name under which the weights after so many steps are stored."""
    return f"step{step}"


class Scores(NamedTuple):
    """Of S nets, each (S,): mean training loss, test error, and how much the output varies over the training set.

    variation: the norm of the outputs less their mean, over the norm of the outputs.
    """

    losses: Tensor
    errors: Tensor
    variation: Tensor


class Records:
    """Curves of S seeds, (S, …), NaN where there is nothing yet, and weights by `state/parameter`, each (S, …).

    A seed is over when its loss is not finite (`diverged`, from that epoch on; it stays NaN) or has been zero for
    long enough (`ended`; what comes later repeats its last values, as the net does not change any more).
    """

    def __init__(self, schedule: Schedule, initial: Mapping[str, Tensor]) -> None:
        self.schedule = schedule
        count = len(next(iter(initial.values())))

        def blank(*shape: int) -> Tensor:
            return torch.full((count, *shape), torch.nan, dtype=torch.float64)

        epochs, snapshots = len(schedule.epochs), len(schedule.snapshots)
        self.curves = {
            "train_loss": blank(epochs),
            "test_error": blank(epochs),
            "snapshot_train_loss": blank(snapshots),
            "snapshot_test_error": blank(snapshots),
            "diverged": blank(),
            "ended": blank(),
            "best": torch.zeros(count, dtype=torch.long),
            "zero_epochs": torch.zeros(count, dtype=torch.long),
            "variation": blank(),
            "collapsed": torch.zeros(count, dtype=torch.bool),
        }
        self.weights: State = {f"{state}/{n}": t.clone() for state in STATES for n, t in initial.items()}
        for step in schedule.snapshots:  # a seed that diverges before keeps the weights that it started from
            self.weights |= compress(snapshot_state(step), initial, initial)

    def active(self) -> Tensor:
        """Which seeds are still under way, (S,) bool."""
        return self.curves["diverged"].isnan() & self.curves["ended"].isnan()

    def diverge(self, which: Tensor, epoch: int) -> None:
        """The loss of these seeds is not finite in this epoch. which: (S,) bool."""
        self.curves["diverged"][which & self.active()] = epoch

    def record(self, column: int, scores: Scores, current: Mapping[str, Tensor], which: Tensor) -> None:
        """Scores at recorded epoch number `column`, and the weights of these seeds."""
        test_error, best = self.curves["test_error"], self.curves["best"]
        self.curves["train_loss"][which, column] = scores.losses[which]
        test_error[which, column] = scores.errors[which]
        so_far = test_error.gather(1, best[:, None])[:, 0]
        # The initial net is the best one only until there is a trained one.
        better = which & ((column <= 1) | (scores.errors < so_far))
        best[better] = column
        self.curves["variation"][which] = scores.variation[which]
        self._keep("last", which, current)
        self._keep("best", better, current)

    def end(self, which: Tensor, epoch: int, scores: Scores, current: Mapping[str, Tensor]) -> None:
        """Training of these seeds ends after this epoch, before the last one."""
        columns = [k for k, recorded in enumerate(self.schedule.epochs) if recorded >= epoch]
        self.record(columns[0], scores, current, which)
        for column in columns:
            self.curves["train_loss"][which, column] = scores.losses[which]
            self.curves["test_error"][which, column] = scores.errors[which]
        step = epoch * self.schedule.steps_an_epoch
        for number, later in enumerate(self.schedule.snapshots):
            if later >= step:
                self.snapshot(number, scores, current, which)
        self.curves["ended"][which] = epoch

    def snapshot(self, number: int, scores: Scores, current: Mapping[str, Tensor], which: Tensor) -> None:
        """The net after some steps of training; of seeds that diverged, numbers stay NaN."""
        self.curves["snapshot_train_loss"][which, number] = scores.losses[which]
        self.curves["snapshot_test_error"][which, number] = scores.errors[which]
        initial = {n.removeprefix("init/"): t for n, t in self.weights.items() if n.startswith("init/")}
        compressed = compress(snapshot_state(self.schedule.snapshots[number]), current, initial)
        for name, tensor in compressed.items():
            self.weights[name][which] = tensor[which]

    def _keep(self, state: str, which: Tensor, current: Mapping[str, Tensor]) -> None:
        for name, tensor in current.items():
            chosen = which.to(tensor.device)
            self.weights[f"{state}/{name}"][chosen] = tensor[chosen]

    def last(self) -> tuple[float, float]:
        """Training loss and test error at the last recorded epoch, means over the seeds that have one."""
        known = (~self.curves["train_loss"].isnan()).any(0).nonzero().flatten()
        if not len(known):
            return torch.nan, torch.nan
        loss, error = (self.curves[name][:, known[-1]].nanmean().item() for name in ("train_loss", "test_error"))
        return loss, error

    def tensors(self) -> State:
        """Everything, for a checkpoint."""
        return {
            **{f"curves/{n}": t for n, t in self.curves.items()},
            **{f"kept/{n}": t for n, t in self.weights.items()},
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to what `tensors` returned once."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])


def curves_dataset(seeds: range, schedule: Schedule, curves: Mapping[str, Tensor]) -> xr.Dataset:
    """The curves of all seeds as they are stored. curves: those of Records, of several groups put together."""
    epochs = np.array(schedule.epochs)
    values = {name: tensor.numpy() for name, tensor in curves.items()}
    variables = {
        "seed": labelled(("seed",), np.array(seeds), "seed of subset, initialisation and order"),
        "epoch": labelled(("epoch",), epochs, "passes over the training set", "epoch"),
        "train_loss": labelled(("seed", "epoch"), values["train_loss"], "training loss"),
        "test_error": labelled(("seed", "epoch"), values["test_error"], "test error"),
        "best_epoch": labelled(
            ("seed",), epochs[values["best"]].astype(float), "epoch of the best test error", "epoch"
        ),
        "collapsed": labelled(("seed",), values["collapsed"], "whether the output became a constant"),
        "diverged_epoch": labelled(("seed",), values["diverged"], "epoch at which the loss was not finite", "epoch"),
        "ended_epoch": labelled(
            ("seed",), values["ended"], "epoch after which training ended early, at zero loss", "epoch"
        ),
    }
    dataset = xr.Dataset(variables)
    if not schedule.snapshots:
        return dataset
    steps = np.array(schedule.snapshots)
    losses, errors = values["snapshot_train_loss"], values["snapshot_test_error"]
    passes = steps / schedule.steps_an_epoch
    return dataset.assign(
        snapshot_step=labelled(("snapshot",), steps, "optimisation steps at each snapshot", "step"),
        snapshot_epoch=labelled(("snapshot",), passes, "passes over the training set at each snapshot", "epoch"),
        snapshot_train_loss=labelled(("seed", "snapshot"), losses, "training loss at each snapshot"),
        snapshot_test_error=labelled(("seed", "snapshot"), errors, "test error at each snapshot"),
    )
