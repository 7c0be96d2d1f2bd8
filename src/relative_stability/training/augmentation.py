"""Random changes of the training images, drawn anew at every step, a batch at a time on the device."""

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

from relative_stability.datasets.prepared import Prepared

MARGIN = 4  # pixels, as is usual on CIFAR (He et al. 2016, sec. 4.2)
Augmentation = Callable[[Tensor, Tensor, Generator], Tensor]


def crop(images: Tensor, black: Tensor, generator: Generator) -> Tensor:
    """Each image moved by up to MARGIN pixels, black coming in at the border. images: (B, C, n, n); black: (C,)."""
    batch, n = len(images), images.shape[-1]
    framed = functional.pad(images - black[:, None, None], [MARGIN] * 4)
    corners = torch.randint(2 * MARGIN + 1, (batch, 2), generator=generator).to(images.device)
    rows, columns = (corners[:, k, None] + torch.arange(n, device=images.device) for k in (0, 1))
    place = torch.arange(batch, device=images.device)[:, None, None]
    moved = framed.permute(0, 2, 3, 1)[place, rows[:, :, None], columns[:, None, :]]  # (B, n, n, C)
    return moved.permute(0, 3, 1, 2) + black[:, None, None]


def flip(images: Tensor, black: Tensor, generator: Generator) -> Tensor:
    """Each image mirrored from left to right with probability ½."""
    mirrored = torch.rand(len(images), generator=generator).to(images.device) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


AUGMENTATIONS: dict[str, Augmentation] = {"crop": crop, "flip": flip}


def build_augmentation(
    names: Sequence[str], data: Prepared, device: torch.device
) -> Callable[[Tensor, Generator], Tensor]:
    """The named augmentations, one after another, on images as nets see them."""
    black = (-data.mean / data.std).flatten().to(device)

    def augment(images: Tensor, generator: Generator) -> Tensor:
        for name in names:
            images = AUGMENTATIONS[name](images, black, generator)
        return images

    return augment
