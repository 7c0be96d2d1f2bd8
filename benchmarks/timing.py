"""Ratios of times: the two are run in turn, so that whatever else the machine does falls on both."""

import statistics
import time
from collections.abc import Callable


def ratio(first: Callable[[], object], second: Callable[[], object], rounds: int = 7) -> tuple[float, float, float]:
    """Median over rounds of first's time over second's, with the smallest and the largest."""
    first(), second()  # warm up
    found = []
    for _ in range(rounds):
        times = []
        for work in (first, second):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        found.append(times[0] / times[1])
    return statistics.median(found), min(found), max(found)


def report(name: str, found: tuple[float, float, float]) -> str:
    """One line: name, ratio and its range."""
    return f"{name:<78} {found[0]:5.2f}  ({found[1]:.2f} to {found[2]:.2f})"
