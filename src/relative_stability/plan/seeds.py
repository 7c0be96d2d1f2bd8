"""Ranges of seeds: the seeds of a range are trained in one job."""

import re
from collections.abc import Iterable
from itertools import pairwise

from relative_stability.core.errors import InputError


def parse_seeds(text: str | int) -> range:
    """The seeds of a range, first and last included.

    >>> parse_seeds("4-7"), parse_seeds(3)
    (range(4, 8), range(3, 4))
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(text))
    if match is None:
        raise InputError(f"seeds {text!r} is no range; write first-last, such as 0-3, or a single seed")
    first, last = int(match[1]), int(match[2] or match[1])
    if last >= 2**31:
        raise InputError(f"seeds {text!r} is refused: seeds below 2147483648 are needed")
    if last < first:
        raise InputError(f"seeds {text!r} runs backwards; write {last}-{first}")
    return range(first, last + 1)


def seed_ranges(value: str | int | Iterable[str | int]) -> list[str]:
    """Ranges as they stand in paths, in order. Raises InputError where two of them share a seed."""
    given = [value] if isinstance(value, str | int) else list(value)
    ranges = sorted((parse_seeds(item) for item in given), key=lambda seeds: seeds.start)
    for a, b in pairwise(ranges):
        if b.start < a.stop:
            raise InputError(
                f"seeds {a.start}-{a.stop - 1} and {b.start}-{b.stop - 1} overlap; every seed may stand once"
            )
    return [str(r.start) if len(r) == 1 else f"{r.start}-{r.stop - 1}" for r in ranges]
