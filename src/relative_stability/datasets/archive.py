"""A folder, or an archive of one (.zip, .tar, .tar.gz): the files that it holds, and it as a folder."""

import errno
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

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
    """Paths of all files in it, with `/` between their parts, and of its folders, with `/` at their ends.

    Hidden ones, and what macOS packs beside them, are left out.

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
        inside = [f"{folder}/" for folder in folders]
        found += [f"{Path(top).relative_to(path).as_posix()}/{name}".removeprefix("./") for name in files + inside]
    return found


def _in_archive(path: Path) -> list[str]:
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as zipped:
            return zipped.namelist()
    with tarfile.open(path) as archive:
        return [
            member.name.removeprefix("./") + "/" * member.isdir()
            for member in archive
            if member.isfile() or member.isdir() or member.issym() or member.islnk()
        ]


def _unpacked(path: Path) -> int:
    """Bytes that the files of an archive take."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as zipped:
            return sum(member.file_size for member in zipped.infolist())
    with tarfile.open(path) as archive:
        return sum(member.size for member in archive)


@contextmanager
def extracted(path: Path) -> Iterator[Path]:
    """The folder, or a temporary one with what the archive holds, but for what would lead out of it."""
    if path.is_dir():
        yield path
        return
    with TemporaryDirectory() as temporary:
        try:
            needed, free = _unpacked(path), shutil.disk_usage(temporary).free
            if needed > free:
                raise OSError(errno.ENOSPC, f"{needed / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB free")
            if path.suffix.lower() == ".zip":
                shutil.unpack_archive(path, temporary, "zip")
            else:
                shutil.unpack_archive(path, temporary, "tar", filter="data")
        except _UNREADABLE as error:
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = f"TMPDIR={gettempdir()} is too small: set it to a folder with more room"
            remedy = remedy if full else "put a whole one there, without password"
            raise InputError(f"{path} cannot be unpacked ({error}); {remedy}") from None
        yield Path(temporary)
