"""MNIST, Fashion-MNIST, CIFAR-10 and SVHN, downloaded and read through torchvision.

The files lie in the root of raw data where torchvision puts them, so that a copy made by it is used as it is. Each is
checked against torchvision's md5, and its SHA-256, before it is opened; what is unpacked goes to a temporary folder, so
a root that many users share may be read-only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import file_digest
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from relative_stability.core.errors import InputError
from relative_stability.core.logs import log
from relative_stability.core.store import atomic
from relative_stability.datasets.base import DATA, Samples

# By md5, of the files as they are handed out.
SHA256 = {
    "f68b3c2dcbeaaa9fbdd348bbdeb94873": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "d53e105ee54ea40749a09fcbcd1e9432": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "9fb629c4189551a2d022fa330f9573f3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "ec29112dd5afa0611ce80d1b7f02629c": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "25c81989df183df01b3e8a0aad5dffbe": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "bef4ecab320f06d8554ea6380940ec79": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "bb300cfdad3c16e7a12a480ee83cd310": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    "c58f30108f718f92721af3b95e74349a": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "e26dedcc434d2e4c54c9b2d4a06d8373": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    "eb5a983be6a315427106f1b164d9cef3": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
}
ENCRYPTED = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"  # torchvision has http alone


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
    folder, mirrors = f"{kind.__name__}/raw", [*([ENCRYPTED] if source == "fashionmnist" else []), *kind.mirrors]
    return [File(f"{folder}/{name}", md5, [mirror + name for mirror in mirrors]) for name, md5 in kind.resources]


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


def _wrong(path: Path, file: File) -> str:
    """Which checksum of a file is not what it should be; "" where all are."""
    for kind, expected in (("md5", file.md5), ("sha256", SHA256.get(file.md5))):
        with path.open("rb") as content:
            found = file_digest(content, kind).hexdigest()
        if expected not in (found, None):
            return f"its {kind} is {found}, expected {expected}"
    return ""


def _check_or_download(source: str, root: Path, file: File, needed: Sequence[str]) -> None:
    path = root / file.path
    try:
        wrong = _wrong(path, file) if path.exists() else None
    except OSError as error:
        raise InputError(
            f"dataset {source}: {path} cannot be read ({error}); allow it, or put a whole copy there"
        ) from None
    if wrong is None:
        _download(source, path, file, root, needed)
    elif wrong:
        raise InputError(
            f"dataset {source}: {path} is damaged ({wrong}); delete it and run again to download it, or put a whole "
            "copy there"
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
                if wrong := _wrong(temporary, file):
                    raise RuntimeError(wrong)
            return
        except (OSError, RuntimeError, HTTPException) as error:  # no network, a wrong checksum, a read-only root
            reasons.append(f"{url}: {error}")
    raise InputError(
        f"dataset {source} needs {', '.join(needed)} below {root.resolve()}, and {file.path} is not there and cannot "
        f"be downloaded ({'; '.join(reasons) or 'no place offers it alone'}); put these files there, or name the "
        f"folder that has them by data_root in the config or by the environment variable {DATA}"
    )
