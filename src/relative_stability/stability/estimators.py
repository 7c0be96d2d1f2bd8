"""D, G and R: pure kernels on tensors. Nothing here knows nets, images, files or labels.

    D_f = ⟨‖f(τx)−f(x)‖²⟩ / ⟨‖f(x)−f(z)‖²⟩,   G_f = ⟨‖f(x+η)−f(x)‖²⟩ / ⟨‖f(x)−f(z)‖²⟩,   R_f = D_f / G_f

with x, z over test images (Petrini et al. 2021, arXiv 2105.02468, eqs. 6 to 8). Two estimators: `mean`, as written,
and `median`, that of the authors' public code: per output component the median over images of the squared change,
summed over components, and as denominator the median over all pairs of images.

Shapes: N images, S draws for each, K output components, M settings of the perturbation, B bootstrap samples.
Intervals come from resampling images: they say how much another draw of N test images would move the number of this
one net, and know nothing of the spread between nets.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

ESTIMATORS = ("mean", "median")
# Components of a layer whose medians are resampled for the interval; an output with fewer is resampled whole.
RESAMPLED_COMPONENTS = 64
_COLUMNS = 512  # sorted together: they fit into a cache


class Resampled(NamedTuple):
    """A number for each setting, (M,), and what resampled images make of it, (B, M)."""

    value: Tensor
    samples: Tensor


class Stability(NamedTuple):
    """D, G and R, each of shape (M,), and their intervals, each (2, M): lower and upper end."""

    D: Tensor
    G: Tensor
    R: Tensor
    D_interval: Tensor
    G_interval: Tensor
    R_interval: Tensor


def bootstrap_weights(n: int, samples: int, generator: torch.Generator) -> Tensor:
    """(B, N) counts of images drawn with replacement: N draws in each of B = samples rows."""
    indices = torch.randint(n, (samples, n), generator=generator)
    counts = torch.zeros(samples, n, dtype=torch.float64)
    return counts.scatter_add_(1, indices, torch.ones_like(indices, dtype=torch.float64))


def mean_change(changes: Tensor, weights: Tensor) -> Resampled:
    """Mean over images of the squared change ‖f(x')−f(x)‖².

    changes: (M, S, N), summed over components; weights: (B, N) from `bootstrap_weights`. Draws of one image are no
    images of their own: they are averaged first.
    """
    per_image = changes.double().mean(1)
    return Resampled(per_image.mean(-1), weights @ per_image.T / per_image.shape[1])


def median_change(changes: Tensor, weights: Tensor, components: Tensor) -> Resampled:
    """Per component the median over images (and draws) of the squared change, summed over components, M = 1.

    changes: (S·N, K), draw by draw; weights: (B, N); components: indices of those that are resampled, which stand
    for all in the interval. A sample's median is found in first order (Bahadur): by how many its images outnumber
    those below the median, by so many places the median moves down the sorted changes.
    """
    count, n = len(changes), weights.shape[1]
    middle = (count - 1) // 2
    value = _column_medians(changes).to(weights).sum()
    ordered, order = changes[:, components].sort(dim=0)
    ordered = ordered.to(weights)
    lower = order[: middle + 1] % n  # images at or below the median, (middle + 1, components)
    times = torch.zeros(n, len(components), dtype=weights.dtype, device=weights.device)
    times.scatter_add_(0, lower, torch.ones_like(lower, dtype=weights.dtype))
    place = 2 * middle + 1 - (weights @ times).round().long()
    medians = ordered.gather(0, place.clamp(0, count - 1)).sum(1)
    # What is resampled stands for the whole: its relative deviations are those of the sum.
    part = ordered[middle].sum()
    samples = torch.where(part > 0, medians * (value / part), value)
    return Resampled(value[None], samples[:, None])


def _column_medians(values: Tensor) -> Tensor:
    """The lower median of each column, (N, K) to (K,)."""
    if values.device.type != "cpu":
        return values.median(dim=0).values
    middle = (len(values) - 1) // 2
    # numpy's partial sort of contiguous rows takes a third of the time that torch takes for columns.
    medians = np.empty(values.shape[1], values.numpy().dtype)
    for start in range(0, len(medians), _COLUMNS):
        rows = np.ascontiguousarray(values[:, start : start + _COLUMNS].T.numpy())
        rows.partition(middle, axis=1)
        medians[start : start + _COLUMNS] = rows[:, middle]
    return torch.from_numpy(medians)


def mean_pair_distance(spread: Tensor, weights: Tensor) -> Resampled:
    """⟨‖f(x)−f(z)‖²⟩ over all pairs of different images: 2/(N−1) Σ ‖f−f̄‖².

    spread: (N,), each image's ‖f(x)−f̄‖². Resampled with the mean f̄ held fixed, which is exact to order 1/N and
    takes no N×N matrix. Returns M = 1.
    """
    factor = 2 / (len(spread) - 1)
    spread = spread.double()
    return Resampled(factor * spread.sum()[None], factor * (weights @ spread)[:, None])


def median_pair_distance(outputs: Tensor, weights: Tensor) -> Resampled:
    """The median over all pairs of different images of ‖f(x)−f(z)‖². outputs: (N, K).

    It cancels in R, and is held fixed in the intervals of D and G: resampling it would cost B·N² numbers. M = 1.
    """
    outputs = outputs.double()
    centred = outputs - outputs.mean(0)
    products = centred @ centred.T  # distances from these cost one product of matrices, however many components
    squares = products.diagonal()
    distances = squares[:, None] + squares - 2 * products
    first, second = torch.triu_indices(len(outputs), len(outputs), 1)
    value = distances[first, second].clamp(min=0).median()[None]
    return Resampled(value, value.expand(len(weights), 1))


def assemble(perturbed: Resampled, noisy: Resampled, pairs: Resampled, level: float = 0.95) -> Stability:
    """D, G and R from their parts; intervals are percentiles at `level`. R does not depend on the denominator."""
    parts = (perturbed, pairs), (noisy, pairs), (perturbed, noisy)
    values = [a.value / b.value for a, b in parts]
    return Stability(*values, *(_interval(a.samples / b.samples, level) for a, b in parts))


def joined(estimates: list[Resampled]) -> Resampled:
    """Estimates of single settings, side by side."""
    return Resampled(torch.cat([e.value for e in estimates]), torch.cat([e.samples for e in estimates], dim=1))


def to_cpu(estimate: Resampled) -> Resampled:
    """On the CPU, in float64."""
    return Resampled(*(part.cpu().double() for part in estimate))


def _interval(values: Tensor, level: float) -> Tensor:
    """Percentile interval over the first axis: (B, M) to (2, M)."""
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=values.dtype)
    return torch.quantile(values, ends, dim=0)
