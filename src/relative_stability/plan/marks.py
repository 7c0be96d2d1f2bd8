"""Marks that say what a result was made for, where its name has no digest: sweeps, figures, claims, pages.

A mark is a small file, named after the result and the digest of its request. A result has one at most, and none while
it is being written. What has no mark of its request is asked for: it takes an input that is newer than the result, so
that Snakemake makes it anew without any record of its own.
"""

import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp

from relative_stability.core.store import write_text
from relative_stability.plan.outputs import Published
from relative_stability.plan.runs import RESULTS

MADE = "made"


@contextmanager
def making(mark: str) -> Iterator[None]:
    """Around the writing of a result: its mark of before goes, and once all is written the new one says so."""
    current = Path(mark)
    for old in current.parent.glob(f"{current.stem}.*"):
        old.unlink(missing_ok=True)
    yield
    write_text(mark, f"{MADE}\n")


def is_made(mark: str) -> bool:
    """Whether a result was made for the request of its mark."""
    return Path(mark).is_file() and Path(mark).read_bytes().startswith(MADE.encode())


def digest_in(mark: str) -> str:
    """The digest of the request that a mark stands for."""
    return Path(mark).suffix[1:]


class Asked:
    """What makes Snakemake make a result anew: an input that is newer, for those that are not what is asked for.

    results: all that may be asked for. in_earnest: whether anything will be made; otherwise, as in a dry run, nothing
    is written into results/.
    """

    def __init__(self, results: Iterable[Published], in_earnest: Callable[[], bool]) -> None:
        self.results, self.in_earnest = results, in_earnest

    def __call__(self, result: Published) -> list[str]:
        """The input, or none. Raises InputError where the disk refuses it."""
        return [] if is_made(result.mark) else [self._path]

    @cached_property
    def _path(self) -> str:
        path = f"{RESULTS if self.in_earnest() else self._elsewhere()}/.requests/asked"
        # With the time, as Snakemake takes a file with the content of one that it knows for unchanged.
        write_text(path, f"{time.time_ns()}\n")
        files = [Path(file) for result in self.results for file in result.files]
        newest = max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
        if newest >= Path(path).stat().st_mtime:  # a result from the future, as clocks differ
            os.utime(path, (newest + 1, newest + 1))
        return path

    def _elsewhere(self) -> str:
        """A folder that goes when this does, or Python."""
        folder = mkdtemp(prefix="relative-stability-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder
