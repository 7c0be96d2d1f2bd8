"""SGD and Adam on one flat vector of parameters, those of one net or of a stack of them.

Written here for speed, and checked against torch.optim in the tests: constructing a torch optimiser imports torch's
compiler, which takes longer (5 s of CPU time) than a small run trains, and a step over one vector is a few calls
however many layers and nets there are.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

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
        piece = PIECE if self.values.device.type == "cpu" else max(1, len(self.values))
        self._pieces = [
            (slice(at, min(at + piece, end)), decay)
            for start, end, decay in ((0, weights, options["weight_decay"]), (weights, len(self.values), 0.0))
            for at in range(start, end, piece)
        ]

    @torch.no_grad()
    def step(self) -> None:
        """One step along the accumulated gradient, which is then zero again."""
        rate = self.schedule.rate(self.taken)
        for piece, decay in self._pieces:
            values, gradient = self.values[piece], self.gradient[piece]
            if decay:
                gradient.add_(values, alpha=decay)
            self.update(values, gradient, [self.vectors[name][piece] for name in self.moments], rate)
            gradient.zero_()
        self.taken += 1

    @abstractmethod
    def update(self, values: Tensor, gradient: Tensor, moments: list[Tensor], rate: float) -> None:
        """Move a piece of the values along its gradient."""


class SGD(Optimizer):
    """Stochastic gradient descent with momentum μ: v ← μv + g, w ← w − lr·v."""

    moments = ("velocity",)

    def update(self, values: Tensor, gradient: Tensor, moments: list[Tensor], rate: float) -> None:
        (velocity,) = moments
        velocity.mul_(self.options["momentum"]).add_(gradient)
        values.add_(velocity, alpha=-rate)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1) with β = (0.9, 0.999) and ε = 1e-8."""

    moments = ("mean", "square")

    def update(self, values: Tensor, gradient: Tensor, moments: list[Tensor], rate: float) -> None:
        first, second = 0.9, 0.999
        mean, square = moments
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        t = self.taken + 1
        root = square.sqrt().div_(math.sqrt(1 - second**t)).add_(1e-8)
        values.addcdiv_(mean, root, value=-rate / (1 - first**t))


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}
