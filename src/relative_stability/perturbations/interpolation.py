"""Images at displaced positions: (τx)(s) = x(s − τ(s)), coordinates clamped at the border."""

from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

from relative_stability.core.errors import InputError, nearest

Interpolation = Literal["bilinear", "gaussian"]
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)
SIGMA = 0.4715  # pixels, Petrini et al. 2021, App. C
TAPS = 2  # pixels on either side of the nearest one; weights farther away are below 1e-6


def deform(images: Tensor, displacement: Tensor, interpolation: Interpolation = "bilinear") -> Tensor:
    """Deform images by displacement fields: (τx)(s) = x(s − τ(s)), coordinates clamped at the border.

    images: (B, C, n, n); displacement: (B, 2, n, n) or (1, 2, n, n), pixels, order (x, y), on the same device;
    interpolation: "bilinear", or "gaussian", the mean over all pixels p with weights exp(−(s − τ(s) − p)²/2σ²),
    σ = 0.4715 pixel, which blurs the image even where τ = 0.
    Returns (B, C, n, n). Differentiable in both. Raises InputError where the shapes do not fit.
    Source: Petrini et al. 2021, arXiv 2105.02468, Sec. 2 and App. C.

    >>> image = torch.arange(4.0).expand(1, 1, 4, 4)  # x(s) is the column of s
    >>> half_a_pixel = torch.stack([torch.full((4, 4), 0.5), torch.zeros(4, 4)])[None]
    >>> deform(image, half_a_pixel)[0, 0, 0]
    tensor([0.0000, 0.5000, 1.5000, 2.5000])
    """
    if interpolation not in INTERPOLATIONS:
        raise InputError(f"interpolation {interpolation!r} is unknown; {nearest(interpolation, INTERPOLATIONS)}")
    if images.ndim != 4 or images.shape[-1] != images.shape[-2] or images.shape[-1] < 2:
        raise InputError(f"images of shape {tuple(images.shape)} cannot be deformed: (batch, C, n, n) is needed")
    n = images.shape[-1]
    if displacement.shape[1:] != (2, n, n) or displacement.shape[0] not in (1, len(images)):
        raise InputError(
            f"displacement of shape {tuple(displacement.shape)} does not fit images of shape {tuple(images.shape)}: "
            f"({len(images)}, 2, {n}, {n}) is needed"
        )
    return resample(images, displacement.to(images.dtype).movedim(1, -1), 1.0, interpolation)


def resample(images: Tensor, field: Tensor, scale: float, interpolation: Interpolation) -> Tensor:
    """`deform` by `scale` times a field that has its components last and is known to fit.

    images: (B, C, n, n); field: pixels, order (x, y), any shape that broadcasts to (B, n, n, 2).
    """
    if interpolation == "gaussian":
        return _gaussian(images, field * scale)
    # grid_sample counts from -1 at the centre of the first pixel to 1 at the centre of the last one.
    n = images.shape[-1]
    grid = torch.add(_positions(n, -1, 1, images.device, images.dtype), field, alpha=-2 * scale / (n - 1))
    grid = grid.expand(len(images), n, n, 2)
    return torch.nn.functional.grid_sample(images, grid, "bilinear", padding_mode="border", align_corners=True)


@lru_cache(maxsize=16)
def _positions(n: int, first: float, last: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, n, n, 2): where each pixel is, as (x, y)."""
    axis = torch.linspace(first, last, n, device=device, dtype=dtype)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1)[None]


def centred_positions(n: int, like: Tensor) -> Tensor:
    """(1, n, n, 2): where each pixel is, in pixels from the centre of the image, as (x, y)."""
    return _positions(n, -(n - 1) / 2, (n - 1) / 2, like.device, like.dtype)


def _gaussian(images: Tensor, field: Tensor) -> Tensor:
    batch, channels, n, _ = images.shape
    source = (_positions(n, 0, n - 1, images.device, images.dtype) - field).clamp(0, n - 1).expand(batch, n, n, 2)
    offsets = torch.arange(-TAPS, TAPS + 1, device=images.device)
    taps = source.detach().round().long()[..., None] + offsets  # (B, n, n, 2, 5)
    inside = (taps >= 0) & (taps < n)
    weights = torch.exp(-((source[..., None] - taps) ** 2) / (2 * SIGMA**2)) * inside
    weights = (weights / weights.sum(-1, keepdim=True)).flatten(1, 2)  # (B, n², 2, 5)
    taps = taps.clamp(0, n - 1).flatten(1, 2)
    pixels, result = images.flatten(2), torch.zeros_like(images).flatten(2)
    for i in range(len(offsets)):
        for j in range(len(offsets)):
            index = taps[:, :, 1, i] * n + taps[:, :, 0, j]
            weight = weights[:, :, 1, i] * weights[:, :, 0, j]
            result = result + weight[:, None] * pixels.gather(2, index[:, None].expand(batch, channels, n * n))
    return result.view_as(images)
