"""Marks of what is asked for, where a result's name has no digest to say what made it: sweeps, figures, claims.

A mark is a small file, named after the result and the digest of its request, that is older than the result while it
tells the truth. A request that is new has a new mark, and a result older than its mark is made anew: no record of
Snakemake's is needed to notice it. Whoever makes a result clears the marks of other requests first, so that going
back to one of those is noticed too.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from relative_stability.store import write_text


def ask(marks: Iterable[str]) -> None:
    """Write the marks that are missing; a dry run does too. Raises InputError where the disk refuses.

    Each holds the time, as Snakemake takes a file with the content of one that it knows for unchanged.
    """
    for mark in marks:
        if not Path(mark).is_file():
            write_text(mark, datetime.now(UTC).isoformat())


def clear_others(mark: str) -> None:
    """Before a result is written: the marks of what it was made from before go."""
    current = Path(mark)
    for old in current.parent.glob(f"{current.stem}.*"):
        if old != current:
            old.unlink(missing_ok=True)


def digest_in(mark: str) -> str:
    """The digest of the request that a mark stands for."""
    return Path(mark).suffix[1:]
