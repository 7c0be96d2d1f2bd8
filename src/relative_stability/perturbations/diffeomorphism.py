"""Maximum-entropy diffeomorphisms: smooth random displacements of the pixels, the border held fixed.

In units of the image's side, with position s = (u, v) in [0, 1]²,

    τ_u(u, v) = Σ_{i,j ≥ 1, i²+j² ≤ c²} C_ij sin(iπu) sin(jπv),   C_ij ~ N(0, T/(i²+j²)) independent,

and τ_v likewise (Petrini et al. 2021, arXiv 2105.02468, eqs. 3 and 4). T is the temperature, c the cut.
The deformed image is (τx)(s) = x(s − τ(s)).

As in that paper the field is drawn in units of n pixels on the grid u = k/(n−1), k = 0 … n−1, whose spacing is
1/(n−1): displacements are n/(n−1) times those of the formula. The public code of that paper keeps the modes with
√(i²+j²) < c + ½ where the formula, followed here, says i²+j² ≤ c²: at c = 3 those are 6 modes against 4.
"""

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from relative_stability.errors import InputError
from relative_stability.perturbations.base import Perturbation
from relative_stability.perturbations.temperature import (
    check_displacements,
    check_modes,
)
from relative_stability.perturbations.temperature import (
    temperature as temperature_of,
)

Interpolation = Literal["bilinear"]


@lru_cache(maxsize=64)
def _modes(n: int, cut: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sines (c, n) on the pixel grid, and for every pair (i, j) the amplitude 1/√(i²+j²), 0 where it is cut."""
    k = torch.arange(1, cut + 1, dtype=torch.float64)
    grid = torch.arange(n, dtype=torch.float64) / (n - 1)
    sines = torch.sin(math.pi * k[:, None] * grid)
    sines[:, -1] = 0  # sin(kπ) is 0, and floating point says 1e-16
    squares = k[:, None] ** 2 + k**2
    amplitude = torch.where(squares <= cut**2, squares.rsqrt(), torch.zeros(()).double())
    return sines, amplitude, amplitude**2


def rms_displacement(temperature: float, n: int, cut: int) -> float:
    """Exact root mean square of the displacement over the pixels of the image, in pixels.

    n √(T Σ_ij ⟨sin²(iπu)⟩⟨sin²(jπv)⟩ · 2/(i²+j²)), with ⟨·⟩ over the n grid points: n √(½ T Σ 1/(i²+j²)) for
    n → ∞, and (n−1)/n of it on the grid, whose border does not move.
    """
    check_modes(n, cut)
    sines, _, power = _modes(n, cut)
    mean_square = (sines**2).mean(1)
    return n * math.sqrt(2 * temperature * float(mean_square @ power @ mean_square))


def field(coefficients: Tensor, n: int) -> Tensor:
    """Displacement in pixels at T = 1 for standard normal coefficients.

    coefficients: (B, 2, c, c), entry [b, a, j, i] for component a (0: x, 1: y) and mode sin(iπu) sin(jπv),
    frequencies counted from 1. Returns (B, 2, n, n), last axes (y, x). A field at T is √T times this one.
    """
    sines, amplitude, _ = _modes(n, coefficients.shape[-1])
    sines = sines.to(coefficients)
    scaled = coefficients * (n * amplitude).to(coefficients)
    return torch.einsum("bcji,jy,ix->bcyx", scaled, sines, sines)


def sample_displacement(
    n: int, cut: int, temperature: float, batch: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw displacement fields from the maximum-entropy ensemble.

    n: image side, pixels; cut: c; temperature: T; batch: B fields; generator: a CPU torch.Generator (without one,
    torch's global generator is drawn from).
    Returns (B, 2, n, n), float32, pixels, order (x, y), where [b, a, y, x] is component a at column x and row y.
    Zero on the border. Raises InputError for a cut that n cannot carry or a negative temperature.
    Source: Petrini et al. 2021, eqs. 3 and 4.
    """
    check_modes(n, cut)
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise InputError(f"temperature = {temperature} is refused: a finite number >= 0 is needed")
    coefficients = torch.randn(batch, 2, cut, cut, generator=generator)
    return math.sqrt(temperature) * field(coefficients, n)


@lru_cache(maxsize=16)
def _identity_grid(n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    axis = torch.linspace(-1, 1, n, device=device, dtype=dtype)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1)[None]


def deform(images: Tensor, displacement: Tensor, interpolation: Interpolation = "bilinear") -> Tensor:
    """Deform images by displacement fields: (τx)(s) = x(s − τ(s)), coordinates clamped at the border.

    images: (B, C, n, n); displacement: (B, 2, n, n) or (1, 2, n, n), pixels, order (x, y), on the same device.
    Returns (B, C, n, n). Differentiable in both. Raises InputError where the shapes do not fit.
    Source: Petrini et al. 2021, Sec. 2 and App. C.
    """
    if interpolation != "bilinear":
        raise InputError(f"interpolation {interpolation!r} is unknown; known: bilinear")
    if images.ndim != 4 or images.shape[-1] != images.shape[-2]:
        raise InputError(f"images of shape {tuple(images.shape)} cannot be deformed: (batch, C, n, n) is needed")
    n = images.shape[-1]
    if displacement.shape[1:] != (2, n, n) or displacement.shape[0] not in (1, len(images)):
        raise InputError(
            f"displacement of shape {tuple(displacement.shape)} does not fit images of shape {tuple(images.shape)}: "
            f"({len(images)}, 2, {n}, {n}) is needed"
        )
    # grid_sample counts from -1 at the centre of the first pixel to 1 at the centre of the last one.
    shift = displacement.to(images.dtype).movedim(1, -1) * (2 / (n - 1))
    grid = (_identity_grid(n, images.device, images.dtype) - shift).expand(len(images), n, n, 2)
    return torch.nn.functional.grid_sample(images, grid, "bilinear", padding_mode="border", align_corners=True)


class Diffeomorphism(Perturbation):
    """Every image deformed by a field of its own; the magnitude is the nominal displacement δ in pixels."""

    name = "diffeomorphism"
    magnitude_name = "displacement"
    units = "pixel"

    def __init__(self, cut: int = 3) -> None:
        self.cut = cut

    def check(self, image_shape: tuple[int, ...], magnitudes: tuple[float, ...]) -> list[str]:
        n = image_shape[-1]
        if image_shape[-2] != n:
            raise InputError(f"images of {image_shape[-2]}×{n} pixels cannot be deformed: square images are needed")
        super().check(image_shape, magnitudes)
        if not isinstance(self.cut, int):
            raise InputError(f"cut = {self.cut} is refused: a whole number is needed")
        return check_displacements(magnitudes, n, self.cut)

    def draw(self, generator: torch.Generator, image_shape: tuple[int, ...]) -> Tensor:
        return torch.randn(2, self.cut, self.cut, generator=generator)

    def prepare(self, draws: Tensor, images: Tensor) -> Tensor:
        return field(draws.to(images), images.shape[-1])

    def apply(self, images: Tensor, prepared: Tensor, magnitude: float) -> Tensor:
        return deform(images, math.sqrt(temperature_of(magnitude, images.shape[-1], self.cut)) * prepared)
