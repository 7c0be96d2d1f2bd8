"""Ranges of seeds: the seeds of a range are trained in one job."""

import re
from collections.abc import Collection, Iterable
from itertools import groupby, pairwise

from relative_stability.core.errors import InputError

MOST = 100_000  # seeds of a range; more would be a mistyped number


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
    if last - first >= MOST:
        raise InputError(f"seeds {text!r} is refused: a range of at most {MOST} seeds is needed")
    return range(first, last + 1)


def seed_ranges(value: str | int | Iterable[str | int]) -> list[range]:
    """The ranges that are asked for, in order. Raises InputError where two of them share a seed."""
    given = [value] if isinstance(value, str | int) else list(value)
    ranges = sorted((parse_seeds(item) for item in given), key=lambda seeds: seeds.start)
    for a, b in pairwise(ranges):
        if b.start < a.stop:
            raise InputError(
                f"seeds {a.start}-{a.stop - 1} and {b.start}-{b.stop - 1} overlap; every seed may stand once"
            )
    return ranges


def seed_blocks(asked: Collection[range], per_job: int, made: Iterable[range] = ()) -> list[range]:
    """What is asked for, cut into the ranges of jobs: at multiples of `per_job`, so that a range that grows adds some.

    made: ranges that are there already and may be taken whole, the first one that fits going before the others. As
    those that are made of the answer fit it, the answer stays the same while they are being made.

    >>> seed_blocks([range(0, 8)], 4), seed_blocks([range(0, 8)], 4, made=[range(0, 2)])
    ([range(0, 4), range(4, 8)], [range(0, 2), range(2, 4), range(4, 8)])
    """
    free = {seed for seeds in asked for seed in seeds}
    blocks = []
    for seeds in made:
        if free.issuperset(seeds):
            free.difference_update(seeds)
            blocks.append(seeds)
    for seeds in asked:
        left = [seed for seed in seeds if seed in free]
        for _, block in groupby(enumerate(left), key=lambda pair: (pair[1] - pair[0], pair[1] // per_job)):
            numbers = [seed for _, seed in block]
            blocks.append(range(numbers[0], numbers[-1] + 1))
    return sorted(blocks, key=lambda seeds: seeds.start)


def written(seeds: range) -> str:
    """A range as it stands in paths.

    >>> written(range(0, 4)), written(range(4, 5))
    ('0-3', '4')
    """
    return str(seeds.start) if len(seeds) == 1 else f"{seeds.start}-{seeds.stop - 1}"
