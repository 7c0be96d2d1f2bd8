"""Finished results under a second name, as Snakemake takes the first one away.

It deletes the outputs of a job before it starts it, also where another process has just made them, and those of a whole
group where one member failed. So a run is kept in results/.finished from the moment it is done until its sweep is
collected: as a hard link, which takes no room, and which the next job puts back instead of training anew.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from relative_stability.core.errors import InputError
from relative_stability.core.logs import log
from relative_stability.core.store import open_dataset, tensor_attributes


def kept(path: str | Path, folder: str | Path) -> Path:
    """The second name of a result, `{digest}{suffix}` of its own `….{digest}{suffix}`."""
    return Path(folder) / ".".join(Path(path).name.split(".")[-2:])


def keep(paths: Iterable[str | Path], folder: str) -> None:
    """Give finished results their second names in a folder; in "" none."""
    for path in paths if folder else ():
        name(path, kept(path, folder))


def name(path: str | Path, second: str | Path) -> None:
    """Give a file a second name. Where that cannot be, as on a disk without hard links, only the log says so."""
    try:
        Path(second).parent.mkdir(parents=True, exist_ok=True)
        _link(Path(path), Path(second))
    except OSError as error:
        log.info("%s has no second name (%s)", path, error.strerror)


def take(paths: Sequence[str | Path], digest: str, folder: str = "") -> bool:
    """Whether all these results are there, whole and of this digest; those that only have second names are put back.

    Second names that cannot be used are removed.
    """
    for path in paths if folder else ():
        second = kept(path, folder)
        if not Path(path).exists() and second.exists():
            if not _usable(second, digest):
                second.unlink(missing_ok=True)
                return False
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            _link(second, Path(path))
    return all(_usable(Path(path), digest) for path in paths)


def forget(paths: Iterable[str | Path], folder: str) -> None:
    """Remove second names: their results have been collected."""
    for path in paths if folder else ():
        kept(path, folder).unlink(missing_ok=True)


def _link(path: Path, name: Path) -> None:
    temporary = name.with_name(f".{name.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
        temporary.replace(name)
    finally:
        temporary.unlink(missing_ok=True)  # where both were one file already, rename has left it


def _usable(path: Path, digest: str) -> bool:
    with suppress(InputError):
        if path.is_file():
            made = tensor_attributes(path) if path.suffix == ".safetensors" else open_dataset(path).attrs
            return made.get("digest") == digest
    return False
