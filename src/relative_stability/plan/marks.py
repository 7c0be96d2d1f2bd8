"""Marks of what is asked for, where a result's name has no digest to say what made it: sweeps, figures, claims.

A mark is a small file, named after the result and the digest of its request. It is older than the result once that has
been made for it; until then it is written anew whenever the workflow is read, so that a result older than its mark is
made anew: no record of Snakemake's is needed to notice a new request. Whoever makes a result clears the marks of other
requests first, so that going back to one of those is noticed too.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from relative_stability.core.store import write_text

ASKED, MADE = "asked for", "made"


def ask(marks: Iterable[str]) -> None:
    """Write the marks of what has not been made; a dry run does too. Raises InputError where the disk refuses."""
    for mark in marks:
        if not Path(mark).is_file() or _asked(Path(mark)):
            _write(mark, ASKED)


def settle(mark: str) -> None:
    """Before a result is written: its mark says so, and those of what it was made from before go.

    A mark of what is asked for and not made stays: another process may be waiting to serve it.
    """
    _write(mark, MADE)
    current = Path(mark)
    for old in current.parent.glob(f"{current.stem}.*"):
        if old != current and not _asked(old):
            old.unlink(missing_ok=True)


def is_made(mark: str, result: Path) -> bool:
    """Whether a result is there and was made for the request of its mark."""
    there = Path(mark).is_file() and result.is_file() and not _asked(Path(mark))
    return there and result.stat().st_mtime_ns >= Path(mark).stat().st_mtime_ns


def digest_in(mark: str) -> str:
    """The digest of the request that a mark stands for."""
    return Path(mark).suffix[1:]


def _asked(mark: Path) -> bool:
    return mark.read_text(encoding="utf-8").startswith(ASKED)


def _write(mark: str, word: str) -> None:
    # With the time, as Snakemake takes a file with the content of one that it knows for unchanged.
    write_text(mark, f"{word} {datetime.now(UTC).isoformat()}\n")
