"""A dataset as the pipeline stores it, and as a net sees it."""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from relative_stability.core.errors import InputError
from relative_stability.core.randomness import generator
from relative_stability.core.store import Attributes, as_json, broken, expect, labelled, open_dataset, write_dataset
from relative_stability.datasets.base import Facts, Samples


def write_prepared(path: str | Path, samples: Samples, facts: Facts, attributes: Attributes) -> None:
    """Store a dataset with its normalisation, (x − mean)/std, where the x of pictures run from 0 to 1.

    standardized: mean and standard deviation of each channel over the training split, or without one over all;
    symmetric: ½ and ½, so that pixels run from −1 to 1; none: 0 and 1.
    """
    images, channels = samples.images, samples.images.shape[1]
    _check_facts(samples, facts)
    mean, std = np.zeros(channels), np.ones(channels)
    if samples.normalization == "standardized":
        mean, std = channel_statistics(images if samples.test.all() else images[~samples.test])
        std[std == 0] = 1  # a channel of one value everywhere stays finite
    elif samples.normalization == "symmetric":
        mean, std = mean + 0.5, std / 2
    checksum = sha256(np.ascontiguousarray(images).tobytes() + samples.labels.tobytes()).hexdigest()
    dataset = xr.Dataset(
        {
            "images": labelled(("sample", "channel", "y", "x"), images, "pixel values"),
            "labels": labelled(("sample",), samples.labels, "class of each sample"),
            "split": labelled(("sample",), samples.test.astype("i1"), "split: 0 training, 1 test"),
            "class_names": labelled(("class",), samples.class_names, "names of the classes", ""),
            "mean": labelled(("channel",), mean, "mean that is taken off each channel"),
            "std": labelled(("channel",), std, "what each channel is then divided by"),
            "uninformative": labelled(
                ("direction",), np.array(facts.uninformative, "i8"), "inputs that carry no information on the label"
            ),
        },
        attrs={
            **attributes,
            "facts": as_json(facts._asdict()),
            "source": samples.source,
            "normalization": samples.normalization,
            "sha256": checksum,
        },
    )
    write_dataset(path, dataset)


def _check_facts(samples: Samples, facts: Facts) -> None:
    """Runs were planned with these sizes; samples of others end here, and not in the middle of a training."""
    _, channels, image_size, _ = samples.images.shape
    test_size = int(samples.test.sum())
    found = Facts(len(samples.test) - test_size, test_size, channels, image_size, len(samples.class_names))
    for key, size in found._asdict().items():
        if key != "uninformative" and size != getattr(facts, key):
            raise InputError(
                f"dataset {samples.source}: {key} is {size}, expected {getattr(facts, key)}; put a whole copy of the "
                "data there, or correct the sizes that the source announces"
            )
    if samples.labels.min() < 0 or samples.labels.max() >= facts.classes:
        raise InputError(f"dataset {samples.source}: labels must run from 0 to {facts.classes - 1}")


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, on the scale 0 to 1; both (C,). images: (N, C, n, n)."""
    scale = 255 if images.dtype == np.uint8 else 1
    # A channel at a time in single precision would lose digits on 10⁸ pixels; all at once in double loses memory.
    channels = [images[:, c].astype(np.float64) for c in range(images.shape[1])]
    return np.array([x.mean() for x in channels]) / scale, np.array([x.std() for x in channels]) / scale


class Prepared(NamedTuple):
    """A stored dataset in memory. images: (N, C, n, n) uint8 or float32; labels: (N,); test: (N,) bool."""

    images: Tensor
    labels: Tensor
    test: Tensor
    mean: Tensor
    std: Tensor
    classes: int
    uninformative: tuple[int, ...]
    class_names: tuple[str, ...] = ()

    def affine(self) -> tuple[Tensor, Tensor]:
        """(scale, shift), each (C, 1, 1): pixels as stored, times scale plus shift, are those that nets see."""
        full = 255 if self.images.dtype == torch.uint8 else 1
        return 1 / (full * self.std), -self.mean / self.std

    def seen(self, indices: Tensor, device: torch.device) -> Tensor:
        """Samples as nets see them: (B, C, n, n), float32, normalised, channels last where that is faster."""
        scale, shift = self.affine()
        return self.images[indices].to(device).float().mul(scale.to(device)).add(shift.to(device))

    def training_subset(self, P: int, seed: int) -> Tensor:
        """Indices of P training samples: the first P of one shuffle for each seed, so that subsets are nested."""
        train = torch.nonzero(~self.test).flatten()
        return train[torch.randperm(len(train), generator=generator(seed, "subset"))[:P]]

    def test_subset(self, size: int, seed: int) -> Tensor:
        """Indices of `size` random test samples, the same for every net."""
        test = torch.nonzero(self.test).flatten()
        return test[torch.randperm(len(test), generator=generator(seed, "test subset"))[:size]]


def open_prepared(path: str | Path, digest: str | None = None) -> Prepared:
    """Open a dataset written by `write_prepared`. Raises InputError if the file is broken or was made from another
    request than the one with this digest.
    """
    dataset = open_dataset(path, remade_by="prepare")
    if digest is not None:
        expect(path, dataset.attrs, digest, remade_by="prepare")
    if "images" not in dataset:
        raise broken(path, "prepare", "it holds no images")
    return in_memory(dataset)


def in_memory(dataset: xr.Dataset) -> Prepared:
    """What a file of `write_prepared` holds."""

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(dataset[name].values))

    return Prepared(
        tensor("images"),
        tensor("labels"),
        tensor("split").bool(),
        tensor("mean").float()[:, None, None],
        tensor("std").float()[:, None, None],
        dataset.sizes["class"],
        tuple(dataset["uninformative"].values.tolist()),
        tuple(map(str, dataset["class_names"].values)),
    )
