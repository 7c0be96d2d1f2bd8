"""Translations by a fraction of a pixel or more."""

import math

import torch
from torch import Tensor

from relative_stability.perturbations.geometric import Geometric
from relative_stability.perturbations.ranges import Range, useful


class Translation(Geometric):
    """τ(s) = δ (cos φ, sin φ) with φ uniform: the whole image moved by δ pixels in a random direction.

    What moves in at the border repeats the border. The family of Azulay & Weiss 2018 and Zhang 2019.
    """

    name = "translation"
    magnitude_name = "displacement"
    units = "pixel"

    def useful(self, image_shape: tuple[int, ...]) -> Range:
        return useful(self.name, image_shape[-1])

    def draw(self, generator: torch.Generator, image_shape: tuple[int, ...]) -> Tensor:
        angle = 2 * math.pi * torch.rand((), generator=generator)
        return torch.stack([angle.cos(), angle.sin()])

    def prepare(self, draws: Tensor, images: Tensor) -> Tensor:
        return draws.to(images)[:, None, None]

    def rms_displacement(self, magnitude: float, n: int) -> float:
        return magnitude
