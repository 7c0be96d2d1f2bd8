"""Random changes of the training images, drawn anew in every epoch and made a batch at a time on the device.

What an epoch draws, it draws at its start from a generator of its own on the CPU: the same on every device, nothing to
wait for between its steps, and a run that goes on in the middle of an epoch draws the same again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from relative_stability.perturbations.diffeomorphism import field
from relative_stability.perturbations.interpolation import resample
from relative_stability.perturbations.temperature import temperature

MARGIN = 4  # pixels, as is usual on CIFAR (He et al. 2016, sec. 4.2)


class Crop(NamedTuple):
    """Each image moved by up to MARGIN pixels along each axis, black coming in at the border."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Corners, (count, 2)."""
        return torch.randint(2 * MARGIN + 1, (count, 2), generator=generator)

    def apply(self, pixels: Tensor, drawn: Tensor) -> Tensor:
        n = pixels.shape[1]
        framed = functional.pad(pixels, [0, 0, MARGIN, MARGIN, MARGIN, MARGIN])  # black is stored as 0
        windows = framed.unfold(1, n, 1).unfold(2, n, 1)  # (B, places, places, C, n, n)
        each = torch.arange(len(pixels), device=pixels.device)
        return windows[each, drawn[:, 0], drawn[:, 1]].permute(0, 2, 3, 1)


class Flip(NamedTuple):
    """Each image mirrored from left to right with probability ½."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Which are, (count,) bool."""
        return torch.rand(count, generator=generator) < 0.5

    def apply(self, pixels: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn[:, None, None, None], pixels.flip(2), pixels)


class Deform(NamedTuple):
    """Each image deformed by a maximum-entropy diffeomorphism of its own, of a typical displacement in pixels."""

    displacement: float
    cut: int

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Coefficients, (count, 2, cut, cut)."""
        return torch.randn(count, 2, self.cut, self.cut, generator=generator)

    def apply(self, pixels: Tensor, drawn: Tensor) -> Tensor:
        n = pixels.shape[1]
        scale = temperature(self.displacement, n, self.cut) ** 0.5
        images = pixels.float().permute(0, 3, 1, 2)
        return resample(images, field(drawn, n), scale, "bilinear").permute(0, 2, 3, 1)


Augmentation = Crop | Flip | Deform
AUGMENTATIONS = ("crop", "flip", "diffeomorphism")


def build_augmentation(options: Mapping[str, Any]) -> Sequence[Augmentation]:
    """The augmentations that training options name, in their order.

    Each draws numbers for `count` images from a generator, and applies a batch of them to pixels as they are stored,
    (B, n, n, C), of which it returns as many.
    """
    known: dict[str, Augmentation] = {"crop": Crop(), "flip": Flip()}
    if "diffeomorphism" in options.get("augmentation", ()):
        known["diffeomorphism"] = Deform(
            options.get("augmentation_displacement", 1), options.get("augmentation_cut", 3)
        )
    return [known[name] for name in options.get("augmentation", ())]
