"""How far a training is: a bar in a terminal, a line for every tenth in a log."""

import math
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

from relative_stability.core.logs import log
from relative_stability.training.engine import Training


class Progress:
    """Follows a training, and is told after every step of it. clock: seconds."""

    def __init__(self, title: str, training: Training, clock: Callable[[], float] = time.monotonic) -> None:
        self.title, self.training, self.clock = title, training, clock
        self.started, self.first, self.shown = clock(), training.taken, -math.inf
        self.steps, self.epochs = training.schedule.steps, training.schedule.epochs[-1]
        self.tenth = 10 * training.taken // self.steps
        self.images_a_step = len(training.seeds) * training.P / training.schedule.steps_an_epoch
        layout = "{desc} |{bar:20}| {percentage:3.0f} %{postfix}"  # the line says the rest
        quiet = not sys.stderr.isatty()
        first = training.taken
        self.bar = tqdm(total=self.steps, initial=first, desc=title, leave=False, disable=quiet, bar_format=layout)

    def show(self) -> None:
        """Show where the training is now: of what is known on the CPU, so that the device is not waited for."""
        taken = self.training.taken
        if not self.bar.disable and self.clock() - self.shown >= 0.5:
            self.shown = self.clock()
            self.bar.set_postfix_str(self.line(), refresh=False)
            self.bar.update(taken - self.bar.n)
        tenth = 10 * taken // self.steps
        if tenth > self.tenth:
            self.tenth = tenth
            log.info("%s: %s", self.title, self.line())

    def line(self) -> str:
        """Epoch, last recorded loss and error, images per second, time left."""
        taken, spent = self.training.taken, max(self.clock() - self.started, 1e-9)
        speed = (taken - self.first) / spent
        left = (self.steps - taken) / speed if speed else 0.0
        loss, error = self.training.records.last()
        return (
            f"epoch {taken / self.training.schedule.steps_an_epoch:.4g} of {self.epochs}, training loss {loss:.4g}, "
            f"test error {error:.4g}, {speed * self.images_a_step:,.0f} images/s, {tqdm.format_interval(left)} left"
        )

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()
