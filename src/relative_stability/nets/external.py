"""Nets from elsewhere: torchvision, timm, one's own module, or a program in a file."""

import ast
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from relative_stability.core.errors import InputError, nearest
from relative_stability.core.randomness import seeded_globally
from relative_stability.nets import PROGRAMS

if TYPE_CHECKING:
    from PIL.Image import Image

FILES = (*PROGRAMS, ".pt", ".pth")  # which may be TorchScript too


class Preprocessing(NamedTuple):
    """Images as a net was trained on them: (x − mean)/std of the central square, the x of pictures from 0 to 1.

    size: its side in pixels (None: as it is), after the shorter side of the image was brought to `resize` pixels (None:
    to `size`).
    """

    size: int | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: int | None = None
    interpolation: str = "bilinear"

    def transform(self, channels: int) -> "Callable[[Image], Tensor]":
        """From a picture to (C, n, n), float32. channels: 1 or 3; the values of colours are averaged for grey."""
        from torchvision.transforms import InterpolationMode, v2

        mean, std = self._statistics(channels)
        side = self.resize or self.size
        how = InterpolationMode(self.interpolation)
        known: list[Any] = [v2.Resize(side, how, antialias=True)] if side else []
        after = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]

        def seen(picture: "Image") -> Tensor:
            crop = v2.CenterCrop(self.size or min(picture.size))
            found: Tensor = v2.Compose([*known, crop, *after])(picture)
            return found

        return seen

    def of(self, images: Tensor, channels: int | None = None) -> Tensor:
        """The same of square images (N, C, n, n), uint8 or from 0 to 1: float32. channels: 1 or 3, or as they are."""
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional

        x = functional.to_dtype(images, torch.float32, scale=True)
        if channels not in (None, x.shape[1]):
            x = functional.rgb_to_grayscale(x, 1) if channels == 1 else x.expand(-1, 3, -1, -1)
        if side := self.resize or self.size:
            x = functional.resize(x, [side, side], InterpolationMode(self.interpolation), antialias=True)
            x = functional.center_crop(x, [self.size or side])
        found: Tensor = functional.normalize(x, *self._statistics(x.shape[1]))
        return found.clone(memory_format=torch.contiguous_format)  # which nets that call `view` take

    def _statistics(self, channels: int) -> tuple[list[float], list[float]]:
        mean, std = ([sum(x) / len(x)] if len(x) not in (1, channels) else list(x) for x in (self.mean, self.std))
        return mean, std

    def but(
        self,
        size: int | None = None,
        crop: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> "Preprocessing":
        """The same, but for what is given. size: that the shorter side is brought to; crop: of the square in it."""
        found = self if size is None and crop is None else self._replace(size=crop or size, resize=size)
        return found if mean is None or std is None else found._replace(mean=tuple(mean), std=tuple(std))


def colours(net: nn.Module) -> int | None:
    """What the first convolution of a net takes, if that is grey (1) or colour (3); else it is as the images are."""
    found = next((int(m.in_channels) for m in net.modules() if hasattr(m, "in_channels")), 0)  # type: ignore[arg-type]
    return found if found in (1, 3) else None


def renumbered(labels: Tensor, classes: Sequence[str], file: Path) -> Tensor:
    """Labels in the order of a net's outputs, which the file has, a class in a line; classes: names by label.

    Raises InputError for a class that it does not have.
    """
    order = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    unknown = next((name for name in classes if name not in order), None)
    if unknown is not None:
        raise InputError(f"class_names {file} has no class {unknown!r}; {nearest(unknown, order)}")
    return torch.tensor([order.index(classes[label]) for label in labels.tolist()])


class Element(nn.Module):
    """A net of which one part of the output is taken: of a dictionary by its key, of a tuple by its position."""

    def __init__(self, net: nn.Module, key: str) -> None:
        super().__init__()
        self.net, self.key = net, key

    def forward(self, x: Tensor) -> Tensor:
        output = self.net(x)
        named = (
            output
            if isinstance(output, Mapping)
            else dict(enumerate(output))
            if isinstance(output, tuple | list)
            else {}
        )
        found = {str(key): part for key, part in named.items()}
        if self.key not in found:
            raise InputError(f"the net's output has no part {self.key!r}; {nearest(self.key, found)}")
        part: Tensor = found[self.key]
        return part


def load_net(
    spec: str, classes: int | None = None, seed: int = 0, pretrained: bool = False, weights: str = "DEFAULT"
) -> tuple[nn.Module, Preprocessing]:
    """A net, at initialisation or with its library's weights, and how it wants its images.

    spec: "torchvision:NAME", "timm:NAME", "package.module:NAME" (a net, or a class or function that gives one, perhaps
    with arguments: "nets:build(width=2)"), or the file of an exported program (.pt2) or of TorchScript; classes: number
    of outputs, where the constructor takes one; seed: of the initialisation; pretrained: with the weights that
    torchvision or timm hand out; weights: which of torchvision's, and whose images. Raises InputError for what cannot
    be found, built or downloaded.
    """
    if Path(spec).suffix in FILES and ":" not in spec:
        return _from_file(Path(spec)), Preprocessing(None)
    source, _, name = spec.partition(":")
    if not name or not source:
        raise InputError(
            f"net {spec!r} names no source; write torchvision:NAME, timm:NAME, package.module:NAME, or a .pt2 file"
        )
    options = {} if classes is None else {"num_classes": classes}
    with seeded_globally(seed, "init"):
        if source == "torchvision":
            return _from_torchvision(name, options, pretrained, weights)
        if source == "timm":
            return _from_timm(name, options, pretrained)
        if pretrained:
            raise InputError(f"net {spec!r} has no weights of a library; name a file of weights instead")
        return _from_module(source, name, options), Preprocessing(None)


def _from_torchvision(
    name: str, options: dict[str, Any], pretrained: bool, wanted: str
) -> tuple[nn.Module, Preprocessing]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(f"torchvision has no classifier {name!r}; {nearest(name, known)}")
    there = dict(models.get_model_weights(name).__members__)
    if wanted not in there:
        raise InputError(f"torchvision:{name} has no weights {wanted!r}; {nearest(wanted, there)}")
    weights = there[wanted]
    preset = weights.transforms()  # nothing is downloaded
    preprocessing = Preprocessing(
        preset.crop_size[0], tuple(preset.mean), tuple(preset.std), preset.resize_size[0], preset.interpolation.value
    )
    if name in ("googlenet", "inception_v3") and not pretrained:
        # As torchvision builds them for its own weights, without what serves training alone.
        options = {"init_weights": True, "aux_logits": False, "transform_input": True, **options}
    try:
        net: nn.Module = models.get_model(name, weights=weights if pretrained else None, **options)
    except OSError as error:  # URLError is one
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise InputError(
            f"weights of torchvision:{name} cannot be downloaded ({error}); put {weights.url} into {folder}"
        ) from None
    except ValueError as error:
        raise InputError(f"torchvision:{name}: {error}") from None
    return net, preprocessing


def _from_timm(name: str, options: dict[str, Any], pretrained: bool) -> tuple[nn.Module, Preprocessing]:
    try:
        import timm
    except ImportError:
        raise InputError(f"net 'timm:{name}' needs timm, which is not installed; run: pip install timm") from None
    if name.partition(".")[0] not in timm.list_models():
        raise InputError(f"timm has no net {name!r}; {nearest(name, timm.list_models())}")
    try:
        net: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"timm:{name} cannot be made ({reason}); its weights come from the Hugging Face hub") from None
    config = timm.data.resolve_model_data_config(net)
    size = config["input_size"][-1]
    resize = int(size / config.get("crop_pct", 1))
    found = Preprocessing(size, tuple(config["mean"]), tuple(config["std"]), resize, config["interpolation"])
    return net, found


def _from_module(module: str, call: str, options: dict[str, Any]) -> nn.Module:
    name, positional, named = _parsed(module, call)
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # one's own module lies where one works
    try:
        imported = import_module(module)
    except ImportError as error:
        raise InputError(f"module {module!r} cannot be imported from here: {error}") from None
    except Exception as error:
        raise InputError(f"module {module!r} raised {type(error).__name__} when it was imported: {error}") from None
    net = getattr(imported, name, None)
    if net is None:
        public = [key for key, value in vars(imported).items() if callable(value) and not key.startswith("_")]
        raise InputError(f"module {module!r} has no {name!r}; {nearest(name, public)}")
    if isinstance(net, nn.Module) and "(" not in call:
        return net
    if not callable(net):
        raise InputError(f"{module}:{name} is a {type(net).__name__}; a net, or what makes one, is needed")
    try:
        net = net(*positional, **named, **options)
    except Exception as error:
        given = {**named, **options} or "no arguments"
        raise InputError(f"{module}:{name}, called with {given}, raised {type(error).__name__}: {error}") from None
    if not isinstance(net, nn.Module):
        weights = "; weights go beside the net that they are of" if isinstance(net, dict) else ""
        raise InputError(f"{module}:{name} returned a {type(net).__name__}; a torch.nn.Module is needed{weights}")
    return net


def _parsed(module: str, call: str) -> tuple[str, list[Any], dict[str, Any]]:
    """The name of what is called, and its arguments, which are plain values."""
    try:
        tree = ast.parse(call, mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, [], {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in tree.keywords}
            return tree.func.id, [ast.literal_eval(value) for value in tree.args], named
    except (SyntaxError, ValueError):
        pass
    raise InputError(f"net '{module}:{call}' is refused: a name is needed, or a call with plain values: build(width=2)")


@contextmanager
def _silent(logger: str) -> Iterator[None]:
    named = logging.getLogger(logger)
    before, named.disabled = named.disabled, True
    try:
        yield
    finally:
        named.disabled = before


def _from_file(path: Path) -> nn.Module:
    if not path.is_file():
        raise InputError(f"net {path} does not exist")
    try:
        if path.suffix == ".pt2":
            with _silent("torch.export"):  # which logs what it raises
                return torch.export.load(path).module()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit")  # which is deprecated as a whole
            found: nn.Module = torch.jit.load(str(path), map_location="cpu")
        return found
    except Exception as error:
        what = "an exported program" if path.suffix == ".pt2" else "a TorchScript program"
        raise InputError(
            f"net {path} is not {what} ({str(error).splitlines()[0]}); weights alone need a net: package.module:NAME"
        ) from None
