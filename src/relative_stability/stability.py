"""D, G and R: pure kernels on tensors of net outputs. Nothing here knows nets, images, files or labels.

    D_f = ⟨‖f(τx)−f(x)‖²⟩ / ⟨‖f(x)−f(z)‖²⟩,   G_f = ⟨‖f(x+η)−f(x)‖²⟩ / ⟨‖f(x)−f(z)‖²⟩,   R_f = D_f / G_f

with x, z over test images (Petrini et al. 2021, arXiv 2105.02468, eqs. 6 to 8). Shapes: N images, K outputs,
M settings of the perturbation, S draws
for each image, B bootstrap samples. Everything is computed in float64: outputs that differ little
lose their digits in float32 sums.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Stability(NamedTuple):
    """D, G and R, each of shape (M,), and their intervals, each (2, M): lower and upper end."""

    D: Tensor
    G: Tensor
    R: Tensor
    D_interval: Tensor
    G_interval: Tensor
    R_interval: Tensor


def mean_pair_distance(outputs: Tensor, weights: Tensor | None = None) -> Tensor:
    """⟨‖f(x)−f(z)‖²⟩ over all ordered pairs of different images.

    outputs: (N, K). weights: (B, N), how often each image counts (rows sum to N); without them each counts once.
    Returns () or (B,). Uses Σ_pairs ‖f−f'‖² = 2N Σ‖f−f̄‖²: no N×N matrix. With repeated images the pairs of an
    image with itself count as pairs of distance zero among N(N−1), the usual bootstrap of a variance.
    """
    n = len(outputs)
    centred = outputs.double() - outputs.double().mean(0)
    squares = (centred**2).sum(1)
    if weights is None:
        return 2 * squares.sum() / (n - 1)
    weights = weights.double()
    means = weights @ centred / n
    return 2 * (weights @ squares - n * (means**2).sum(1)) / (n - 1)


def median_pair_distance(outputs: Tensor) -> Tensor:
    """The median over all pairs of different images of ‖f(x)−f(z)‖². outputs: (N, K). Returns ()."""
    return torch.pdist(outputs.double()).square().median()


def mean_change(changes: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over images of the squared change ‖f(x')−f(x)‖².

    changes: (M, S, N, K), squared change of each output component; weights: (B, N). Returns (M,) or (B, M).
    """
    per_image = changes.double().sum(-1).mean(1)
    if weights is None:
        return per_image.mean(-1)
    return weights.double() @ per_image.T / per_image.shape[1]


def median_change(changes: Tensor) -> Tensor:
    """Per output component the median over images of the squared change, summed over components.

    changes: (M, S, N, K), the median over draws and images. Returns (M,). The estimator of the public code of
    Petrini et al. 2021.
    """
    return changes.double().flatten(1, 2).median(dim=1).values.sum(-1)


def bootstrap_weights(n: int, samples: int, generator: torch.Generator) -> Tensor:
    """(B, N) counts of images drawn with replacement: N draws in each of B = samples rows."""
    indices = torch.randint(n, (samples, n), generator=generator)
    counts = torch.zeros(samples, n, dtype=torch.float64)
    return counts.scatter_add_(1, indices, torch.ones_like(indices, dtype=torch.float64))


def _interval(values: Tensor, level: float) -> Tensor:
    """Percentile interval over the first axis: (B, M) to (2, M)."""
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=values.dtype)
    return torch.quantile(values, ends, dim=0)


def _assemble(d: Tensor, g: Tensor, pairs: Tensor, samples: list[Tensor], level: float) -> Stability:
    d_samples, g_samples, pair_samples = samples
    return Stability(
        d / pairs,
        g / pairs,
        d / g,
        _interval(d_samples / pair_samples[:, None], level),
        _interval(g_samples / pair_samples[:, None], level),
        _interval(d_samples / g_samples, level),
    )


def mean_stability(deformed: Tensor, noisy: Tensor, outputs: Tensor, weights: Tensor, level: float = 0.95) -> Stability:
    """D, G, R with means over images, and their bootstrap intervals over images.

    deformed, noisy: (M, S, N, K), squared changes of every output component under the perturbation and under noise;
    outputs: (N, K), of the unchanged images; weights: (B, N) from `bootstrap_weights`; level: of the interval.
    The intervals say how much another draw of N test images would move the number of this one net; they know
    nothing of the spread between nets. R does not depend on the denominator, and neither does its interval.
    """
    return _assemble(
        mean_change(deformed),
        mean_change(noisy),
        mean_pair_distance(outputs),
        [mean_change(deformed, weights), mean_change(noisy, weights), mean_pair_distance(outputs, weights)],
        level,
    )


def median_stability(
    deformed: Tensor, noisy: Tensor, outputs: Tensor, weights: Tensor, level: float = 0.95
) -> Stability:
    """As `mean_stability` with medians: the estimator of the public code of Petrini et al. 2021.

    Resampling a median over pairs costs B·N² numbers, so the interval holds the denominator fixed; it cancels in R.
    """
    # Row b of `picks` lists the images of bootstrap sample b, each as often as it counts.
    picks = torch.repeat_interleave(torch.arange(weights.numel()) % weights.shape[1], weights.long().flatten())
    picks = picks.view(weights.shape)

    def resampled(changes: Tensor) -> Tensor:
        return torch.stack([median_change(changes[:, :, pick]) for pick in picks])

    pairs = median_pair_distance(outputs)
    fixed = pairs.expand(len(weights))
    return _assemble(
        median_change(deformed),
        median_change(noisy),
        pairs,
        [resampled(deformed), resampled(noisy), fixed],
        level,
    )


ESTIMATORS: dict[str, Callable[..., Stability]] = {"mean": mean_stability, "median": median_stability}
