"""A folder, or an archive of one (.zip, .tar, .tar.gz): the files that it holds, and it as a folder."""

import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from relative_stability.core.errors import InputError
from relative_stability.datasets.base import DATA, below

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
# What a damaged archive, one with a password, or a lack of permission raises.
_UNREADABLE = (OSError, EOFError, RuntimeError, zlib.error, tarfile.TarError, zipfile.BadZipFile)


def place(root: Path, folder: str, hint: str = "") -> Path:
    """The folder or archive of this name below the root."""
    path = below(root, folder)
    if not path.exists():
        raise InputError(
            f"folder {path} does not exist{hint}; give the path of a folder or archive, from data_root in the config "
            f"or the environment variable {DATA}"
        )
    if not path.is_dir() and not path.name.lower().endswith(ARCHIVES):
        raise InputError(f"{path} is neither a folder nor an archive ({', '.join(ARCHIVES)})")
    return path


def names(path: Path) -> list[str]:
    """Paths of all files in it, with `/` between their parts, without hidden ones and what macOS packs beside them.

    Raises InputError for what cannot be read, and for names that lead out of it or that cannot be stored as text.
    """
    try:
        found = _in_folder(path) if path.is_dir() else _in_archive(path)
    except _UNREADABLE as error:
        raise InputError(f"{path} cannot be read ({error}); replace it by a whole copy, or permit reading") from None
    for name in found:
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\\" in name:
            raise InputError(
                f"{path} holds the name {name!r}, which is no plain path inside it; rename it, or pack it again"
            )
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{path} holds the name {name!r}, which is no UTF-8; rename it") from None
    return [name for name in found if not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))]


def _in_folder(path: Path) -> list[str]:
    def refuse(error: OSError) -> None:
        raise error

    found, seen = [], set()
    for top, folders, files in os.walk(path, onerror=refuse, followlinks=True):
        if (real := os.path.realpath(top)) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        found += [(Path(top).relative_to(path) / file).as_posix() for file in files]
    return found


def _in_archive(path: Path) -> list[str]:
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as zipped:
            return [name for name in zipped.namelist() if not name.endswith("/")]
    with tarfile.open(path) as archive:
        return [member.name.removeprefix("./") for member in archive if member.isfile()]


@contextmanager
def extracted(path: Path) -> Iterator[Path]:
    """The folder, or a temporary one with what the archive holds, but for what would lead out of it."""
    if path.is_dir():
        yield path
        return
    with TemporaryDirectory() as temporary:
        try:
            if path.suffix.lower() == ".zip":
                shutil.unpack_archive(path, temporary, "zip")
            else:
                shutil.unpack_archive(path, temporary, "tar", filter="data")
        except _UNREADABLE as error:
            raise InputError(f"{path} cannot be unpacked ({error}); put a whole one there, without password") from None
        yield Path(temporary)
