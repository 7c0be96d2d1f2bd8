"""SGD and Adam on one flat vector of parameters, those of one net or of a stack of them.

The update rules are torch's, called as functions: constructing a torch optimiser imports torch's compiler, which takes
longer (5 s of CPU time) than a small run trains. A step over one vector is a few calls, however many layers and nets
there are.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from relative_stability.training.schedule import Schedule

PIECE = 1 << 16  # numbers updated at a time on a CPU, so that the vectors stay in its cache


def _inner(parameter: Tensor) -> Tensor:
    """Kernels of convolutions with channels last: a third off the time of a step on a CPU."""
    return parameter.permute(0, 2, 3, 1) if parameter.ndim == 4 else parameter


def _outer(parameter: Tensor) -> Tensor:
    return parameter.permute(0, 3, 1, 2) if parameter.ndim == 4 else parameter


class Optimizer(ABC):
    """Parameters as views into one vector, weights (of more than one dimension, in one net) first.

    parameters: those of a net, or with `stacked` of several, each with a first dimension for the nets. options:
    `weight_decay` (on weights only), and those of the method. schedule: says the learning rate of every step.
    """

    moments: tuple[str, ...] = ()  # vectors that the method keeps beside `values`

    def __init__(
        self, parameters: Sequence[nn.Parameter], options: Mapping[str, Any], schedule: Schedule, stacked: bool = False
    ) -> None:
        vector = 2 if stacked else 1  # dimensions of a bias
        ordered = sorted(parameters, key=lambda p: p.ndim <= vector)  # stable: weights first
        inner = (lambda p: p) if stacked else _inner
        outer = (lambda p: p) if stacked else _outer
        self.values = torch.cat([inner(p.detach()).flatten() for p in ordered])
        self.gradient = torch.zeros_like(self.values)
        start = 0
        for p in ordered:
            part = slice(start, start := start + p.numel())
            p.data = outer(self.values[part].view(inner(p).shape))
            p.grad = outer(self.gradient[part].view(inner(p).shape))
        self.options, self.schedule, self.taken = options, schedule, 0
        self.vectors = {"values": self.values, **{name: torch.zeros_like(self.values) for name in self.moments}}
        weights = sum(p.numel() for p in ordered if p.ndim > vector)
        self._weights = self.values[:weights], self.gradient[:weights]
        piece = PIECE if self.values.device.type == "cpu" else max(1, len(self.values))
        self._values, self._gradient = list(self.values.split(piece)), list(self.gradient.split(piece))
        self._moments = [list(self.vectors[name].split(piece)) for name in self.moments]

    @torch.no_grad()
    def step(self) -> None:
        """One step along the accumulated gradient, which is then zero again."""
        if decay := self.options["weight_decay"]:
            weights, gradient = self._weights
            gradient.add_(weights, alpha=decay)
        self.update(self.schedule.rate(self.taken), self._values, self._gradient, self._moments)
        self.gradient.zero_()
        self.taken += 1

    @abstractmethod
    def update(self, rate: float, values: list[Tensor], gradient: list[Tensor], moments: list[Any]) -> None:
        """Move the pieces of the values along their gradient, which holds the weight decay already."""


class SGD(Optimizer):
    """Stochastic gradient descent with momentum μ: v ← μv + g, w ← w − lr·v."""

    moments = ("velocity",)

    def update(self, rate: float, values: list[Tensor], gradient: list[Tensor], moments: list[Any]) -> None:
        (velocity,) = moments
        sgd(
            values, gradient, velocity, lr=rate, momentum=self.options["momentum"], weight_decay=0.0,
            foreach=False, dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1) with β = (0.9, 0.999) and ε = 1e-8."""

    moments = ("mean", "square")

    def update(self, rate: float, values: list[Tensor], gradient: list[Tensor], moments: list[Any]) -> None:
        mean, square = moments
        taken = [torch.tensor(float(self.taken)) for _ in values]
        adam(
            values, gradient, mean, square, [], taken, lr=rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0,
            foreach=False, amsgrad=False, maximize=False,
        )  # fmt: skip


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}
