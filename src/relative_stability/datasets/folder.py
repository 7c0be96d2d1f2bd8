"""Folders of pictures, or archives (.zip, .tar, .tar.gz) of such folders, and tiny ImageNet as it is handed out.

Every picture is cropped to its central square and resized to `image_size` pixels (bilinear, antialiased, Pillow).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from relative_stability.core.errors import InputError
from relative_stability.core.logs import log
from relative_stability.datasets.archive import extracted, names, place
from relative_stability.datasets.base import Facts, Samples
from relative_stability.datasets.images import SUFFIXES, TRANSPARENT, central_square, is_picture, read_picture

TINY_IMAGENET = " (http://cs231n.stanford.edu/tiny-imagenet-200.zip, 240 MB, is not downloaded here)"
TRAIN, TEST = "train", ("test", "val", "valid", "validation")
ALSO = {"training": TRAIN, "testing": "test"}  # what splits are called too


class Listing(NamedTuple):
    """Pictures by their paths in the folder, in a fixed order, with label and split; left_out: other files."""

    paths: Sequence[str]
    labels: np.ndarray
    test: np.ndarray
    class_names: Sequence[str]
    left_out: Sequence[str]


def _listing(path: Path, test_fraction: float, per_class: int | None = None) -> Listing:
    """What a folder holds, from the names of its files alone.

    Raises InputError where there are no pictures, fewer than two classes, a class without pictures, a picture in no
    class, a split that lacks the other, or a class that only the test split has.
    """
    found = sorted(names(path))
    folders = [name.rstrip("/").split("/") for name in found if name.endswith("/")]
    files = {name: name.split("/") for name in found if not name.endswith("/")}
    others = [name for name in files if not is_picture(name)]
    pictures = {name: parts for name, parts in files.items() if is_picture(name)}
    if not pictures:
        raise InputError(f"{path} holds no pictures ({', '.join(SUFFIXES)}), but {len(others)} other files")
    tops = {parts[0] for parts in pictures.values()}
    if not path.is_dir() and len(tops) == 1 and not split_of(*tops):  # archives often hold one folder that holds all
        files = {name: parts[1:] for name, parts in files.items() if parts[0] in tops}
        pictures = {name: files[name] for name in pictures}
        folders = [parts[1:] for parts in folders if parts[0] in tops and len(parts) > 1]
    first = {split_of(parts[0]): parts[0] for parts in pictures.values() if len(parts) > 1}
    test_name = next((name for name in TEST if name in first), None)
    if (TRAIN in first) != (test_name is not None):
        there, lacking = (TRAIN, " or ".join(TEST)) if TRAIN in first else (first[test_name], TRAIN)
        raise InputError(f"{path} has the folder {there}, but not {lacking}; add it, or give the folder another name")
    level, chosen = 0, pictures
    if test_name is not None:
        level, kept = 1, (first[TRAIN], first[test_name])
        chosen = {name: parts for name, parts in pictures.items() if parts[0] in kept}
        files = {name: parts for name, parts in files.items() if parts[0] in kept}
        folders = [parts for parts in folders if parts[0] in kept]
    loose = next((name for name, parts in chosen.items() if len(parts) < level + 2), None)
    if loose is not None:
        raise InputError(f"{path}: {loose} lies in no class folder; sort the pictures into one folder for each class")
    of_class = [parts[level] for parts in chosen.values()]
    classes = sorted(set(of_class))
    if len(classes) < 2:
        raise InputError(f"{path} holds one class, {classes[0]!r}; at least two class folders are needed")
    bare = {parts[level]: "" for parts in folders if len(parts) > level}
    bare |= {parts[level]: f", but {name}" for name, parts in files.items() if len(parts) > level + 1}
    empty = next((name for name in bare if name not in classes), None)
    if empty is not None:
        raise InputError(f"{path}: class folder {empty!r} holds no pictures{bare[empty]}; add some or remove it")
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[name] for name in of_class])
    if test_name is None:
        test = _drawn(labels, test_fraction)
    else:
        test = np.array([parts[0] == first[test_name] for parts in chosen.values()])
    untrained = next((name for name in classes if test[labels == number[name]].all()), None)
    if (untrained is not None and test_fraction < 1) or not test.any():
        what = "there are no test pictures" if untrained is None else f"class {untrained!r} has no training pictures"
        raise InputError(f"{path}: {what}; add some")
    left_out = [*others, *(name for name in pictures if name not in chosen)]
    some, paths = _some(labels, test, per_class), list(chosen)
    return Listing([paths[k] for k in some], labels[some], test[some], classes, left_out)


def split_of(folder: str) -> str | None:
    """The split that a folder is called after, if it is."""
    name = ALSO.get(folder.lower(), folder.lower())
    return name if name in (TRAIN, *TEST) else None


def _drawn(labels: np.ndarray, fraction: float) -> np.ndarray:
    """A random test split, always the same: this fraction of every class; below 1 one at least stays for training."""
    generator, test = np.random.default_rng(0), np.full(len(labels), fraction == 1)
    for label in np.unique(labels) if fraction < 1 else ():
        own = generator.permutation(np.flatnonzero(labels == label))
        test[own[: min(len(own) - 1, round(fraction * len(own)))]] = True
    return test


def _some(labels: np.ndarray, test: np.ndarray, per_class: int | None) -> np.ndarray:
    """Positions of so many random pictures of each class and split, always the same; of all, where none is said."""
    if per_class is None:
        return np.arange(len(labels))
    order = np.random.default_rng(0).permutation(len(labels))
    groups = pd.Series(order).groupby([labels[order], test[order]])
    return np.sort(groups.head(per_class).to_numpy())


def facts(
    source: str,
    root: Path,
    folder: str,
    image_size: int,
    channels: int,
    test_fraction: float,
    per_class: int | None = None,
) -> Facts:
    """Sizes of a folder, by the names of its files."""
    found = _listing(place(root, folder), test_fraction, per_class)
    test_size = int(found.test.sum())
    return Facts(len(found.test) - test_size, test_size, channels, image_size, len(found.class_names))


def load(
    source: str,
    root: Path,
    folder: str,
    image_size: int,
    channels: int = 3,
    test_fraction: float = 0.2,
    per_class: int | None = None,
) -> Samples:
    """The pictures of a folder. Raises InputError, naming it, for one that cannot be read.

    imagefolder: train/CLASS/… with test/CLASS/… (or val, valid, validation), or CLASS/… alone, of which
    `test_fraction` are drawn at random for the test split; of each class and split `per_class`. tiny_imagenet:
    train/CLASS/images/… with val/images/… and val/val_annotations.txt.
    """
    path = place(root, folder, TINY_IMAGENET if source == "tiny_imagenet" else "")
    found = _listing(path, test_fraction, per_class) if source == "imagefolder" else None
    with extracted(path) as top:
        if found is None:
            found = _tiny_imagenet(path, top)
        if found.left_out:
            count, example = len(found.left_out), found.left_out[0]
            log.warning(
                "%s: %d files that are no pictures, or in no split, are left out, such as %s", path, count, example
            )
        images = np.empty((len(found.paths), channels, image_size, image_size), np.uint8)
        sizes: Counter[tuple[int, int]] = Counter()
        transparent: list[str] = []
        for out, name in zip(images, found.paths, strict=True):
            picture = read_picture(top / name, channels, called="" if path.is_dir() else f"{path}: {name}")
            sizes[picture.size] += 1
            transparent += [name] if TRANSPARENT in picture.info else []
            pixels = np.asarray(central_square(picture, image_size)).reshape(image_size, image_size, channels)
            out[...] = pixels.transpose(2, 0, 1)
    if len(images) > 1 and all((image == images[0]).all() for image in images):
        hidden = ", and what they show may be in their transparency, which is left out" if transparent else ""
        raise InputError(
            f"{path}: all pictures are alike as they are read{hidden}; there is nothing to learn from them"
        )
    if transparent:
        log.warning(
            "%s: %d pictures have transparent places, such as %s; the colours below are taken as they stand there",
            path, len(transparent), transparent[0],
        )  # fmt: skip
    how = _how(sizes, image_size)
    log.info("%s: %d pictures, %s", path, len(images), how)
    words = f"pictures of {folder}, {how}"
    return Samples(images, found.labels.astype(np.int64), found.test, tuple(found.class_names), words)


def _how(sizes: Mapping[tuple[int, int], int], n: int) -> str:
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


def _tiny_imagenet(path: Path, top: Path) -> Listing:
    """Tiny ImageNet in its own layout. Its validation pictures are the test split: test labels are not public."""
    marked = sorted(top.glob("**/val/val_annotations.txt"))
    if not marked:
        raise InputError(f"{path} is not tiny ImageNet as it is handed out: it has no val/val_annotations.txt")
    inside = marked[0].parents[1]
    train = {p: p.parents[1].name for p in sorted(inside.glob("train/*/images/*")) if is_picture(p.name)}
    lines = [line.split("\t") for line in marked[0].read_text(encoding="utf-8").splitlines() if "\t" in line]
    held_out = {inside / "val/images" / line[0]: line[1] for line in sorted(lines)}
    classes = sorted(set(train.values()))
    unknown = next((name for name in held_out.values() if name not in classes), None)
    if unknown is not None:
        raise InputError(
            f"{path}: class {unknown!r} of val/val_annotations.txt has no pictures in train/{unknown}/images"
        )
    number = {name: i for i, name in enumerate(classes)}
    everything = {**train, **held_out}
    labels = np.array([number[name] for name in everything.values()])
    test = np.repeat([False, True], [len(train), len(held_out)])
    return Listing([p.relative_to(top).as_posix() for p in everything], labels, test, classes, [])
