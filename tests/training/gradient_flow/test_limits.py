"""The limits α → 0 and α → ∞ without a flow."""

import numpy as np
import pytest
import torch

from relative_stability.nets import build_net
from relative_stability.training.gradient_flow.limits import (
    LazyLimit,
    fastest_growth,
    tangent_kernel_at_infinite_width,
)
from relative_stability.training.gradient_flow.linear_model import compression
from relative_stability.training.gradient_flow.tangent_kernel import stacked

pytestmark = pytest.mark.slow


def stripe(P, d, seed):
    x = torch.randn(P, d, generator=torch.Generator().manual_seed(seed))
    return x, torch.where((x[:, 0] < -0.3) | (x[:, 0] > 1.18549), 1.0, -1.0)


def test_the_kernel_is_that_of_wide_nets():
    x, _ = stripe(12, 6, 0)
    with torch.no_grad():
        nets, _ = stacked([build_net("one_hidden", 6, 1, 1, seed=s, width=20000) for s in range(4)], torch.float64)
        finite = 20000 * nets.kernel(x.double().expand(4, -1, -1)).mean(0)
    torch.testing.assert_close(tangent_kernel_at_infinite_width(x.double(), x.double()), finite, rtol=0.03, atol=0.02)


def test_no_direction_grows_faster_than_the_one_found():
    x, y = stripe(300, 4, 0)
    generator = torch.Generator().manual_seed(0)
    best = fastest_growth(x, y, generator)

    def rate(along):
        return ((x.double() @ along[:-1] / 2 + along[-1]).relu() * y).mean().abs()

    assert best.norm() == pytest.approx(1)
    others = torch.nn.functional.normalize(torch.randn(20000, 5, generator=generator, dtype=torch.float64), dim=1)
    near = torch.nn.functional.normalize(best + 0.05 * others, dim=1)
    assert max(rate(one) for one in torch.cat([others, near])) <= rate(best) * (1 + 1e-3)


def test_compression_of_the_fastest_neuron_goes_as_the_root_of_P():
    """λ ≈ 0.95 √P."""
    sizes, found = [512, 2048, 8192], []
    for P in sizes:
        directions = [fastest_growth(*stripe(P, 5, seed), torch.Generator().manual_seed(seed)) for seed in range(6)]
        found.append(np.mean([np.log(float(compression(w[None, :-1], range(1, 5)))) for w in directions]))
    assert np.polyfit(np.log(sizes), found, 1)[0] == pytest.approx(0.5, abs=0.12)
    assert np.exp(np.mean(found - 0.5 * np.log(sizes))) == pytest.approx(0.95, rel=0.3)


@pytest.mark.parametrize(("P", "error", "R"), [(64, 0.313, 0.564), (256, 0.170, 0.167), (1024, 0.072, 0.060)])
def test_the_lazy_limit_has_the_errors_and_r_of_another_implementation(P, error, R):
    """d = 10; the R is to a change of all inputs but the first by their own standard deviation."""
    errors, ratios = [], []
    for seed in range(4):
        net = LazyLimit(*stripe(P, 10, seed))
        x, y = stripe(2000, 10, 100 + seed)
        generator = torch.Generator().manual_seed(seed)
        along, noise = (torch.randn(x.shape, generator=generator) for _ in range(2))
        along[:, 0] = 0
        noise *= along.norm(dim=1).mean() / noise.norm(dim=1, keepdim=True)
        out, moved, shaken = (net(z[..., None, None])[:, 0] for z in (x, x + along, x + noise))
        errors.append(float((out.sign() != y).double().mean()))
        ratios.append(float(((moved - out) ** 2).mean() / ((shaken - out) ** 2).mean()))
    assert np.mean(errors) == pytest.approx(error, rel=0.12)
    assert np.exp(np.mean(np.log(ratios))) == pytest.approx(R, rel=0.2)
