"""Test images for a net from elsewhere: a folder, an archive, an idx file, or a dataset; decoded when needed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from relative_stability.core.errors import InputError, nearest
from relative_stability.core.randomness import generator
from relative_stability.datasets import SOURCES, load
from relative_stability.datasets.archive import ARCHIVES, extracted, names
from relative_stability.datasets.folder import TEST, TRAIN, split_of
from relative_stability.datasets.images import SUFFIXES, is_picture, read_picture

if TYPE_CHECKING:
    from PIL.Image import Image

ALIKE = 16  # images that are looked at before anything is measured


class Pictures(NamedTuple):
    """read: the picture at a position, in colour (3 channels) or grey (1); channels: its own; labels: (N,), or None."""

    read: "Callable[[int, int], Image]"
    total: int
    channels: int = 3
    labels: np.ndarray | None = None
    class_names: Sequence[str] = ()
    called: "Callable[[int], str]" = str


class StreamedImages:
    """Images of which a batch is decoded when it is asked for; to who measures, a tensor (N, C, n, n).

    labels: (N,), or None. Raises InputError, naming it, for a picture that cannot be read or has another size.
    """

    ndim = 4

    def __init__(
        self,
        pictures: Pictures,
        chosen: Sequence[int],
        transform: "Callable[[Image], Tensor]",
        channels: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.pictures, self.chosen, self.transform, self.channels = pictures, chosen, transform, channels
        self.dtype, self.device = dtype, device
        self.labels = None if pictures.labels is None else torch.from_numpy(pictures.labels[list(chosen)])
        self.class_names = pictures.class_names
        self._last: tuple[range, Tensor] | None = None
        self.shape = torch.Size((len(chosen), *self._one(0).shape))
        first = self[:ALIKE]
        if len(first) > 1 and bool((first == first[:1]).all()):
            raise InputError("images: the first are all alike; at least two different ones are needed")

    def __len__(self) -> int:
        return len(self.chosen)

    def numel(self) -> int:
        """Numbers in all images."""
        return self.shape.numel()

    def __getitem__(self, rows: slice) -> Tensor:
        wanted = range(*rows.indices(len(self)))
        if self._last is None or self._last[0] != wanted:
            found = torch.empty(len(wanted), *self.shape[1:])  # every picture in the layout that it says it has
            for out, k in zip(found, wanted, strict=True):
                out.copy_(self._one(k))
            self._last = wanted, found.to(self.device, self.dtype)
        return self._last[1]

    def _one(self, k: int) -> Tensor:
        place = self.chosen[k]
        seen = self.transform(self.pictures.read(place, self.channels))
        if hasattr(self, "shape") and seen.shape != self.shape[1:]:
            raise InputError(
                f"images: {self.pictures.called(place)} is {seen.shape[-1]} pixels wide, the first one "
                f"{self.shape[-1]}; give one --size"
            )
        return seen


@contextmanager
def open_images(
    where: str,
    transform: "Callable[[int], Callable[[Image], Tensor]]",
    count: int,
    channels: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Iterator[StreamedImages]:
    """`count` images (all, if there are fewer), drawn at random, each as `transform(channels)` makes it.

    where: a folder or archive of pictures, those of its split `test` or `val` if it has one, with classes where all lie
    in folders called after them; an idx file, with that of its labels beside it; or the name of a dataset, of which the
    test split is taken. Raises InputError for what is not there, holds fewer than two pictures, or cannot be read.
    """
    with ExitStack() as stack:
        path = Path(where)
        if not path.exists() and where in SOURCES:
            found = _named(where)
        elif not path.exists():
            known = f"; {nearest(where, SOURCES)}" if "/" not in where and not path.suffix else ""
            raise InputError(f"images: {where} does not exist, as a file, folder or dataset{known}")
        elif path.is_dir() or path.name.lower().endswith(ARCHIVES):
            found = _in_folder(path, stack.enter_context(extracted(path)))
        elif "idx" in path.name:
            found = _idx(path)
        else:
            raise InputError(f"images: {where} is no folder, archive ({', '.join(ARCHIVES)}) or idx file")
        chosen = torch.randperm(found.total, generator=generator(seed, "pictures"))[:count].sort().values.tolist()
        channels = channels or found.channels
        yield StreamedImages(found, chosen, transform(channels), channels, dtype, torch.device(device))


def _in_folder(path: Path, top: Path) -> Pictures:
    pictures = sorted(name for name in names(path) if is_picture(name))
    splits = {name: split_of(name.split("/")[0]) for name in pictures if "/" in name}
    tested = next((name for name in TEST if name in splits.values()), None)
    if tested and TRAIN in splits.values():
        pictures = [name for name in pictures if splits.get(name) == tested]
    if len(pictures) < 2:
        raise InputError(
            f"images: {path} holds {len(pictures)} pictures ({', '.join(SUFFIXES)}); at least two are needed"
        )
    folders = [Path(name).parent.name for name in pictures]
    classes = sorted(set(folders))
    labelled = len(classes) > 1 and "" not in classes
    labels = np.array([classes.index(folder) for folder in folders]) if labelled else None

    def called(k: int) -> str:
        return f"{path}: {pictures[k]}"

    def read(k: int, channels: int) -> "Image":
        return read_picture(top / pictures[k], channels, called=called(k))

    return Pictures(read, len(pictures), 3, labels, () if "" in classes else classes, called)


def _named(source: str) -> Pictures:
    if SOURCES[source].module == "linear":
        raise InputError(f"images: the data of {source!r} are no pictures")
    if SOURCES[source].module == "folder":
        raise InputError(f"images: {source!r} is a kind of folder; give the path of the folder or archive")
    samples = load(source)
    test = np.flatnonzero(samples.test)
    scale = 1 if samples.images.dtype == np.uint8 else 255
    return _arrays((scale * samples.images[test]).round().astype(np.uint8), samples.labels[test], samples.class_names)


def _idx(path: Path) -> Pictures:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    try:
        images = read_image_file(str(path)).numpy()[:, None]
        beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
        labels = read_label_file(str(beside)).numpy() if beside != path and beside.is_file() else None
    except (OSError, ValueError, AssertionError, TypeError, KeyError) as error:
        raise InputError(
            f"images: {path} is no idx file of images, unpacked ({type(error).__name__} {error})"
        ) from None
    return _arrays(images, labels, [str(k) for k in range(int(labels.max()) + 1)] if labels is not None else ())


def _arrays(images: np.ndarray, labels: np.ndarray | None, class_names: Sequence[str]) -> Pictures:
    """images: (N, C, n, n), uint8."""
    from PIL.Image import fromarray

    def read(k: int, channels: int) -> "Image":
        pixels = images[k].transpose(1, 2, 0)
        return fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("L" if channels == 1 else "RGB")

    return Pictures(read, len(images), images.shape[1], labels, class_names)
