"""The intrinsic dimension of a cloud of points, from the distances to the two nearest neighbours of each (TwoNN)."""

from typing import NamedTuple

import torch
from scipy.stats import chi2
from torch import Tensor

from relative_stability.core.errors import InputError

FEWEST = 50  # points
KEPT = 0.9  # of the points, those of the smaller ratios; the others may lie at edges or be far from all
SPREAD = 1e-6  # of the largest norm: points that are nearer to each other than rounding are one


class Dimension(NamedTuple):
    """value, with its 95 % interval; half, quarter: of every second and fourth point, which are about as large where
    the estimate is one of a manifold rather than of noise or of too few points.
    """

    value: float
    low: float
    high: float
    half: float
    quarter: float


NONE = Dimension(*[float("nan")] * 5)


def intrinsic_dimension(gram: Tensor) -> Dimension:
    """d of a law that the ratio μ = r₂/r₁ of the distances to a point's two nearest neighbours follows,

        P(μ) = d μ^(−d−1),   −ln(1 − F(μ)) = d ln μ

    gram: (N, N), inner products of the points, which distances follow from. The law holds wherever the density of the
    points is constant on the scale of r₂, whatever the manifold. A tenth of the points, with the largest ratios, is
    only counted: with n of N points kept and μ_n the largest ratio of these, d = n / (Σ ln μ + (N − n) ln μ_n), the
    estimate of most likelihood for what is cut off so, and 2 n d_true / d follows a χ² law of 2n degrees of freedom,
    which gives the interval. Points that coincide count once. NaN where all points are one.

    Raises InputError for fewer than 50 points. Source: Facco et al. 2017, Scientific Reports 7, 12140, eqs. 3 and 5.

    >>> x = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    >>> plane = torch.cat([x, x.sin(), x[:, :1] * x[:, 1:]], 1).double()  # a bent plane in five dimensions
    >>> round(intrinsic_dimension(plane @ plane.T).value, 1)
    2.0
    """
    if len(gram) < FEWEST:
        raise InputError(f"the dimension of {len(gram)} points is refused: {FEWEST} or more are needed")
    norms = gram.diagonal()
    squared = (norms[:, None] + norms[None] - 2 * gram).clamp(min=0)
    near = SPREAD * float(norms.max().sqrt())
    found = [_two_nearest(squared[::step, ::step].sqrt(), near) for step in (1, 2, 4)]
    return Dimension(*found[0], *(estimate[0] for estimate in found[1:]))


def _two_nearest(distances: Tensor, near: float) -> tuple[float, float, float]:
    same = torch.tril(distances <= near, diagonal=-1).any(1)  # as some point before
    distances = distances[~same][:, ~same]
    if len(distances) < 4:
        return NONE[:3]
    two = distances.fill_diagonal_(torch.inf).topk(2, largest=False).values
    logs = (two[:, 1] / two[:, 0]).log().sort().values
    kept = max(2, int(KEPT * len(logs)))
    total = float(logs[:kept].sum() + (len(logs) - kept) * logs[kept - 1])
    if total <= 0:
        return NONE[:3]
    low, high = (float(chi2.ppf(level, 2 * kept)) / (2 * total) for level in (0.025, 0.975))
    return kept / total, low, high
