"""MNIST, Fashion-MNIST, CIFAR-10 and SVHN, downloaded and read through torchvision.

The files lie in the root of raw data where torchvision puts them, so that a copy made by it is used as it is. Each is
checked against torchvision's md5 before it is opened; what is unpacked goes to a temporary folder, so a root that
many users share may be read-only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from relative_stability.core.errors import InputError
from relative_stability.core.logs import log
from relative_stability.core.store import atomic
from relative_stability.datasets.base import DATA, Samples


class File(NamedTuple):
    """A file below the root, its md5, and where it can be had."""

    path: str
    md5: str
    urls: Sequence[str]


def _files(source: str, root: Path) -> list[File]:
    from torchvision import datasets

    if source == "cifar10":
        cifar = datasets.CIFAR10
        unpacked = [*cifar.train_list, *cifar.test_list, (cifar.meta["filename"], cifar.meta["md5"])]
        if (root / cifar.base_folder).is_dir() and not (root / cifar.filename).exists():
            return [File(f"{cifar.base_folder}/{name}", md5, []) for name, md5 in unpacked]
        return [File(cifar.filename, cifar.tgz_md5, [cifar.url])]
    if source == "svhn":
        parts = [datasets.SVHN.split_list[split] for split in ("train", "test")]
        return [File(name, md5, [url]) for url, name, md5 in parts]
    kind: Any = {"mnist": datasets.MNIST, "fashionmnist": datasets.FashionMNIST}[source]
    folder = f"{kind.__name__}/raw"
    return [File(f"{folder}/{name}", md5, [mirror + name for mirror in kind.mirrors]) for name, md5 in kind.resources]


def load(source: str, root: Path) -> Samples:
    """The dataset, its files downloaded if they are not below `root`.

    Raises InputError for a file whose checksum is wrong, and, where there is no internet, with the files to put there.
    """
    from torchvision import datasets

    with _verified(source, root) as folder:
        if source == "svhn":
            splits: list[Any] = [datasets.SVHN(folder, split) for split in ("train", "test")]
            images, labels = [s.data for s in splits], [s.labels for s in splits]
            names: Sequence[str] = [str(digit) for digit in range(10)]
        else:
            kind: Any = {"cifar10": datasets.CIFAR10, "mnist": datasets.MNIST, "fashionmnist": datasets.FashionMNIST}
            # Every file is there and verified: `download` unpacks them, and asks the network for nothing.
            splits = [kind[source](folder, train=train, download=True) for train in (True, False)]
            labels, names = [np.asarray(s.targets) for s in splits], splits[0].classes
            images = [np.asarray(s.data) for s in splits]
            images = [x.transpose(0, 3, 1, 2) if x.ndim == 4 else x[:, None] for x in images]
    names = [name.partition(" - ")[0] for name in names]  # MNIST calls its classes "0 - zero" and so on
    test = np.repeat([False, True], [len(part) for part in labels])
    joined = np.ascontiguousarray(np.concatenate(images))
    return Samples(joined, np.concatenate(labels).astype(np.int64), test, tuple(names), f"{source}, by torchvision")


@contextmanager
def _verified(source: str, root: Path) -> Iterator[Path]:
    """A temporary folder with links to the dataset's files, each there and whole."""
    files = _files(source, root)
    for file in files:
        _check_or_download(source, root, file, [other.path for other in files])
    with TemporaryDirectory() as temporary:
        for file in files:
            link = Path(temporary, file.path)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((root / file.path).resolve())
        yield Path(temporary)


def _check_or_download(source: str, root: Path, file: File, needed: Sequence[str]) -> None:
    from torchvision.datasets.utils import calculate_md5

    path = root / file.path
    try:
        found = calculate_md5(path) if path.exists() else None
    except OSError as error:
        raise InputError(
            f"dataset {source}: {path} cannot be read ({error}); allow it, or put a whole copy there"
        ) from None
    if found is None:
        _download(source, path, file, root, needed)
    elif found != file.md5:
        raise InputError(
            f"dataset {source}: {path} is damaged (its md5 is {found}, expected {file.md5}); delete it and run again "
            "to download it, or put a whole copy there"
        )


def _download(source: str, path: Path, file: File, root: Path, needed: Sequence[str]) -> None:
    from torchvision.datasets.utils import download_url

    if not root.is_dir() and root != Path("data"):  # a slip of the pen makes no folders
        raise InputError(
            f"data_root {root} does not exist; make this folder, or correct data_root in the config or the environment "
            f"variable {DATA}"
        )
    reasons = []
    for url in file.urls:
        log.info("downloading %s to %s", url, path)
        try:
            with atomic(path) as temporary:
                download_url(url, temporary.parent, temporary.name, file.md5)
            return
        except (OSError, RuntimeError, HTTPException) as error:  # no network, a wrong checksum, a read-only root
            reasons.append(f"{url}: {error}")
    raise InputError(
        f"dataset {source} needs {', '.join(needed)} below {root.resolve()}, and {file.path} is not there and cannot "
        f"be downloaded ({'; '.join(reasons) or 'no place offers it alone'}); put these files there, or name the "
        f"folder that has them by data_root in the config or by the environment variable {DATA}"
    )
