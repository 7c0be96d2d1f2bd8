"""What a dataset is made of."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

DATA = "RELATIVE_STABILITY_DATA"  # the environment variable that names the folder of raw data


class Facts(NamedTuple):
    """Sizes known before loading: samples of each split, channels C, side n, classes, uninformative inputs."""

    train_size: int
    test_size: int
    channels: int
    image_size: int
    classes: int
    uninformative: tuple[int, ...] = ()


UNKNOWN = Facts(0, 0, 0, 0, 0)


class Samples(NamedTuple):
    """A loaded dataset. labels: (N,); test: (N,), True for the test split.

    images: (N, C, n, n), uint8, or float32 on the same scale divided by 255; normalization: see `prepared`.
    """

    images: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    class_names: tuple[str, ...]
    source: str
    normalization: str = "standardized"


def below(root: Path, name: str) -> Path:
    """A path from the folder of raw data; one that is absolute, or starts with ~, stands for itself."""
    return root / os.path.expanduser(name)  # noqa: PTH111 - Path.expanduser fails for users that do not exist
