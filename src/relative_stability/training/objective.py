"""What is minimised, and how an output is read as a class; for a stack of S nets at once."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from relative_stability.core.errors import InputError


class Objective(NamedTuple):
    """A loss on the outputs F = f, or on F = α(f − f₀) with the loss over α².

    cross_entropy: outputs (S, B, K), the target 1 − ε + ε/K for the label and ε/K for the other classes, with
    ε = label_smoothing (Szegedy et al. 2016, sec. 7). hinge: outputs (S, B, 1), max(0, 1 − yF) with y = ±1 for class 1
    and 0. α-scaling: Chizat et al. 2019, Geiger et al. 2020; small α learns features, large α is lazy.
    """

    loss: str
    alpha: float | None
    label_smoothing: float = 0.0

    def outputs(self, raw: Tensor, initial: Tensor | None) -> Tensor:
        """F from f and, with α-scaling, f₀ on the same samples; both (S, B, K)."""
        if self.alpha is None or initial is None:
            return raw
        return self.alpha * (raw - initial)

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The loss of every sample, (S, B). labels: (S, B), classes from 0."""
        if self.loss == "hinge":
            signs = 2 * labels.to(outputs) - 1
            losses = functional.relu(1 - signs * outputs[..., 0])
        else:
            flat = outputs.flatten(0, 1), labels.flatten()
            losses = functional.cross_entropy(*flat, reduction="none", label_smoothing=self.label_smoothing)
            losses = losses.view(labels.shape)
        return losses if self.alpha is None else losses / self.alpha**2

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Which samples are classified wrongly, (S, B) bool; an output that is not a number is always wrong."""
        predicted = (outputs[..., 0] > 0).long() if self.loss == "hinge" else outputs.argmax(-1)
        return (predicted != labels) | ~torch.isfinite(outputs).all(-1)


def output_count(loss: str, classes: int) -> int:
    """Outputs that a net needs: one for the hinge loss on two classes, else one for each class."""
    if loss == "hinge" and classes != 2:
        raise InputError(f"loss hinge needs a dataset of two classes, and this one has {classes}; use cross_entropy")
    return 1 if loss == "hinge" else classes
