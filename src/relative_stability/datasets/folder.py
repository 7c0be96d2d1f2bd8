"""Folders of pictures, or archives (.zip, .tar, .tar.gz) of such folders, and tiny ImageNet as it is handed out.

Every picture is cropped to its central square and resized to `image_size` pixels (bilinear, antialiased, Pillow).
"""

import os
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from relative_stability.datasets.base import DATA, Facts, Samples
from relative_stability.errors import InputError
from relative_stability.logs import log
from relative_stability.pictures import SUFFIXES, central_square, is_picture, read_picture

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
TRAIN, TEST = "train", ("test", "val")


class Listing(NamedTuple):
    """Pictures by their paths in the folder, in a fixed order, with label and split."""

    paths: Sequence[str]
    labels: np.ndarray
    test: np.ndarray
    class_names: Sequence[str]


def _place(root: Path, folder: str) -> Path:
    path = root / Path(folder).expanduser()  # an absolute folder stands for itself
    if not path.exists():
        raise InputError(
            f"folder {path} does not exist; give the path of a folder or archive, from data_root in the config or the "
            f"environment variable {DATA}"
        )
    if not path.is_dir() and not path.name.lower().endswith(ARCHIVES):
        raise InputError(f"{path} is neither a folder nor an archive ({', '.join(ARCHIVES)})")
    return path


def _names(path: Path) -> list[str]:
    """Paths of all files, with `/` between their parts."""
    try:
        if path.is_dir():
            inside = ((Path(top).relative_to(path), files) for top, _, files in os.walk(path, followlinks=True))
            return [(folder / file).as_posix() for folder, files in inside for file in files]
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                return [name for name in archive.namelist() if not name.endswith("/")]
        with tarfile.open(path) as packed:
            return [str(PurePosixPath(member.name)) for member in packed if member.isfile()]
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({error}); replace it by a whole copy") from None


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The folder, or a temporary one with what the archive holds."""
    if path.is_dir():
        yield path
        return
    with TemporaryDirectory() as temporary:
        try:
            if path.suffix.lower() == ".zip":
                shutil.unpack_archive(path, temporary)
            else:
                shutil.unpack_archive(path, temporary, filter="data")
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} cannot be unpacked ({error}); replace it by a whole copy") from None
        yield Path(temporary)


def _listing(path: Path, test_fraction: float) -> Listing:
    """What a folder holds, from the names of its files alone.

    Raises InputError where there are no pictures, fewer than two classes, a class without pictures, a picture in no
    class, or a class that only the test split has.
    """
    names = _names(path)
    files = {name: name.split("/") for name in sorted(names) if not PurePosixPath(name).name.startswith(".")}
    if not path.is_dir() and len({parts[0] for parts in files.values()}) == 1:
        files = {name: parts[1:] for name, parts in files.items()}  # archives often hold one folder that holds all
    others = [name for name in files if not is_picture(name)]
    pictures = {name: parts for name, parts in files.items() if is_picture(name)}
    if not pictures:
        raise InputError(f"{path} holds no pictures ({', '.join(SUFFIXES)}), but {len(others)} other files")
    if others:
        log.warning("%s: %d files that are no pictures are left out, such as %s", path, len(others), others[0])
    tops = {parts[0] for parts in pictures.values() if len(parts) > 1}
    split = next((name for name in TEST if {TRAIN, name} <= tops), None)
    if split is None and tops == {TRAIN}:
        raise InputError(f"{path} has the folder {TRAIN}, but neither of {' and '.join(TEST)}; add one of them")
    if split is not None:
        pictures = {name: parts for name, parts in pictures.items() if parts[0] in (TRAIN, split)}
    level = int(split is not None)
    loose = next((name for name, parts in pictures.items() if len(parts) < level + 2), None)
    if loose is not None:
        raise InputError(f"{path}: {loose} lies in no class folder; sort the pictures into one folder for each class")
    of_class = [parts[level] for parts in pictures.values()]
    classes = sorted(set(of_class))
    if len(classes) < 2:
        raise InputError(f"{path} holds one class, {classes[0]!r}; at least two class folders are needed")
    bare = {parts[level]: name for name, parts in files.items() if len(parts) > level + 1} if split is None else {}
    empty = next((name for name in bare if name not in classes), None)
    if empty is not None:
        raise InputError(f"{path}: class folder {empty!r} holds no pictures, but {bare[empty]}; add some or remove it")
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[name] for name in of_class])
    if split is None:
        test = _drawn(labels, test_fraction)
    else:
        test = np.array([parts[0] == split for parts in pictures.values()])
    untrained = next((name for name in classes if test[labels == number[name]].all()), None)
    if untrained is not None or not test.any():
        what = "there are no test pictures" if untrained is None else f"class {untrained!r} has no training pictures"
        raise InputError(f"{path}: {what}; add some")
    return Listing(list(pictures), labels, test, classes)


def _drawn(labels: np.ndarray, fraction: float) -> np.ndarray:
    """A random test split, always the same: this fraction of every class, of which one at least stays for training."""
    generator, test = np.random.default_rng(0), np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        test[own[: min(len(own) - 1, round(fraction * len(own)))]] = True
    return test


def facts(source: str, root: Path, folder: str, image_size: int, channels: int, test_fraction: float) -> Facts:
    """Sizes of a folder, by the names of its files."""
    found = _listing(_place(root, folder), test_fraction)
    test_size = int(found.test.sum())
    return Facts(len(found.test) - test_size, test_size, channels, image_size, len(found.class_names))


def load(
    source: str, root: Path, folder: str, image_size: int, channels: int = 3, test_fraction: float = 0.2
) -> Samples:
    """The pictures of a folder. Raises InputError, naming it, for one that cannot be read.

    imagefolder: train/CLASS/… with test/CLASS/… or val/CLASS/…, or CLASS/… alone, of which `test_fraction` are drawn
    at random for the test split. tiny_imagenet: train/CLASS/images/… with val/images and val/val_annotations.txt.
    """
    place = _place(root, folder)
    with _unpacked(place) as top:
        if source == "tiny_imagenet":
            top, found = _tiny_imagenet(place, top)
        else:
            found = _listing(place, test_fraction)
        images = np.empty((len(found.paths), channels, image_size, image_size), np.uint8)
        sizes: Counter[tuple[int, int]] = Counter()
        for out, name in zip(images, found.paths, strict=True):
            picture = read_picture(top / name, channels)
            sizes[picture.size] += 1
            pixels = np.asarray(central_square(picture, image_size)).reshape(image_size, image_size, channels)
            out[...] = pixels.transpose(2, 0, 1)
    how = _how(sizes, image_size)
    log.info("%s: %d pictures, %s", place, len(images), how)
    return Samples(
        images, found.labels.astype(np.int64), found.test, tuple(found.class_names), f"pictures of {folder}, {how}"
    )


def _how(sizes: Counter[tuple[int, int]], n: int) -> str:
    """What was done to pictures of these sizes (width, height) to make them n pixels a side."""
    if set(sizes) == {(n, n)}:
        return f"{n}x{n} as they are"
    if len(sizes) == 1:
        ((width, height),) = sizes
        return f"{width}x{height}, cropped to the central square and resized to {n}x{n} (bilinear, antialiased)"
    (small, large) = min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1])
    return (
        f"of {len(sizes)} sizes from {small[0]}x{small[1]} to {large[0]}x{large[1]}, each cropped to the central "
        f"square and resized to {n}x{n} (bilinear, antialiased)"
    )


def _tiny_imagenet(place: Path, top: Path) -> tuple[Path, Listing]:
    """Tiny ImageNet in its own layout. Its validation pictures are the test split: test labels are not public."""
    marked = sorted(top.glob("**/val/val_annotations.txt"))
    if not marked:
        raise InputError(f"{place} is not tiny ImageNet as it is handed out: it has no val/val_annotations.txt")
    top = marked[0].parents[1]
    classes = sorted(folder.name for folder in (top / "train").iterdir() if folder.is_dir())
    number = {name: i for i, name in enumerate(classes)}
    train = [(path, name) for name in classes for path in sorted((top / "train" / name / "images").iterdir())]
    lines = [line.split("\t") for line in marked[0].read_text(encoding="utf-8").splitlines()]
    held_out = [(top / "val/images" / line[0], line[1]) for line in sorted(lines)]
    everything = [(path, name) for path, name in [*train, *held_out] if is_picture(path.name)]
    unknown = next((name for _, name in everything if name not in number), None)
    if unknown is not None:
        raise InputError(f"{place}: class {unknown!r} of val/val_annotations.txt has no training pictures")
    paths = [path.relative_to(top).as_posix() for path, _ in everything]
    labels = np.array([number[name] for _, name in everything])
    return top, Listing(paths, labels, np.array([path.startswith("val/") for path in paths]), classes)
