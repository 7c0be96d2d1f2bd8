"""What is minimised, and how an output is read as a class."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from relative_stability.errors import InputError


class Objective(NamedTuple):
    """A loss on the outputs F = f, or on F = α(f − f₀) with the loss over α².

    cross_entropy: outputs (B, K). hinge: outputs (B, 1), mean of max(0, 1 − yF) with y = ±1 for class 1 and 0.
    α-scaling: Chizat et al. 2019, Geiger et al. 2020; small α learns features, large α is lazy.
    """

    loss: str
    alpha: float | None

    def outputs(self, raw: Tensor, initial: Tensor | None) -> Tensor:
        """F from f and, with α-scaling, f₀ on the same samples; both (B, K)."""
        if self.alpha is None or initial is None:
            return raw
        return self.alpha * (raw - initial)

    def value(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean loss. labels: (B,), classes from 0."""
        if self.loss == "hinge":
            signs = 2 * labels.to(outputs) - 1
            loss = functional.relu(1 - signs * outputs[:, 0]).mean()
        else:
            loss = functional.cross_entropy(outputs, labels)
        return loss if self.alpha is None else loss / self.alpha**2

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Which samples are classified wrongly, (B,) bool; an output that is not a number is always wrong."""
        predicted = (outputs[:, 0] > 0).long() if self.loss == "hinge" else outputs.argmax(1)
        return (predicted != labels) | ~torch.isfinite(outputs).all(1)


def output_count(loss: str, classes: int) -> int:
    """Outputs that a net needs: one for the hinge loss on two classes, else one for each class."""
    if loss == "hinge" and classes != 2:
        raise InputError(f"loss hinge needs a dataset of two classes, and this one has {classes}; use cross_entropy")
    return 1 if loss == "hinge" else classes
