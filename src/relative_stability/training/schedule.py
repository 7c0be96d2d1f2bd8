"""When things happen in a run, in steps and epochs, and the learning rate of every step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

WARM_UP, RISE, FALL = 0.3, 25.0, 1e4  # one_cycle: share of the steps that rise, and how far it starts and ends below


def snapshot_steps(total: int, count: int) -> list[int]:
    """About `count` log-spaced numbers of steps, from the first step to the last of `total`; none for count = 0.

    >>> snapshot_steps(1000, 4), snapshot_steps(3, 8), snapshot_steps(1000, 1)
    ([1, 10, 100, 1000], [1, 2, 3], [1000])
    """
    spaced = [round(total ** (i / (count - 1))) for i in range(count)] if count > 1 else [total] * count
    return sorted(set(spaced))


def recorded_epochs(options: Mapping[str, Any], P: int) -> list[int]:
    """Epochs at which curves are recorded: 0, and up to `evaluations` evenly spaced ones that end with the last.

    That is number `epochs`, or where this is None the one that completes `steps`; never one after `max_epochs`.

    >>> recorded_epochs({"steps": 100, "batch_size": 16, "evaluations": 5}, P=32)
    [0, 10, 20, 30, 40, 50]
    """
    last = options.get("epochs") or math.ceil(options["steps"] / math.ceil(P / min(options["batch_size"], P)))
    last = min(last, options.get("max_epochs") or last)
    count = min(options["evaluations"], last)
    return [0] + [round(last * (i + 1) / count) for i in range(count)]


def learning_rate(options: Mapping[str, Any], step: int, total: int) -> float:
    """Learning rate of step number `step`, counted from 0, of `total`, from lr = options["learning_rate"].

    constant: lr. cosine: lr (1 + cos(π step/total))/2 (Loshchilov & Hutter 2017, eq. 5, without restarts). one_cycle:
    from lr/25 up to lr over the first 30 % of the steps and down to lr/250,000, both along half a cosine (Smith &
    Topin 2017, in the form of torch.optim.lr_scheduler.OneCycleLR).

    >>> options = {"learning_rate": 1.0, "schedule": "cosine"}
    >>> [round(learning_rate(options, step, 4), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    rate: float = options["learning_rate"]
    if options["schedule"] == "cosine":
        return rate * (1 + math.cos(math.pi * step / total)) / 2
    if options["schedule"] == "one_cycle":
        top = WARM_UP * total - 1
        if step <= top:
            return _between(rate / RISE, rate, step / top if top > 0 else 1.0)
        return _between(rate, rate / RISE / FALL, (step - top) / (total - 1 - top) if total - 1 > top else 1.0)
    return rate


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Schedule:
    """The plan of a run with P training samples. options: those of training."""

    options: Mapping[str, Any]
    P: int

    @cached_property
    def batch_size(self) -> int:
        """Samples a step, at most P."""
        return min(int(self.options["batch_size"]), self.P)

    @cached_property
    def steps_an_epoch(self) -> int:
        """Batches that an epoch is cut into; the last may be smaller."""
        return math.ceil(self.P / self.batch_size)

    @cached_property
    def epochs(self) -> list[int]:
        """Epochs at which curves are recorded; the last one ends the run."""
        return recorded_epochs(self.options, self.P)

    @cached_property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs[-1] * self.steps_an_epoch

    @cached_property
    def snapshots(self) -> list[int]:
        """Numbers of steps after which weights are kept."""
        return snapshot_steps(self.steps, self.options.get("snapshots", 0))

    def rate(self, step: int) -> float:
        """Learning rate of step number `step`, counted from 0."""
        return learning_rate(self.options, step, self.steps)
