"""Nets by name, built with explicit randomness.

A new net is a function `(in_channels, num_outputs, image_size, **options) -> nn.Module` in a file here, one line in
ARCHITECTURES, and its options in the config's schema under `$defs/nets`.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from relative_stability.core.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import nn


class Architecture(NamedTuple):
    """Where a net is built, and what is known of it beforehand.

    family: the theory claims other things of `convolutional` nets, of `fully connected` ones and of a `transformer`;
    smallest: side of the smallest images that it takes, in pixels; batch_norm: whether its outputs depend on the mode
    it is in; dropout: whether dropout or stochastic depth makes it another net at every training step; stacks: whether
    its own forward takes the weights of S nets, (S, …), with images (S, B, C, n, n); fixed: options of the function
    that the name stands for.
    """

    module: str
    function: str
    family: str
    smallest: int = 1
    batch_norm: bool = False
    dropout: bool = False
    stacks: bool = False
    fixed: Mapping[str, Any] = {}


CONVOLUTIONAL, FULLY_CONNECTED, TRANSFORMER = "convolutional", "fully connected", "transformer"
OTHER = "given"  # the theory claims nothing of it
PROGRAMS = (".pt2", ".torchscript", ".ts")  # endings of files that hold a net with its code
_TRANSFORMERS = ("vit", "swin", "deit", "beit", "cait", "mixer", "former")  # in names of other libraries


def _adapted(
    function: str, batch_norm: bool = True, smallest: int = 8, dropout: bool = False, **fixed: Any
) -> Architecture:
    return Architecture("adapted", function, CONVOLUTIONAL, smallest, batch_norm, dropout, fixed=fixed)


def _fully_connected(function: str, **fixed: Any) -> Architecture:
    return Architecture("fully_connected", function, FULLY_CONNECTED, stacks=True, fixed=fixed)


def _vgg(depth: int, batch_norm: bool) -> Architecture:
    fixed = {"depth": depth, "batch_norm": batch_norm}
    return Architecture("adapted", "vgg", CONVOLUTIONAL, 16, batch_norm, fixed=fixed)


ARCHITECTURES = {
    "alexnet": _adapted("alexnet", batch_norm=False, smallest=16, dropout=True),
    "cnn": Architecture("convolutional", "cnn", CONVOLUTIONAL, smallest=4, batch_norm=True),
    "convnext_tiny": _adapted("convnext_tiny", batch_norm=False, smallest=16, dropout=True),
    "densenet121": _adapted("densenet121"),
    "efficientnet_b0": _adapted("efficientnet_b0", dropout=True),
    "fc": _fully_connected("fc"),
    "fc2": _fully_connected("fc", depth=2),
    "fc4": _fully_connected("fc", depth=4),
    "fc6": _fully_connected("fc", depth=6),
    "googlenet": _adapted("googlenet", dropout=True),
    "lenet": Architecture("convolutional", "lenet", CONVOLUTIONAL, smallest=12),
    "mobilenet_v2": _adapted("mobilenet_v2", dropout=True),
    "one_hidden": _fully_connected("one_hidden"),
    "regnet": _adapted("regnet"),
    "resnet18": _adapted("resnet", depth=18),
    "resnet34": _adapted("resnet", depth=34),
    "resnet50": _adapted("resnet", depth=50),
    "resnet101": _adapted("resnet", depth=101),
    "resnext29": _adapted("resnext29"),
    "vgg11": _vgg(11, batch_norm=False),
    "vgg11_bn": _vgg(11, batch_norm=True),
    "vgg16": _vgg(16, batch_norm=False),
    "vgg16_bn": _vgg(16, batch_norm=True),
    "vgg19": _vgg(19, batch_norm=False),
    "vgg19_bn": _vgg(19, batch_norm=True),
    "vit_small": Architecture("adapted", "vit_small", TRANSFORMER, smallest=8),
}


def is_given(architecture: str) -> bool:
    """Whether a net is from elsewhere: torchvision:NAME, timm:NAME, package.module:NAME, or a program in a file."""
    return ":" in architecture or Path(architecture).suffix in PROGRAMS


def family(architecture: str) -> str:
    """What a net is to the theory, by its architecture."""
    if architecture in ARCHITECTURES:
        return ARCHITECTURES[architecture].family
    library, _, name = architecture.partition(":")
    if library not in ("torchvision", "timm"):
        return OTHER
    return TRANSFORMER if any(word in name for word in _TRANSFORMERS) else CONVOLUTIONAL


def net_names() -> list[str]:
    """The names that `build_net` knows, sorted.

    >>> net_names()[:3]
    ['alexnet', 'cnn', 'convnext_tiny']
    """
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

    >>> import torch
    >>> build_net("lenet", in_channels=1, image_size=28, seed=0)(torch.zeros(4, 1, 28, 28)).shape
    torch.Size([4, 10])
    """
    from contextlib import nullcontext

    from relative_stability.core.randomness import seeded_globally

    if name not in ARCHITECTURES:
        raise InputError(f"net {name!r} is unknown; {nearest(name, ARCHITECTURES)}")
    home = ARCHITECTURES[name]
    if image_size < home.smallest:
        raise InputError(f"{name} cannot take images of {image_size} pixels; the smallest it takes is {home.smallest}")
    build = getattr(import_module(f"relative_stability.nets.{home.module}"), home.function)
    with nullcontext() if seed is None else seeded_globally(seed, "init"):
        net: nn.Module = build(in_channels, num_classes, image_size, **home.fixed, **options)
    return net
