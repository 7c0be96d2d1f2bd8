import numpy as np
import pytest
import torch

from relative_stability.stability import (
    bootstrap_weights,
    mean_pair_distance,
    mean_stability,
    median_pair_distance,
    median_stability,
)

N, K, M = 40, 3, 2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def changes():
    deformed = torch.rand(M, 1, N, K, generator=generator(1))
    noisy = torch.rand(M, 1, N, K, generator=generator(2))
    return deformed, noisy, torch.randn(N, K, generator=generator(3)), bootstrap_weights(N, 50, generator(4))


def test_pair_distances_are_those_of_all_pairs(changes):
    outputs = changes[2].double()
    pairs = [(outputs[i] - outputs[j]).square().sum() for i in range(N) for j in range(N) if i != j]
    assert mean_pair_distance(outputs) == pytest.approx(float(np.mean(pairs)))
    assert median_pair_distance(outputs) == pytest.approx(float(np.quantile(pairs, 0.5, method="lower")), rel=1e-6)


def test_mean_estimator_is_the_definition(changes):
    deformed, noisy, outputs, weights = changes
    result = mean_stability(deformed, noisy, outputs, weights)
    d = deformed.double().sum(-1).mean((1, 2))
    g = noisy.double().sum(-1).mean((1, 2))
    torch.testing.assert_close(result.D, d / mean_pair_distance(outputs))
    torch.testing.assert_close(result.G, g / mean_pair_distance(outputs))
    torch.testing.assert_close(result.R, d / g)


def test_median_estimator_sums_medians_of_components(changes):
    deformed, noisy, outputs, weights = changes
    result = median_stability(deformed, noisy, outputs, weights)
    d, g = (np.sum([np.sort(c[0, 0, :, k].numpy())[(N - 1) // 2] for k in range(K)]) for c in (deformed, noisy))
    assert float(result.R[0]) == pytest.approx(d / g, rel=1e-6)


@pytest.mark.parametrize("estimate", [mean_stability, median_stability])
def test_rescaled_outputs_leave_all_three_unchanged(changes, estimate):
    deformed, noisy, outputs, weights = changes
    a, b = (
        estimate(deformed, noisy, outputs, weights),
        estimate(9 * deformed, 9 * noisy, 3 * outputs, weights),
    )
    for ours, scaled in zip(a, b, strict=True):
        torch.testing.assert_close(ours, scaled, rtol=1e-5, atol=0)


def test_one_image_counted_alone_is_that_image(changes):
    deformed, noisy, outputs, _ = changes
    weights = torch.zeros(1, N, dtype=torch.float64)
    weights[0, 7] = N
    result = mean_stability(deformed, noisy, outputs, weights)
    alone = deformed[:, 0, 7].double().sum(-1) / noisy[:, 0, 7].double().sum(-1)
    torch.testing.assert_close(result.R_interval, alone.expand(2, M))


def test_bootstrap_covers_the_truth_as_often_as_it_says():
    """R of a known ratio 2 over many samples of images: the 95 % interval holds it in about 95 % of them."""
    hits, trials, images = 0, 200, 200
    for trial in range(trials):
        g = generator(trial)
        deformed = 2 * torch.rand(1, 1, images, 1, generator=g)
        noisy = torch.rand(1, 1, images, 1, generator=g)
        weights = bootstrap_weights(images, 300, g)
        low, high = mean_stability(deformed, noisy, torch.randn(images, 2, generator=g), weights).R_interval[:, 0]
        hits += bool(low <= 2 <= high)
    assert 0.88 * trials <= hits <= trials * 0.995


def test_weights_draw_as_many_images_as_there_are():
    weights = bootstrap_weights(N, 20, generator())
    assert weights.shape == (20, N)
    assert (weights.sum(1) == N).all()
