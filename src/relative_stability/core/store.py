"""Results on disk: labelled netCDF and safetensors, written whole or not at all, and checked when read."""

import errno
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fcntl import LOCK_NB, LOCK_SH, flock
from functools import cache
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relative_stability.core.errors import InputError, UnavailableError

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor

_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR,
    errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
}  # fmt: skip
_NO_ROOM = {
    errno.EISDIR: "a folder stands where a file belongs: remove it",
    errno.ENOTDIR: "a file stands where a folder belongs: remove it",
    errno.EEXIST: "a file stands where a folder belongs: remove it",
    errno.ENAMETOOLONG: "the disk takes no name as long as that",
}
_FOR_NOW = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}
Attributes = Mapping[str, str | int | float]
ATTRIBUTES = "attributes"  # where safetensors files that are written here keep theirs


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well, and is removed when it fails.

    A killed process leaves the old file or none, never half of one. What it leaves under the temporary name is
    cleared by the next writer of the same file. Raises InputError where the disk is full or refuses.
    """
    path = Path(path)
    stem = f".{path.name}.{os.uname().nodename}"  # on a shared disk, only the writer's own host can tell if it lives
    temporary = path.with_name(f"{stem}.{os.getpid()}.tmp")
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f"{stem}.*.tmp"):
            if abandoned(leftover):
                leftover.unlink(missing_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(NotADirectoryError):
                temporary.unlink(missing_ok=True)


@contextmanager
def writable(path: str | Path) -> Iterator[None]:
    """Turn what a disk says inside the block into one sentence that names the file and the space that is left."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        # Other errors pass: those of downloads are OSErrors too, and netCDF has no kind of its own.
        disk = error.errno in _DISK if isinstance(error, OSError) else True
        if not disk or (isinstance(error, RuntimeError) and not str(error).startswith("NetCDF")):
            raise
        if (number := getattr(error, "errno", None)) in _NO_ROOM:
            raise InputError(f"{path} cannot be written ({_NO_ROOM[number]})") from error
        folder = next(parent for parent in Path(path).absolute().parents if parent.is_dir())
        free = shutil.disk_usage(folder).free / 1e6
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} cannot be written ({reason}); {free:,.1f} MB are free there: make room, or make the folder "
            "writable, and start again"
        ) from error


def abandoned(temporary: Path) -> bool:
    """Whether a temporary file's writer is known to be gone: one of this host, whose process no longer runs."""
    *name, pid, _ = temporary.name.split(".")
    if not ".".join(name).endswith(f".{os.uname().nodename}") or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def labelled(dims: Sequence[str], values: Any, long_name: str = "", units: str = "1") -> "xr.Variable":
    """An array with its dimensions, and what it is in words and units ("1" where it has none)."""
    import xarray as xr

    words = {"long_name": long_name, "units": units}
    return xr.Variable(tuple(dims), np.asarray(values), {key: word for key, word in words.items() if word})


def write_dataset(path: str | Path, dataset: "xr.Dataset") -> None:
    """Write a dataset as one netCDF-4 file, compressed, with checksums, whole or not at all."""
    others = sorted(str(name) for name in dataset.coords if name not in dataset.dims)
    flat = dataset.drop_encoding().reset_coords(others)
    if others:
        flat = flat.assign_attrs(coordinates=" ".join(others))  # the convention that xr.open_dataset follows
    # Level 1 packs nearly as well as 4 here, and three times as fast.
    packed = {"zlib": True, "complevel": 1, "fletcher32": True}
    encoding = {
        name: {"_FillValue": None, **(packed if item.ndim and item.dtype.kind not in "UO" else {})}
        for name, item in flat.variables.items()
    }
    with atomic(path) as temporary:
        flat.to_netcdf(temporary, engine="netcdf4", encoding=encoding)


def open_dataset(path: str | Path, remade_by: str = "", only: Sequence[str] = ()) -> "xr.Dataset":
    """A result, or some variables of it, as a Dataset in memory.

    Raises InputError, naming the rule `remade_by`, if it is broken.
    """
    import xarray as xr

    _regular(path)
    try:
        with xr.open_dataset(path, engine="netcdf4", decode_times=False, mask_and_scale=False, cache=False) as file:
            found = (file[list(only)] if only else file).load()
    except (OSError, RuntimeError) as error:
        raise broken(path, remade_by, error) from error
    words = {name: item.astype(str) for name, item in found.variables.items() if item.dtype.kind == "O"}
    return found.assign(words) if words else found


def read_attributes(path: str | Path, remade_by: str = "") -> dict[str, Any]:
    """The attributes alone, whatever the file's size. Raises InputError as `open_dataset` does."""
    import netCDF4  # a third of the time that xarray takes, for every file of a large grid

    _regular(path)
    try:
        with netCDF4.Dataset(path) as file:
            return {key: file.getncattr(key) for key in file.ncattrs()}
    except (OSError, RuntimeError) as error:
        raise broken(path, remade_by, error) from error


def _kept_from(path: str | Path, error: OSError) -> str:
    """What keeps a file from being read, whatever it holds; "" where nothing does."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123, a path may be text
            flock(file, LOCK_SH | LOCK_NB)  # as HDF5 does, which does not say what is wrong
    except BlockingIOError:
        return "another process has locked it"
    except OSError as found:
        error = found
    return os.strerror(error.errno) if error.errno in _FOR_NOW else ""


def _regular(path: str | Path) -> None:
    """Raise InputError for what is there and no file: reading it might wait for ever."""
    if Path(path).exists() and not Path(path).is_file():
        raise InputError(
            f"{path} is {'a folder' if Path(path).is_dir() else 'no file'}, where a result belongs: remove it"
        )


def broken(path: str | Path, remade_by: str, reason: object) -> InputError:
    """The sentence for a result that cannot be used: which file, why, and which rule remakes it."""
    if isinstance(reason, FileNotFoundError):
        return InputError(f"{path} is not there" + (f"; rule {remade_by} makes it: run snakemake" if remade_by else ""))
    if isinstance(reason, OSError) and (why := _kept_from(path, reason)):
        return UnavailableError(f"{path} cannot be opened now ({why}); it may be whole: start again when it can")
    remedy = f"delete it and run snakemake again: rule {remade_by} remakes it" if remade_by else "remove or replace it"
    return InputError(f"{path} is not a complete result file ({reason}); {remedy}")


def expect(
    path: str | Path, attributes: Mapping[str, Any], digest: str, remade_by: str, lacks: Collection[str] = ()
) -> None:
    """Raise InputError unless the file says that it was made from the configuration with this digest, and is whole.

    lacks: what should be in it and is not.
    """
    found = attributes.get("digest", "none")
    if found != digest:
        raise broken(path, remade_by, f"its digest is {found}, expected {digest}")
    if lacks:
        raise broken(path, remade_by, f"it lacks {', '.join(sorted(lacks))}")


def write_tensors(path: str | Path, tensors: Mapping[str, "Tensor"], attributes: Mapping[str, str]) -> None:
    """Write named tensors as safetensors, whole or not at all; equal ones make equal bytes."""
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        # One entry of metadata: safetensors writes several in an order of chance.
        metadata = {ATTRIBUTES: as_json(dict(attributes))}
        temporary.touch()
        mode = temporary.stat().st_mode  # as everywhere else: safetensors would let no one but its writer read it
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)
        temporary.chmod(mode)


def read_tensors(path: str | Path, remade_by: str = "") -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """Named tensors and attributes of a safetensors file. Raises InputError if it is broken."""
    from safetensors import SafetensorError, safe_open

    _regular(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, json.loads((file.metadata() or {}).get(ATTRIBUTES, "{}"))
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise broken(path, remade_by, error) from error


def tensor_attributes(path: str | Path) -> dict[str, str]:
    """The attributes alone of a safetensors file, which must be whole. Imports no torch. Raises InputError."""
    from safetensors import SafetensorError, safe_open

    _regular(path)
    try:
        with safe_open(path, "numpy") as file:  # its header says how long the file must be
            found: dict[str, str] = json.loads((file.metadata() or {}).get(ATTRIBUTES, "{}"))
            return found
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise broken(path, "", error) from error


@cache
def content_digest(path: str) -> str:
    """Sixteen hexadecimal digits for what a file holds."""
    with open(path, "rb") as file:  # noqa: PTH123, the cache knows paths as text
        return file_digest(file, "sha256").hexdigest()[:16]


def as_json(value: Any) -> str:
    """Canonical JSON: one text for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
