"""Rotations about the centre of the image."""

import math

import torch
from torch import Tensor

from relative_stability.perturbations.geometric import Geometric
from relative_stability.perturbations.interpolation import centred_positions
from relative_stability.perturbations.ranges import Range, useful


class Rotation(Geometric):
    """τ(s) = (1 − Q(∓θ)) (s − centre), Q a rotation: the image turned by θ degrees, either way at random.

    What moves in at the corners repeats the border.
    """

    name = "rotation"
    magnitude_name = "angle"
    units = "degree"

    def useful(self, image_shape: tuple[int, ...]) -> Range:
        return useful(self.name, image_shape[-1])

    def draw(self, generator: torch.Generator, image_shape: tuple[int, ...]) -> Tensor:
        return torch.randint(2, (), generator=generator) * 2.0 - 1

    def displacement(self, prepared: Tensor, magnitude: float, n: int) -> tuple[Tensor, float]:
        s = centred_positions(n, prepared)
        sign, theta = prepared[:, None, None], math.radians(magnitude)
        x, y = s[..., 0], s[..., 1]
        cosine, sine = math.cos(theta), sign * math.sin(theta)
        return torch.stack([x - (cosine * x + sine * y), y - (cosine * y - sine * x)], dim=-1), 1.0

    def rms_displacement(self, magnitude: float, n: int) -> float:
        """2 sin(θ/2) √⟨|s − centre|²⟩, with ⟨|s − centre|²⟩ = (n² − 1)/6 over the pixels."""
        return 2 * math.sin(math.radians(magnitude) / 2) * math.sqrt((n**2 - 1) / 6)
