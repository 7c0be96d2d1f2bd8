"""Families that move pixels: each image is resampled at displaced positions."""

from typing import cast

import torch
from torch import Tensor

from relative_stability.core.errors import InputError, nearest
from relative_stability.perturbations.base import Perturbation
from relative_stability.perturbations.interpolation import INTERPOLATIONS, Interpolation, resample


class Geometric(Perturbation):
    """(τx)(s) = x(s − τ(s)); a family says what τ is at each magnitude.

    interpolation: "bilinear" or "gaussian" (see `deform`). Gaussian interpolation blurs, so that the images at
    magnitude zero, which changed ones are compared with, are blurred as well.
    """

    def __init__(self, interpolation: str = "bilinear") -> None:
        if interpolation not in INTERPOLATIONS:
            raise InputError(f"interpolation {interpolation!r} is unknown; {nearest(interpolation, INTERPOLATIONS)}")
        self.interpolation = cast(Interpolation, interpolation)

    def check(self, image_shape: tuple[int, ...], magnitudes: tuple[float, ...]) -> list[str]:
        if len(image_shape) != 3 or image_shape[1] != image_shape[2] or image_shape[1] < 2:
            size = "×".join(map(str, image_shape[1:])) or "no"
            raise InputError(f"images of {size} pixels cannot take a {self.name}: square images, (C, n, n), are needed")
        return super().check(image_shape, magnitudes)

    def reference(self, images: Tensor) -> Tensor:
        if self.interpolation == "bilinear":
            return images
        return resample(images, torch.zeros(2).to(images), 1.0, self.interpolation)

    def displacement(self, prepared: Tensor, magnitude: float, n: int) -> tuple[Tensor, float]:
        """A field in pixels, order (x, y), that broadcasts to (B, n, n, 2), and the factor that τ is of it.

        The default is for families that are linear in their magnitude: τ = magnitude · prepared.
        """
        return prepared, magnitude

    def apply(self, images: Tensor, prepared: Tensor, magnitude: float) -> Tensor:
        field, scale = self.displacement(prepared, magnitude, images.shape[-1])
        return resample(images, field, scale, self.interpolation)
