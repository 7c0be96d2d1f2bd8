"""Gaussian changes along the directions that carry no information about the label."""

from collections.abc import Sequence

import torch
from torch import Tensor

from relative_stability.core.errors import InputError
from relative_stability.perturbations.base import Perturbation


class Subspace(Perturbation):
    """x + η_⊥, with η_⊥ ~ N(0, σ² I) in the given directions and 0 in all others; the magnitude is σ.

    directions: indices into the flattened input (d numbers), the uninformative ones of the linear model (d_⊥ of
    them). Source: the linear invariance of Paccolat et al. 2020, arXiv 2007.11471, Sec. 2.
    """

    name = "subspace"
    magnitude_name = "magnitude"
    units = "input standard deviation"

    def __init__(self, directions: Sequence[int]) -> None:
        self.directions = tuple(int(i) for i in directions)

    def check(self, image_shape: tuple[int, ...], magnitudes: tuple[float, ...]) -> list[str]:
        size = torch.Size(image_shape).numel()
        if not self.directions:
            raise InputError("subspace needs uninformative directions, and the dataset names none")
        if not all(0 <= i < size for i in self.directions):
            raise InputError(f"subspace: direction {max(self.directions)} does not exist in inputs of {size} numbers")
        return super().check(image_shape, magnitudes)

    def draw(self, generator: torch.Generator, image_shape: tuple[int, ...]) -> Tensor:
        return torch.randn(len(self.directions), generator=generator)

    def apply(self, images: Tensor, prepared: Tensor, magnitude: float) -> Tensor:
        flat = images.flatten(1).clone()
        flat[:, list(self.directions)] += magnitude * prepared
        return flat.view_as(images)
