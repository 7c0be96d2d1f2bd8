"""Datasets by source: what they hold is known without loading them, so that a config is checked before any job.

A new source is one file with `facts(**options)` and `load(**options)`, one line in SOURCES, and its options in the
config's schema under `$defs/datasets`.
"""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from relative_stability.errors import InputError, nearest

SOURCES = {"digits": "digits", "interface": "linear", "stripe": "linear"}


class Facts(NamedTuple):
    """Sizes known before loading: samples of each split, channels C, side n, classes, uninformative inputs."""

    train_size: int
    test_size: int
    channels: int
    image_size: int
    classes: int
    uninformative: tuple[int, ...] = ()


class Samples(NamedTuple):
    """A loaded dataset. images: (N, C, n, n), uint8 or float32; labels: (N,); test: (N,), True for the test split."""

    images: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    class_names: tuple[str, ...]
    source: str


def _module(source: str) -> Any:
    if source not in SOURCES:
        raise InputError(f"dataset source {source!r} is unknown; {nearest(source, SOURCES)}")
    return import_module(f"relative_stability.datasets.{SOURCES[source]}")


def facts(source: str, **options: Any) -> Facts:
    """The sizes of a dataset, without loading it."""
    result: Facts = _module(source).facts(source, **options)
    return result


def load(source: str, **options: Any) -> Samples:
    """Load or make a dataset."""
    samples: Samples = _module(source).load(source, **options)
    return samples
