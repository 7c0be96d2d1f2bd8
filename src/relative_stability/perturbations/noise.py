"""Isotropic noise of a given norm: what every family is compared with."""

import torch
from torch import Tensor

from relative_stability.perturbations.base import Perturbation


class Noise(Perturbation):
    """x + η, with η uniform on the sphere ‖η‖ = magnitude (isotropic Gaussian noise brought to that norm).

    Norms are Euclidean over all pixels and channels, in the units of the input as the net sees it.
    Source: Petrini et al. 2021, Sec. 3.
    """

    name = "noise"
    magnitude_name = "norm"
    units = "input units"

    def draw(self, generator: torch.Generator, image_shape: tuple[int, ...]) -> Tensor:
        noise = torch.randn(image_shape, generator=generator)
        norm: Tensor = torch.linalg.vector_norm(noise)
        return noise / norm

    def apply(self, images: Tensor, prepared: Tensor, magnitude: float | Tensor) -> Tensor:
        """magnitude: a number, or one for each image as a tensor that broadcasts to (B, C, n, n)."""
        return images + magnitude * prepared
