"""Averages, power laws and correlations over the runs of a sweep, with intervals from resampling its seeds.

Resampling seeds answers "what would other seeds have given?", for these nets and this dataset; it says nothing of other
nets. Runs that diverged are NaN and are left out everywhere; the number of runs that remain is always returned.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

Array = np.ndarray
SAMPLES = 2000
LEVEL = 0.95


class Estimate(NamedTuple):
    """A number, its 95 % interval (NaN where one seed gives none) and the number of runs behind it."""

    value: float
    low: float
    high: float
    runs: int


def _usable(values: Array) -> Array:
    """Where a value has a logarithm: a run that diverged has none, nor has a test error of zero."""
    return np.asarray(np.isfinite(values) & (np.asarray(values) > 0))


def _logs(values: Array) -> np.ma.MaskedArray:
    """ln y, masked where there is none."""
    usable = _usable(values)
    return np.ma.MaskedArray(np.log(np.where(usable, values, 1.0)), ~usable)


def geometric_mean(values: Array, axis: int | None = None) -> Array:
    """exp⟨ln y⟩ over the runs that are there; NaN where there is none.

    `scipy.stats.gmean` with `nan_policy="omit"` takes 50 times longer, and this is called for every resampling.
    """
    usable = _usable(values)
    logs, count = np.log(np.where(usable, values, 1.0)), usable.sum(axis)
    return np.asarray(np.exp(logs.sum(axis) / np.where(count, count, np.nan)))


def geometric_spread(values: Array, axis: int) -> Array:
    """exp(standard deviation of ln y), a factor; 1 where fewer than two runs are there."""
    return np.asarray(np.ma.filled(np.exp(_logs(values).std(axis, ddof=1)), 1.0))


def geometric_interval(values: Array) -> tuple[Array, Array, Array]:
    """Geometric mean over the first axis, and its 95 % interval for another set of runs: exp(m ± t s/√N).

    values: (seed, …). m and s are mean and standard deviation of ln y over the N runs that are there, t Student's
    quantile for N − 1 degrees of freedom. The ends are NaN for fewer than two runs.
    """
    logs = _logs(values)
    count = logs.count(0)
    mean, deviation = (np.ma.filled(m, np.nan) for m in (logs.mean(0), logs.std(0, ddof=1)))
    half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * deviation / np.sqrt(np.maximum(count, 1))
    return np.exp(mean), np.exp(mean - half), np.exp(mean + half)


def over_seeds(statistic: Callable[[Array], float], values: Array, runs: int) -> Estimate:
    """A statistic of all seeds and its percentile interval over resampled seeds.

    values: seeds on the last axis; statistic: from an array of the same shape to a number (NaN: it has no answer),
    whatever the order of seeds. Seeds without a single number are no seeds: with fewer than two others there is no
    interval.
    """
    value = statistic(values)
    values = values[..., np.isfinite(values).any(axis=tuple(range(values.ndim - 1)))]
    seeds = values.shape[-1]
    if seeds < 2:
        return Estimate(value, np.nan, np.nan, runs)
    generator = np.random.default_rng(0)
    picked = np.sort([generator.integers(seeds, size=seeds) for _ in range(SAMPLES)], axis=1)
    distinct, which = np.unique(picked, axis=0, return_inverse=True)  # few, as seeds are: 35 of four of them
    samples = np.array([statistic(values[..., seeds]) for seeds in distinct])[which]
    present = samples[np.isfinite(samples)]
    if len(present) < SAMPLES / 2:
        return Estimate(value, np.nan, np.nan, runs)
    low, high = np.quantile(present, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), runs)


def exponent(x: Array, y: Array) -> Estimate:
    """β of y ∝ x^β by least squares of ln ȳ on ln x, ȳ being the geometric mean over seeds.

    x: (P,); y: (P, seed). Points whose mean is missing or zero are left out; NaN with fewer than three of them.
    """

    def slope(values: Array) -> float:
        means = geometric_mean(values, axis=1)
        present = np.isfinite(means) & (means > 0)
        if present.sum() < 3:
            return float("nan")
        return float(np.polyfit(np.log(x[present]), np.log(means[present]), 1)[0])

    return over_seeds(slope, np.asarray(y, float), int(_usable(y).sum()))


def log_correlation(x: Array, y: Array) -> Estimate:
    """Pearson's correlation of ln x and ln y over all points. x, y: (…, seed), of one shape."""
    return _of_points(lambda a, b: float(np.corrcoef(a, b)[0, 1]), x, y)


def rank_correlation(x: Array, y: Array) -> Estimate:
    """Spearman's correlation of x and y, that of their ranks, over all points. x, y: (…, seed), of one shape."""
    return _of_points(lambda a, b: float(stats.spearmanr(a, b).statistic), x, y)


def power_law(x: Array, y: Array) -> tuple[Estimate, Estimate]:
    """β and c of y ≈ c x^β by least squares of ln y on ln x over all points. x, y: (…, seed), of one shape."""
    slope = _of_points(lambda a, b: float(np.polyfit(a, b, 1)[0]), x, y)
    return slope, _of_points(lambda a, b: float(np.exp(np.polyfit(a, b, 1)[1])), x, y)


def _of_points(statistic: Callable[[Array, Array], float], x: Array, y: Array) -> Estimate:
    """A statistic of ln x and ln y over all points; NaN with fewer than three of them, or where one does not vary."""

    def found(values: Array) -> float:
        present = _usable(values).all(0)
        a, b = np.log(values[:, present])
        if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
            return float("nan")
        return statistic(a, b)

    pairs = np.stack([np.asarray(x, float), np.asarray(y, float)])
    return over_seeds(found, pairs, int(_usable(pairs).all(0).sum()))
