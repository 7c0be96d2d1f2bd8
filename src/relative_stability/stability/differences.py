"""Changes of activations, as they come from a pass: their squared norms, and their medians over images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from relative_stability.core.randomness import generator
from relative_stability.stability.estimators import RESAMPLED_COMPONENTS, Resampled, median_change


class Differences:
    """Squared norms of differences, without new memory for each: pages that are touched first cost most."""

    BLOCK = 2**17  # numbers at once, on the CPU: they fit into a cache

    def __init__(self, device: torch.device) -> None:
        self.blocked = device.type == "cpu"
        self.scratch = torch.empty(0)

    def squares(self, x: Tensor, clean: Tensor, out: Tensor, change: Tensor | None = None) -> None:
        """‖x − clean‖² of each image into `out`, (B,); the differences into `change`, (B, K), where it is given.

        x: (B, …); clean: (B, K).
        """
        count, size = clean.shape
        rows = max(1, self.BLOCK // size) if self.blocked else count
        if change is None and (self.scratch.numel() < rows * size or self.scratch.dtype != clean.dtype):
            self.scratch = clean.new_empty(rows * size)
        for i in range(0, count, rows):
            part = slice(i, min(i + rows, count))
            room = self.scratch[: (part.stop - i) * size].view(-1, size) if change is None else change[part]
            torch.sub(flat(x[part]), clean[part], out=room)
            out[part] = squared_norm(room)


class Medians:
    """Medians over images of the squared change of every component.

    Where one pass takes all images, they are found at once; else changes are stored until all have passed.
    """

    def __init__(self, sizes: Sequence[int], total: int, weights: Tensor, seed: int) -> None:
        self.sizes, self.total, self.weights = sizes, total, weights
        # Positions stay the same for all settings, and for perturbed and noisy images.
        orders = [torch.randperm(size, generator=generator(seed, "components", size)) for size in sizes]
        self.components = [order[:RESAMPLED_COMPONENTS].to(weights.device) for order in orders]
        self.stored: dict[tuple[str, int], Tensor] = {}
        self.estimates: dict[str, list[list[Resampled]]] = {}
        self.scratch = torch.empty(0)

    @contextmanager
    def room(self, like: Tensor, kind: str, layer: int, position: int, settings: int, rows: slice) -> Iterator[Tensor]:
        """Where the changes (B, K) of one layer go, for the setting at `position` of `settings`."""
        size = self.sizes[layer]
        if rows.stop - rows.start == self.total:
            if self.scratch.numel() < self.total * size or self.scratch.dtype != like.dtype:
                self.scratch = like.new_empty(self.total * max(self.sizes))
            change = self.scratch[: self.total * size].view(-1, size)
            yield change
            self._reduce(kind, layer, change)
            return
        store = self.stored.get((kind, layer))
        if store is None or len(store) < settings:
            store = self.stored[kind, layer] = like.new_empty(settings, self.total, size)
        yield store[position, rows]

    def reduce(self, settings: int) -> None:
        """Medians of what is stored; the memory is used again."""
        for (kind, layer), store in self.stored.items():
            for changes in store[:settings]:
                self._reduce(kind, layer, changes)

    def _reduce(self, kind: str, layer: int, changes: Tensor) -> None:
        found = median_change(changes.square_(), self.weights, self.components[layer])
        self.estimates.setdefault(kind, [[] for _ in self.sizes])[layer].append(found)


def flat(x: Tensor) -> Tensor:
    """(B, …) to (B, K)."""
    return x.reshape(len(x), -1)


def squared_norm(x: Tensor) -> Tensor:
    """(B, K) to (B,)."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=1)
    return norm.square()
