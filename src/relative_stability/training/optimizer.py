"""SGD and Adam on one flat vector of parameters.

Written here for speed, and checked against torch.optim in the tests: constructing a torch optimiser imports torch's
compiler, which takes longer (5 s of CPU time) than a small run trains, and a step over one vector is four calls
however many layers there are.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def _inner(parameter: Tensor) -> Tensor:
    """Kernels of convolutions with channels last: a third off the time of a step on a CPU."""
    return parameter.permute(0, 2, 3, 1) if parameter.ndim == 4 else parameter


def _outer(parameter: Tensor) -> Tensor:
    return parameter.permute(0, 3, 1, 2) if parameter.ndim == 4 else parameter


class Optimizer(ABC):
    """The parameters of a model as views into one vector, weights (of more than one dimension) first.

    options: `learning_rate` lr, `schedule`, `weight_decay` (on weights only), and those of the method. steps: length
    of the schedule.
    """

    def __init__(self, model: nn.Module, options: Mapping[str, Any], steps: int) -> None:
        parameters = sorted(model.parameters(), key=lambda p: p.ndim <= 1)  # stable: weights first
        self.values = torch.cat([_inner(p.detach()).flatten() for p in parameters])
        self.gradient = torch.zeros_like(self.values)
        start = 0
        for p in parameters:
            part = slice(start, start := start + p.numel())
            p.data = _outer(self.values[part].view(_inner(p).shape))
            p.grad = _outer(self.gradient[part].view(_inner(p).shape))
        self.weights = sum(p.numel() for p in parameters if p.ndim > 1)
        self.options = options
        self.steps = steps
        self.taken = 0

    def rate(self) -> float:
        """Learning rate of the next step: lr, or along a cosine lr (1 + cos(π step/steps))/2."""
        rate: float = self.options["learning_rate"]
        if self.options["schedule"] == "cosine":
            return rate * (1 + math.cos(math.pi * self.taken / self.steps)) / 2
        return rate

    @torch.no_grad()
    def step(self) -> None:
        """One step along the accumulated gradient, which is then zero again."""
        if decay := self.options["weight_decay"]:
            self.gradient[: self.weights].add_(self.values[: self.weights], alpha=decay)
        self.update(self.rate())
        self.gradient.zero_()
        self.taken += 1

    @abstractmethod
    def update(self, rate: float) -> None:
        """Move `values` along `gradient`."""


class SGD(Optimizer):
    """Stochastic gradient descent with momentum μ: v ← μv + g, w ← w − lr·v."""

    def __init__(self, model: nn.Module, options: Mapping[str, Any], steps: int) -> None:
        super().__init__(model, options, steps)
        self.velocity = torch.zeros_like(self.values)

    def update(self, rate: float) -> None:
        self.velocity.mul_(self.options["momentum"]).add_(self.gradient)
        self.values.add_(self.velocity, alpha=-rate)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1) with β = (0.9, 0.999) and ε = 1e-8."""

    def __init__(self, model: nn.Module, options: Mapping[str, Any], steps: int) -> None:
        super().__init__(model, options, steps)
        self.mean: Tensor = torch.zeros_like(self.values)
        self.square: Tensor = torch.zeros_like(self.values)

    def update(self, rate: float) -> None:
        first, second = 0.9, 0.999
        self.mean.lerp_(self.gradient, 1 - first)
        self.square.mul_(second).addcmul_(self.gradient, self.gradient, value=1 - second)
        t = self.taken + 1
        root = self.square.sqrt().div_(math.sqrt(1 - second**t)).add_(1e-8)
        self.values.addcdiv_(self.mean, root, value=-rate / (1 - first**t))


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}
