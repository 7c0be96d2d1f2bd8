"""Errors that the reader can correct, each in one sentence; the hint for a near miss; and a stop that is no error."""

from collections.abc import Iterable
from difflib import get_close_matches

LISTED = 40  # more words than this are no help


class InputError(ValueError):
    """Bad input, in one sentence: the key, file or value, what was expected, and what to do. A kind of ValueError.

    >>> import relative_stability as rs
    >>> rs.temperature(1.0, n=32, cut=1)
    Traceback (most recent call last):
    relative_stability.core.errors.InputError: cut = 1 is refused: ln(cut), which sets the displacement, must be ...
    """


class UnavailableError(InputError):
    """A file that may be whole cannot be read at the moment."""


class Stopped(Exception):
    """A signal, which the argument names, asked to leave; what was done is kept."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint that ends a sentence about an unknown word: the nearest choice, and the list unless it is a long one.

    >>> nearest("lenett", ["fc", "lenet"])
    "did you mean 'lenet'? Known: fc, lenet"
    """
    known = sorted(choices)
    same = [choice for choice in known if choice.casefold() == word.casefold()]
    close = same or get_close_matches(word, known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    if len(known) > LISTED:
        near = get_close_matches(word, known, n=LISTED // 4, cutoff=0.3)
        known = [*sorted(near), f"and {len(known) - len(near)} others"]
    return f"{hint}{'K' if hint else 'k'}nown: {', '.join(known) or 'none'}"
