"""Scalings about the centre of the image."""

import math

import torch
from torch import Tensor

from relative_stability.perturbations.geometric import Geometric
from relative_stability.perturbations.interpolation import centred_positions
from relative_stability.perturbations.ranges import Range, useful


class Scaling(Geometric):
    """τ(s) = (1 − e^(∓m)) (s − centre): the image enlarged or shrunk by the factor e^m, at random.

    The magnitude m is the logarithm of the factor: 0.1 is about 10 %. A shrunk image is surrounded by its border,
    repeated.
    """

    name = "scaling"
    magnitude_name = "log_scale"
    units = "1"

    def useful(self, image_shape: tuple[int, ...]) -> Range:
        return useful(self.name, image_shape[-1])

    def draw(self, generator: torch.Generator, image_shape: tuple[int, ...]) -> Tensor:
        return torch.randint(2, (), generator=generator) * 2.0 - 1

    def displacement(self, prepared: Tensor, magnitude: float, n: int) -> tuple[Tensor, float]:
        factor = 1 - torch.exp(-magnitude * prepared)
        return factor[:, None, None, None] * centred_positions(n, prepared), 1.0

    def rms_displacement(self, magnitude: float, n: int) -> float:
        """Over both signs and the pixels, for which ⟨|s − centre|²⟩ = (n² − 1)/6."""
        mean_square = ((1 - math.exp(-magnitude)) ** 2 + (1 - math.exp(magnitude)) ** 2) / 2
        return math.sqrt(mean_square * (n**2 - 1) / 6)
