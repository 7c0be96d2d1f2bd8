import numpy as np
import pytest
import torch

from relative_stability.stability.estimators import (
    RESAMPLED_COMPONENTS,
    assemble,
    bootstrap_weights,
    joined,
    mean_change,
    mean_pair_distance,
    median_change,
    median_pair_distance,
)

N, K, M = 40, 3, 2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def outputs():
    return torch.randn(N, K, generator=generator(3))


@pytest.fixture
def weights():
    return bootstrap_weights(N, 50, generator(4))


def spread(outputs):
    return (outputs - outputs.mean(0)).square().sum(1)


def positive(*shape, seed):
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


def test_pair_distances_are_those_of_all_pairs(outputs, weights):
    double = outputs.double()
    pairs = [(double[i] - double[j]).square().sum() for i in range(N) for j in range(i)]
    assert float(mean_pair_distance(spread(double), weights).value) == pytest.approx(float(np.mean(pairs)))
    median = median_pair_distance(outputs, weights)
    assert float(median.value) == pytest.approx(float(np.quantile(pairs, 0.5, method="lower")), rel=1e-6)
    assert (median.samples == median.value).all()


def test_resampled_pair_distances_are_those_of_the_sample_to_order_one_over_n(outputs):
    weights = bootstrap_weights(N, 2000, generator(1))
    samples = mean_pair_distance(spread(outputs.double()), weights).samples[:, 0]
    exact = []
    for row in weights.long():
        drawn = outputs.double().repeat_interleave(row, dim=0)
        exact.append(2 * (drawn - drawn.mean(0)).square().sum() / (N - 1))
    exact = torch.stack(exact)
    assert float(exact.mean() / samples.mean()) == pytest.approx(1, abs=1.5 / N)
    assert float(exact.std() / samples.std()) == pytest.approx(1, abs=0.1)


def test_the_mean_averages_draws_first_and_images_then(weights):
    changes = positive(M, 4, N, seed=1)
    found = mean_change(changes, weights)
    torch.testing.assert_close(found.value, changes.mean((1, 2)))
    by_hand = torch.stack([changes.mean(1)[0].repeat_interleave(row.long()).mean() for row in weights])
    torch.testing.assert_close(found.samples[:, 0], by_hand)


def test_the_median_sums_medians_of_components(weights):
    changes = positive(N, K, seed=1)
    found = median_change(changes.float(), weights, torch.arange(K))
    by_hand = np.sum([np.sort(changes[:, k].float().numpy())[(N - 1) // 2] for k in range(K)])
    assert float(found.value) == pytest.approx(by_hand, rel=1e-6)
    assert found.samples.shape == (50, 1)


@pytest.mark.parametrize(("draws", "components"), [(1, 6), (4, 6), (1, 1000)])
def test_resampled_medians_spread_as_those_of_resampled_images(draws, components):
    """The first-order rule against sorting every sample anew; layers with many components through a few of them."""
    n = 400
    common = positive(1, n, 1, seed=8)  # what makes an image's components rise and fall together
    changes = (positive(draws, n, components, seed=9) * common).flatten(0, 1)
    weights = bootstrap_weights(n, 400, generator(5))
    chosen = torch.randperm(components, generator=generator(6))[:RESAMPLED_COMPONENTS]
    ours = median_change(changes, weights, chosen)
    counts = [row.long().repeat(draws) for row in weights]
    exact = torch.stack([changes.repeat_interleave(row, dim=0).median(0).values.sum() for row in counts])
    assert float(ours.samples.mean() / exact.mean()) == pytest.approx(1, abs=0.02)
    assert float(ours.samples.std() / exact.std()) == pytest.approx(1, abs=0.15)


def test_a_median_of_zero_resamples_to_zero(weights):
    found = median_change(torch.zeros(N, 100), weights, torch.arange(5))
    assert found.value == 0 and (found.samples == 0).all()


def test_rescaled_outputs_leave_all_three_unchanged(outputs, weights):
    def stability(factor):
        squares = factor**2
        return assemble(
            mean_change(squares * positive(M, 1, N, seed=1), weights),
            joined([median_change(squares * positive(N, K, seed=s), weights, torch.arange(K)) for s in (2, 3)]),
            mean_pair_distance(squares * spread(outputs), weights),
        )

    for ours, scaled in zip(stability(1), stability(3), strict=True):
        torch.testing.assert_close(ours, scaled, rtol=1e-6, atol=0)


def test_one_image_counted_alone_is_that_image(outputs):
    deformed, noisy = positive(M, 1, N, seed=1), positive(M, 1, N, seed=2)
    weights = torch.zeros(1, N, dtype=torch.float64)
    weights[0, 7] = N
    pairs = mean_pair_distance(spread(outputs), weights)
    result = assemble(mean_change(deformed, weights), mean_change(noisy, weights), pairs)
    torch.testing.assert_close(result.R_interval, (deformed / noisy)[:, 0, 7].expand(2, M))


@pytest.mark.parametrize("estimator", ["mean", "median"])
def test_bootstrap_covers_the_truth_as_often_as_it_says(estimator):
    """R of a known ratio 2 over many samples of images: the 95 % interval holds it in about 95 % of them."""
    hits, trials, images = 0, 200, 200
    for trial in range(trials):
        g = generator(trial)
        deformed = 2 * torch.rand(images, 5, generator=g)
        noisy = torch.rand(images, 5, generator=g)
        weights = bootstrap_weights(images, 300, g)
        if estimator == "mean":
            parts = [mean_change(c.sum(1)[None, None], weights) for c in (deformed, noisy)]
        else:
            parts = [median_change(c, weights, torch.arange(5)) for c in (deformed, noisy)]
        pairs = mean_pair_distance(torch.rand(images, generator=g), weights)
        low, high = assemble(*parts, pairs).R_interval[:, 0]
        hits += bool(low <= 2 <= high)
    assert 0.88 * trials <= hits <= trials * 0.995


def test_weights_draw_as_many_images_as_there_are():
    weights = bootstrap_weights(N, 20, generator())
    assert weights.shape == (20, N)
    assert (weights.sum(1) == N).all()
