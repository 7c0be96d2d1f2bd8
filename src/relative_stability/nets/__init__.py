"""Nets by name, built with explicit randomness.

A new net is one file with a function `(in_channels, num_outputs, image_size, **options) -> nn.Module`, one line in
ARCHITECTURES, and its options in the config's schema under `$defs/nets`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from relative_stability.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import nn


class Architecture(NamedTuple):
    """Where a net is built, and what is known of it beforehand.

    convolutional: the theory claims other things of convolutional and of fully connected nets; smallest: side of the
    smallest images that it takes, in pixels; batch_norm: whether its outputs depend on the mode it is in.
    """

    module: str
    function: str
    convolutional: bool
    smallest: int = 1
    batch_norm: bool = False


ARCHITECTURES = {
    "cnn": Architecture("convolutional", "cnn", True, smallest=4, batch_norm=True),
    "fc": Architecture("fully_connected", "fc", False),
    "lenet": Architecture("convolutional", "lenet", True, smallest=12),
    "one_hidden": Architecture("fully_connected", "one_hidden", False),
}


def net_names() -> list[str]:
    """The names that `build_net` knows."""
    return sorted(ARCHITECTURES)


def build_net(
    name: str,
    in_channels: int = 3,
    num_classes: int = 10,
    image_size: int = 32,
    *,
    seed: int | None = None,
    **options: Any,
) -> "nn.Module":
    """A net at initialisation, from (B, in_channels, image_size, image_size) to (B, num_classes).

    seed: of the initialisation, which then leaves torch's global generator alone; without one the module is
    initialised from that generator, as torch does. options: those of the net (width, depth; see the config's schema).
    Raises InputError for an unknown name, with the list, and for an image size that the net cannot take.
    """
    from contextlib import nullcontext

    from relative_stability.randomness import seeded_globally

    if name not in ARCHITECTURES:
        raise InputError(f"net {name!r} is unknown; {nearest(name, ARCHITECTURES)}")
    home = ARCHITECTURES[name]
    if image_size < home.smallest:
        raise InputError(f"{name} cannot take images of {image_size} pixels; the smallest it takes is {home.smallest}")
    build = getattr(import_module(f"relative_stability.nets.{home.module}"), home.function)
    with nullcontext() if seed is None else seeded_globally(seed, "init"):
        net: nn.Module = build(in_channels, num_classes, image_size, **options)
    return net
