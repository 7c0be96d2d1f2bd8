"""Maximum-entropy diffeomorphisms: smooth random displacements of the pixels, the border held fixed.

In units of the image's side, with position s = (u, v) in [0, 1]²,

    τ_u(u, v) = Σ_{i,j ≥ 1, i²+j² ≤ c²} C_ij sin(iπu) sin(jπv),   C_ij ~ N(0, T/(i²+j²)) independent,

and τ_v likewise (Petrini et al. 2021, arXiv 2105.02468, eqs. 3 and 4). T is the temperature, c the cut.
The deformed image is (τx)(s) = x(s − τ(s)).

As in that paper the field is drawn in units of n pixels on the grid u = k/(n−1), k = 0 … n−1, whose spacing is
1/(n−1): displacements are n/(n−1) times those of the formula. Its public code keeps the modes with √(i²+j²) < c + ½
where the formula says i²+j² ≤ c²: at c = 3 those are 6 modes against 4. `modes` chooses: "disc" is the formula,
"rounded" the code, for numbers that are compared with those of the paper.
"""

import math
from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

from relative_stability.core.errors import InputError, nearest
from relative_stability.perturbations.geometric import Geometric
from relative_stability.perturbations.temperature import check_displacements, check_modes, temperature

Modes = Literal["disc", "rounded"]
MODES: tuple[str, ...] = get_args(Modes)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must serve gradients as well
def _modes(n: int, cut: int, modes: Modes) -> tuple[Tensor, Tensor, Tensor]:
    """Sines (c, n) on the pixel grid; for every pair (i, j) the amplitude 1/√(i²+j²), 0 where it is cut; its square."""
    k = torch.arange(1, cut + 1, dtype=torch.float64)
    grid = torch.arange(n, dtype=torch.float64) / (n - 1)
    sines = torch.sin(math.pi * k[:, None] * grid)
    sines[:, -1] = 0  # sin(kπ) is 0, and floating point says 1e-16
    squares = k[:, None] ** 2 + k**2
    kept = squares <= cut**2 if modes == "disc" else squares.sqrt() < cut + 0.5
    amplitude = torch.where(kept, squares.rsqrt(), torch.zeros(()).double())
    return sines, amplitude, amplitude**2


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must serve gradients as well
def _modes_there(n: int, cut: int, modes: Modes, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Sines and n times the amplitudes on a device: taking them there in every step would wait for it."""
    sines, amplitude, _ = _modes(n, cut, modes)
    return sines.to(device, dtype), (n * amplitude).to(device, dtype)


def rms_displacement(temperature: float, n: int, cut: int, modes: Modes = "disc") -> float:
    """Exact root mean square of the displacement over the pixels of the image, in pixels.

    n √(T Σ_ij ⟨sin²(iπu)⟩⟨sin²(jπv)⟩ · 2/(i²+j²)), with ⟨·⟩ over the n grid points: n √(½ T Σ 1/(i²+j²)) for
    n → ∞, and (n−1)/n of it on the grid, whose border does not move.
    """
    check_modes(n, cut)
    sines, _, power = _modes(n, cut, modes)
    mean_square = (sines**2).mean(1)
    return n * math.sqrt(2 * temperature * float(mean_square @ power @ mean_square))


def field(coefficients: Tensor, n: int, modes: Modes = "disc") -> Tensor:
    """Displacement in pixels at T = 1 for standard normal coefficients.

    coefficients: (B, 2, c, c), entry [b, a, j, i] for component a (0: x, 1: y) and mode sin(iπu) sin(jπv),
    frequencies counted from 1. Returns (B, n, n, 2), axes (y, x, component). A field at T is √T times this one.
    """
    sines, amplitude = _modes_there(n, coefficients.shape[-1], modes, coefficients.device, coefficients.dtype)
    return torch.einsum("bcji,jy,ix->byxc", coefficients * amplitude, sines, sines).contiguous()


def sample_displacement(
    n: int, cut: int, temperature: float, batch: int, generator: torch.Generator | None = None, *, modes: Modes = "disc"
) -> Tensor:
    """Draw displacement fields from the maximum-entropy ensemble.

    n: image side, pixels; cut: c; temperature: T; batch: B fields; generator: a CPU torch.Generator (without one,
    torch's global generator is drawn from); modes: "disc" for the formula, "rounded" for the paper's code.
    Returns (B, 2, n, n), float32, pixels, order (x, y), where [b, a, y, x] is component a at column x and row y.
    Zero on the border. Raises InputError for a cut that n cannot carry or a negative temperature.
    Source: Petrini et al. 2021, eqs. 3 and 4.

    >>> fields = sample_displacement(16, cut=3, temperature=1e-3, batch=8, generator=torch.Generator().manual_seed(0))
    >>> fields.shape, fields[:, :, 0].abs().max().item()
    (torch.Size([8, 2, 16, 16]), 0.0)
    """
    check_modes(n, cut)
    _check_mode_rule(modes)
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise InputError(f"temperature = {temperature} is refused: a finite number >= 0 is needed")
    coefficients = torch.randn(batch, 2, cut, cut, generator=generator)
    return (math.sqrt(temperature) * field(coefficients, n, modes)).movedim(-1, 1).contiguous()


def folded(displacement: Tensor) -> Tensor:
    """Whether a field folds the image over itself, det(1 − ∇τ) ≤ 0 somewhere: then it is no diffeomorphism.

    displacement: (B, 2, n, n), pixels, order (x, y). Returns (B,) bool. Derivatives are taken over each square of four
    neighbouring pixels.
    """
    across = torch.diff(displacement, dim=-1)
    down = torch.diff(displacement, dim=-2)
    dx = (across[..., 1:, :] + across[..., :-1, :]) / 2
    dy = (down[..., 1:] + down[..., :-1]) / 2
    determinant = (1 - dx[:, 0]) * (1 - dy[:, 1]) - dy[:, 0] * dx[:, 1]
    return (determinant <= 0).flatten(1).any(1)


def _check_mode_rule(modes: str) -> None:
    if modes not in MODES:
        raise InputError(f"modes {modes!r} is unknown; {nearest(modes, MODES)}")


class Diffeomorphism(Geometric):
    """Every image deformed by a field of its own; the magnitude is the nominal displacement δ in pixels."""

    name = "diffeomorphism"
    magnitude_name = "displacement"
    units = "pixel"

    def __init__(self, cut: int = 3, interpolation: str = "bilinear", modes: Modes = "disc") -> None:
        super().__init__(interpolation)
        _check_mode_rule(modes)
        if not isinstance(cut, int):
            raise InputError(f"cut = {cut} is refused: a whole number is needed")
        self.cut, self.modes = cut, modes

    def check(self, image_shape: tuple[int, ...], magnitudes: tuple[float, ...]) -> list[str]:
        super().check(image_shape, magnitudes)
        return check_displacements(magnitudes, image_shape[-1], self.cut)

    def draw(self, generator: torch.Generator, image_shape: tuple[int, ...]) -> Tensor:
        return torch.randn(2, self.cut, self.cut, generator=generator)

    def prepare(self, draws: Tensor, images: Tensor) -> Tensor:
        return field(draws.to(images), images.shape[-1], self.modes)

    def displacement(self, prepared: Tensor, magnitude: float, n: int) -> tuple[Tensor, float]:
        return prepared, math.sqrt(temperature(magnitude, n, self.cut))

    def rms_displacement(self, magnitude: float, n: int) -> float:
        return rms_displacement(temperature(magnitude, n, self.cut), n, self.cut, self.modes)
