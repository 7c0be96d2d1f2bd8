"""Weights of snapshots in half the space: the way that they have come from initialisation, in half precision.

A weight is w₀ + s·δ with δ in float16 and |δ| ≤ 1, s the largest change in its tensor for each seed: exact to s/2048.
The change itself is what is kept to three digits, not the weight, so that f − f₀ of a net in the lazy regime, whose
weights hardly move, is measured as well as that of any other. Vectors (biases, statistics of batch normalisation) are
kept as they are.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"


def compress(state: str, current: Mapping[str, Tensor], initial: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors (S, …) by name as they are stored, by `state/name`, on the CPU."""
    compressed = {}
    for name, tensor in current.items():
        if tensor.ndim <= 2 or not tensor.is_floating_point():
            compressed[f"{state}/{name}"] = tensor.cpu().clone()
            continue
        change = tensor - initial[name]
        scale = change.abs().amax(dim=tuple(range(1, change.ndim)))
        shape = (-1, *[1] * (change.ndim - 1))
        compressed[f"{state}/{name}"] = (change / scale.clamp(min=1e-30).view(shape)).half().cpu()
        compressed[f"{state}/{name}{SCALE}"] = scale.cpu()
    return compressed


def decompress(weights: Mapping[str, Tensor], state: str, index: int | tuple[int, ...]) -> dict[str, Tensor]:
    """The weights of the seed at position `index` in this state, whichever way they are stored."""
    prefix, found = f"{state}/", {}
    for key, tensor in weights.items():
        if key.startswith(prefix) and not key.endswith(SCALE):
            name = key.removeprefix(prefix)
            found[name] = tensor[index]
            if tensor.dtype == torch.float16:
                found[name] = weights[f"init/{name}"][index] + found[name].float() * weights[key + SCALE][index]
    return found
