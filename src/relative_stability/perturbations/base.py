"""What a family of perturbations must say of itself."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from relative_stability.core.randomness import generator as generator_of
from relative_stability.perturbations.ranges import Range, check_magnitudes


class Perturbation(ABC):
    """A family of changes of x with one labelled magnitude; magnitude 0 changes nothing.

    `draw` makes the random numbers of one image on the CPU, so that they depend on its generator alone and are the
    same for every batch size and device; `prepare` does once for a batch what all magnitudes share; `apply` follows
    for each magnitude. Images are float32 or float64, whatever the net takes.
    """

    name: ClassVar[str]
    magnitude_name: ClassVar[str]
    units: ClassVar[str]

    def useful(self, image_shape: tuple[int, ...]) -> Range:
        """Magnitudes from and to which the family makes sense, and what is wrong beyond."""
        return Range(self.magnitude_name, self.units)

    def check(self, image_shape: tuple[int, ...], magnitudes: tuple[float, ...]) -> list[str]:
        """Raise InputError for what cannot be drawn; return a warning sentence for each doubtful setting."""
        return check_magnitudes(self.name, self.useful(image_shape), magnitudes)

    @abstractmethod
    def draw(self, generator: torch.Generator, image_shape: tuple[int, ...]) -> Tensor:
        """The random numbers of one image, from `generator` alone. image_shape: (C, n, n)."""

    def prepare(self, draws: Tensor, images: Tensor) -> Tensor:
        """What all magnitudes share, computed once for a batch. draws: (B, …); images: (B, C, n, n)."""
        return draws.to(images)

    def reference(self, images: Tensor) -> Tensor:
        """The images at magnitude zero, which changed ones are compared with."""
        return images

    def rms_displacement(self, magnitude: float, n: int) -> float | None:
        """Root mean square by which pixels move, in pixels; None for a family that moves none. n: image side."""
        return None

    @abstractmethod
    def apply(self, images: Tensor, prepared: Tensor, magnitude: float) -> Tensor:
        """The perturbed images (B, C, n, n) at one magnitude, in memory of their own: a net may overwrite them."""


def probes(
    family: Perturbation, image_shape: tuple[int, ...], seed: int, images: range, draw: int = 0, stream: str = ""
) -> Tensor:
    """Random numbers for the images of these indices, each from (seed, family, draw, index) alone: (B, …).

    image_shape: (C, n, n); stream: another name than the family's, for numbers that depend on none of its own.
    """
    name = stream or family.name
    return torch.stack([family.draw(generator_of(seed, name, draw, k), image_shape) for k in images])
