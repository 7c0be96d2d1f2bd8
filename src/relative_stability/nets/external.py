"""Nets from elsewhere: torchvision, timm, or one's own module."""

import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from relative_stability.core.errors import InputError, nearest
from relative_stability.core.randomness import seeded_globally

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Preprocessing(NamedTuple):
    """Images as a net was trained on them: side in pixels (None: as they are), and (pixel/255 − mean)/std."""

    size: int | None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


def load_net(spec: str, classes: int | None = None, seed: int = 0) -> tuple[nn.Module, Preprocessing]:
    """A net at initialisation, and how it wants its images.

    spec: "torchvision:NAME", "timm:NAME", or "package.module:function", a function without arguments that returns a
    torch.nn.Module; classes: number of outputs, where the constructor takes one; seed: of the initialisation.
    Raises InputError for what cannot be found or built.
    """
    source, _, name = spec.partition(":")
    if not name:
        raise InputError(f"net {spec!r} names no source; write torchvision:NAME, timm:NAME or package.module:function")
    options = {} if classes is None else {"num_classes": classes}
    with seeded_globally(seed, "init"):
        if source == "torchvision":
            return _from_torchvision(name, options)
        if source == "timm":
            return _from_timm(name, options)
        return _from_module(source, name, options), Preprocessing(None)


def _from_torchvision(name: str, options: dict[str, Any]) -> tuple[nn.Module, Preprocessing]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(f"torchvision has no classifier {name!r}; {nearest(name, known)}")
    preset = models.get_model_weights(name).DEFAULT.transforms()  # nothing is downloaded
    preprocessing = Preprocessing(preset.crop_size[0], tuple(preset.mean), tuple(preset.std))
    if name in ("googlenet", "inception_v3"):
        # As torchvision builds them for its own weights, without what serves training alone.
        options = {"init_weights": True, "aux_logits": False, "transform_input": True, **options}
    net: nn.Module = models.get_model(name, weights=None, **options)
    return net, preprocessing


def _from_timm(name: str, options: dict[str, Any]) -> tuple[nn.Module, Preprocessing]:
    try:
        import timm
    except ImportError:
        raise InputError(f"net 'timm:{name}' needs timm, which is not installed; run: pip install timm") from None
    try:
        net: nn.Module = timm.create_model(name, pretrained=False, **options)
    except RuntimeError as error:
        raise InputError(f"timm has no net {name!r} ({error}); {nearest(name, timm.list_models())}") from None
    config = timm.data.resolve_model_data_config(net)
    return net, Preprocessing(config["input_size"][-1], tuple(config["mean"]), tuple(config["std"]))


def _from_module(module: str, function: str, options: dict[str, Any]) -> nn.Module:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # one's own module lies where one works
    try:
        imported = import_module(module)
    except ImportError as error:
        raise InputError(f"module {module!r} cannot be imported from here: {error}") from None
    build = getattr(imported, function, None)
    if not callable(build):
        raise InputError(f"module {module!r} has no function {function!r}")
    try:
        signature(build).bind(**options)
    except TypeError as error:
        raise InputError(f"{module}:{function} cannot be called with {options or 'no arguments'}: {error}") from None
    net = build(**options)
    if not isinstance(net, nn.Module):
        raise InputError(f"{module}:{function} returned a {type(net).__name__}; a torch.nn.Module is needed")
    return net
