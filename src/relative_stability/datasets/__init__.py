"""Datasets by source: what they hold is known without loading them, so that a config is checked before any job.

A new source is one file with a function `load(source, root, **options) -> Samples` and one line in SOURCES, with its
sizes; options of its own stand in the config's schema under `$defs/datasets`. Where sizes depend on more than options
of the same names, the file has a function `facts(source, root, **options) -> Facts` beside `load`.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from relative_stability.core.errors import InputError, nearest
from relative_stability.datasets.base import DATA, UNKNOWN, Facts, Samples, below
from relative_stability.datasets.transforms import CHANGES, changed, changed_facts

__all__ = ["DATA", "SOURCES", "UNKNOWN", "Facts", "Samples", "Source", "below", "data_root", "facts", "load"]


class Source(NamedTuple):
    """Where a dataset is loaded, and its sizes, if they are known beforehand."""

    module: str
    facts: Facts | None = None
    scanned: bool = False  # its sizes are found by a look at the disk


SOURCES = {
    "cifar10": Source("downloaded", Facts(50_000, 10_000, 3, 32, 10)),
    "cylinder": Source("linear"),
    "digits": Source("digits", Facts(1_100, 697, 1, 8, 10)),
    "fashionmnist": Source("downloaded", Facts(60_000, 10_000, 1, 28, 10)),
    "imagefolder": Source("folder", scanned=True),
    "interface": Source("linear"),
    "mnist": Source("downloaded", Facts(60_000, 10_000, 1, 28, 10)),
    "mnist_5k": Source("mnist_5k", Facts(4_000, 1_000, 1, 28, 10)),
    "stripe": Source("linear"),
    "svhn": Source("downloaded", Facts(73_257, 26_032, 3, 32, 10)),
    "tiny_imagenet": Source("folder", Facts(100_000, 10_000, 3, 64, 200)),
}


def data_root(setting: str | None = None) -> Path:
    """The folder of raw data: the config's `data_root`, else the environment variable, else `data` where one works."""
    return below(Path(), setting or os.environ.get(DATA) or "data")


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise InputError(f"dataset source {name!r} is unknown; {nearest(name, SOURCES)}")
    return SOURCES[name]


def _module(source: Source) -> Any:
    return import_module(f"relative_stability.datasets.{source.module}")


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the source, and of the changes made to what it gives."""
    own = {key: value for key, value in options.items() if key not in CHANGES}
    return own, {key: value for key, value in options.items() if key in CHANGES}


def facts(source: str, root: Path | None = None, **options: Any) -> Facts:
    """The sizes of a dataset, without loading it. root: of raw data, by default that of `data_root`."""
    home = _source(source)
    own, changes = _split(options)
    if home.facts is None:
        known: Facts = _module(home).facts(source, root or data_root(), **own)
    else:
        known = home.facts._replace(**{key: value for key, value in own.items() if key in Facts._fields})
    return changed_facts(known, **changes)


def load(source: str, root: Path | None = None, **options: Any) -> Samples:
    """Load or make a dataset. root: of raw data, by default that of `data_root`."""
    home = _source(source)
    own, changes = _split(options)
    samples: Samples = _module(home).load(source, root or data_root(), **own)
    return changed(samples, **changes)
