"""Inner products of all pairs of images in every layer, from which dimension and alignment follow."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from relative_stability.core.errors import InputError
from relative_stability.stability.activations import WHOLE, hooked, pick_layers
from relative_stability.stability.evaluation_mode import BatchNorm, evaluation_mode, statistics_rule

HELD = 2**27  # numbers that the activations of some layers may have together
LARGEST = 2**30  # and those of one
BATCH = 500
EXACT = 2**13  # numbers of an image up to which products are taken in double precision


def layer_activations(
    net: nn.Module, images: Tensor, layers: str | Sequence[str] | None = None, batch_norm: BatchNorm = "auto"
) -> dict[str, Tensor]:
    """The activations of each layer, (N, numbers of an image), in single precision on the CPU. See `layer_grams`."""
    return _each(net, images, layers, batch_norm, lambda name, activations: activations)


def layer_grams(
    net: nn.Module, images: Tensor, layers: str | Sequence[str] | None = None, batch_norm: BatchNorm = "auto"
) -> dict[str, Tensor]:
    """The centred Gram matrix of each layer, K_ij = (a_i − ā)·(a_j − ā), with a_i the activations of image i; (N, N).

    net, images, layers, batch_norm: as `measure` takes them; without layers of the output, which is called "". The
    activations of as many layers as memory allows are held at a time, in as many passes as that takes. Raises
    InputError for a layer that is too large for that, or whose activations are not finite.

    >>> images = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    >>> flat = images.flatten(1) - images.flatten(1).mean(0)
    >>> torch.allclose(layer_grams(nn.Flatten(), images)[""], (flat @ flat.T).double(), atol=1e-5)
    True
    """
    return _each(net, images, layers, batch_norm, _gram)


def _each(
    net: nn.Module, images: Tensor, layers: str | Sequence[str] | None, batch_norm: BatchNorm,
    of: Callable[[str, Tensor], Tensor],
) -> dict[str, Tensor]:  # fmt: skip
    found: dict[str, Tensor] = {}
    with evaluation_mode(net, statistics_rule(net, batch_norm), images.device) as mode, torch.no_grad():
        with mode.clean():
            sizes = pick_layers(net, WHOLE if layers is None else layers, images)
        for names in _groups(sizes, len(images)):
            held = {name: torch.empty(len(images), sizes[name]) for name in names}
            with hooked(net, [name.partition(":")[0] for name in names]) as activations:
                for rows in torch.arange(len(images)).split(BATCH):

                    def keep(name: str, x: Tensor, rows: Tensor = rows, held: dict[str, Tensor] = held) -> None:
                        if name in held:
                            held[name][rows] = x.flatten(1).cpu()

                    with mode.clean():
                        activations.run(images[rows].clone(), keep)
            for name in names:
                if not held[name].isfinite().all():
                    raise InputError(f"layer {name!r} has activations that are not finite")
                found[name] = of(name, held.pop(name))
    return {name: found[name] for name in sizes}


def _groups(sizes: dict[str, int], count: int) -> list[list[str]]:
    """Layers whose activations are held together."""
    groups: list[list[str]] = [[]]
    room = HELD
    for name, size in sizes.items():
        numbers = size * count
        if numbers > LARGEST:
            raise InputError(
                f"layer {name!r} has {size} numbers for each of {count} images, {4 * numbers / 1e9:.1f} GB; name "
                "smaller layers, or take fewer images"
            )
        if numbers > room and groups[-1]:
            groups.append([])
            room = HELD
        groups[-1].append(name)
        room -= numbers
    return groups


def _gram(_: str, activations: Tensor) -> Tensor:
    centred = activations - activations.mean(0)
    centred = centred.double() if centred.shape[1] <= EXACT else centred
    return (centred @ centred.T).double()
