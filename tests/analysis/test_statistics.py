import numpy as np
import pytest
from scipy import stats

from relative_stability.analysis.statistics import (
    exponent,
    geometric_interval,
    geometric_mean,
    geometric_spread,
    log_correlation,
    power_law,
    rank_correlation,
)


def test_geometric_mean_and_spread_leave_out_what_is_missing():
    values = np.array([[1.0, 100.0, np.nan], [np.nan, np.nan, np.nan], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(geometric_mean(values, axis=1), [10, np.nan, 2])
    spread = geometric_spread(values, axis=1)
    assert spread[0] == pytest.approx(np.exp(np.log([1, 100]).std(ddof=1)))
    assert spread[2] == pytest.approx(1)


def test_exponent_of_a_power_law_and_its_interval():
    sizes = np.array([32.0, 128, 512, 2048])
    noise = np.exp(0.05 * np.random.default_rng(0).standard_normal((4, 6)))
    found = exponent(sizes, 3 * sizes[:, None] ** -0.7 * noise)
    assert found.low < -0.7 < found.high
    assert found.high - found.low < 0.1
    assert found.runs == 24
    assert exponent(sizes, sizes[:, None] ** 0.5).value == pytest.approx(0.5)


def test_exponent_needs_three_sizes_and_skips_missing_runs():
    sizes = np.array([32.0, 128, 512])
    values = sizes[:, None] ** -1.0 * np.ones((3, 2))
    values[0, 0] = np.nan
    assert exponent(sizes, values).value == pytest.approx(-1)
    assert exponent(sizes, values).runs == 5
    values[0] = np.nan
    assert np.isnan(exponent(sizes, values).value)


def test_seeds_without_a_number_are_no_seeds():
    """One survivor of four has no spread, however often it is drawn."""
    values = np.full((3, 4), np.nan)
    values[:, 1] = [1, 0.5, 0.25]
    found = exponent(np.array([1.0, 2, 4]), values)
    assert found.value == pytest.approx(-1) and found.runs == 3
    assert np.isnan(found.low) and np.isnan(found.high)


def test_one_seed_has_no_interval():
    found = exponent(np.array([1.0, 2, 4]), np.array([[1.0], [2], [4]]))
    assert found.value == pytest.approx(1)
    assert np.isnan(found.low) and np.isnan(found.high)


def test_correlation_is_pearsons_of_the_logarithms():
    generator = np.random.default_rng(1)
    x = np.exp(generator.standard_normal((5, 4)))
    y = x**0.5 * np.exp(0.3 * generator.standard_normal((5, 4)))
    found = log_correlation(x, y)
    assert found.value == pytest.approx(stats.pearsonr(np.log(x).ravel(), np.log(y).ravel()).statistic)
    assert found.low < found.value < found.high
    y[0] = np.nan
    y[1, 0] = 0  # an error of zero has no logarithm
    assert log_correlation(x, y).runs == 15


def test_rank_correlation_is_spearmans_and_power_laws_are_least_squares():
    generator = np.random.default_rng(2)
    x = np.exp(generator.standard_normal((5, 4)))
    y = 0.2 * x**0.5 * np.exp(0.1 * generator.standard_normal(x.shape))
    y[1, 2] = np.nan
    good = np.isfinite(y)
    found = rank_correlation(x, y)
    assert found.value == pytest.approx(stats.spearmanr(x[good], y[good]).statistic) and found.runs == 19
    assert found.low < found.value < found.high
    slope, prefactor = power_law(x, y)
    expected = np.polyfit(np.log(x[good]), np.log(y[good]), 1)
    assert (slope.value, prefactor.value) == pytest.approx((expected[0], np.exp(expected[1])))
    assert slope.low < 0.5 < slope.high and prefactor.low < 0.2 < prefactor.high
    assert np.isnan(rank_correlation(x, np.ones_like(x)).value)


def test_interval_over_seeds_covers_the_mean_as_often_as_it_says():
    generator = np.random.default_rng(0)
    values = np.exp(0.7 + 0.4 * generator.standard_normal((4, 4000)))
    mean, low, high = geometric_interval(values)
    np.testing.assert_allclose(mean, np.exp(np.log(values).mean(0)))
    covered = ((low < np.exp(0.7)) & (np.exp(0.7) < high)).mean()
    assert abs(covered - 0.95) < 0.012


def test_interval_over_seeds_counts_the_runs_that_are_there():
    values = np.array([[1.0, 2.0, np.nan], [4.0, np.nan, np.nan], [np.nan, 0.0, np.nan]])
    mean, low, high = geometric_interval(values)
    np.testing.assert_allclose(mean, [2, 2, np.nan])
    assert low[0] < 2 < high[0] and np.isnan([*low[1:], *high[1:]]).all()
