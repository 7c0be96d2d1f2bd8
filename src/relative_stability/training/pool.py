"""All samples of a dataset on the device, as they are stored, and batches of them as nets see them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from relative_stability.datasets.prepared import Prepared
from relative_stability.training.augmentation import Augmentation

PIECE = 1 << 17  # numbers made at a time on a CPU: half a megabyte, which stays in its cache


class Pool:
    """Pixels (N, n, n, C) and labels (N,) on the device, and where the two splits are.

    Pictures stay uint8 until a batch is made of them: a quarter of the memory, and no loader.
    """

    def __init__(self, data: Prepared, device: torch.device) -> None:
        self.data, self.device = data, device
        self.pixels = data.images.permute(0, 2, 3, 1).contiguous().to(device)
        self.labels = data.labels.to(device)
        self.test = torch.nonzero(data.test).flatten().to(device)
        shape = self.pixels.shape[1:]  # whole pictures: a loop over three channels is slow
        scale, shift = data.affine()
        self.scale = scale.permute(1, 2, 0).expand(shape).contiguous().to(device)
        self.shift = shift.permute(1, 2, 0).expand(shape).contiguous().to(device)
        self.buffers: dict[tuple[int, ...], Tensor] = {}

    def subsets(self, P: int, seeds: Sequence[int]) -> Tensor:
        """Indices of the training samples of each seed, (S, P)."""
        return torch.stack([self.data.training_subset(P, seed) for seed in seeds]).to(self.device)

    def fetch(
        self, indices: Tensor, augmentations: Sequence[Augmentation] = (), drawn: Sequence[Tensor] = ()
    ) -> Tensor:
        """Samples as nets see them. indices: (S, B); drawn: for each augmentation its numbers, (S, B, …).

        Returns (S, B, C, n, n), float32, normalised, channels last; overwritten by the next batch of this shape.
        """
        shape = (*indices.shape, *self.pixels.shape[1:])
        if shape not in self.buffers:
            self.buffers[shape] = torch.empty(shape, device=self.device)
        out = self.buffers[shape].flatten(0, 1)
        size = max(1, PIECE // self.scale.numel()) if self.device.type == "cpu" else len(out)
        rows, numbers = indices.flatten(), [n.flatten(0, 1) for n in drawn]
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            pixels = self.pixels.index_select(0, rows[part])
            for augmentation, n in zip(augmentations, numbers, strict=True):
                pixels = augmentation.apply(pixels, n[part])
            out[part].copy_(pixels).mul_(self.scale).add_(self.shift)
        return self.buffers[shape].permute(0, 1, 4, 2, 3)
