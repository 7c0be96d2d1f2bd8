"""The flow itself: it descends, it converges, and it is the one that theory speaks of."""

import itertools

import numpy as np
import pytest
import torch

from relative_stability.nets import build_net
from relative_stability.training.gradient_flow.flow import MET, Flow
from relative_stability.training.gradient_flow.limits import fastest_growth
from relative_stability.training.gradient_flow.linear_model import compression
from relative_stability.training.gradient_flow.tangent_kernel import stacked

pytestmark = pytest.mark.slow

D = 4


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def flow(
    alphas=(0.1,), seeds=range(1), P=40, width=80, tolerance=0.05, dtype=torch.float64, informative=0, seed=0, **net
):
    """Gradient flows on a stripe in one input, of every seed at every alpha."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(seeds), P, D, generator=generator, dtype=torch.float64).to(dtype)
    y = torch.where((x[..., informative] < -0.3) | (x[..., informative] > 1.18549), 1.0, -1.0).to(dtype)
    architecture = "fc" if net else "one_hidden"
    models = [build_net(architecture, D, 1, 1, seed=s, width=width, **net) for s in seeds for _ in alphas]
    nets, _ = stacked(models, dtype)
    inputs, signs = (t.repeat_interleave(len(alphas), 0) for t in (x, y))
    return Flow(nets, inputs, signs, torch.tensor(alphas, dtype=dtype).repeat(len(seeds)), tolerance)


def run(flow, until=1e9, seen=lambda flow: None):
    for _ in range(5000):
        which = (~(flow.met | flow.stuck) & (flow.state.time < until)).nonzero().flatten()
        if not len(which):
            return flow
        flow.advance(which, torch.full((len(which),), until, dtype=torch.float64))
        seen(flow)
    raise AssertionError("the flow did not come to its end")


def lam(weights):
    return torch.stack([torch.as_tensor(compression(w, range(1, D))) for w in weights]).double()


@pytest.mark.parametrize("alpha", [0.001, 1.0, 1000.0])
def test_every_margin_is_met_and_the_loss_never_grows(alpha):
    losses = []
    found = run(flow((alpha,)), seen=lambda f: losses.append((float(f.state.loss), float(f.state.time))))
    assert found.met.all() and (found.state.margins >= 1 - MET).all()
    assert all(b <= a * (1 + 1e-6) + 1e-6 for (a, _), (b, _) in itertools.pairwise(losses))
    assert losses[-1][0] < 1e-3


@pytest.mark.parametrize("alpha", [0.1, 100.0])
def test_halving_the_tolerance_changes_the_compression_by_less_than_one_percent(alpha):
    found = []
    for tolerance in (0.05, 0.025):
        one = run(flow((alpha,), seeds=range(6), P=64, width=200, tolerance=tolerance))
        found.append(lam(one.state.weights[0]).log().mean().exp())
    assert float(found[1]) == pytest.approx(float(found[0]), rel=0.01)


@pytest.mark.parametrize("scale", [1e200, float("nan")])
def test_a_flow_that_cannot_take_its_first_step_is_stuck(scale):
    good = flow()
    bad = run(Flow(good.nets, good.inputs * scale, good.signs, good.alpha, good.tolerance))
    assert bad.stuck.all() and not bad.met.any() and not bad.state.steps.any()


def test_it_is_the_flow_that_short_explicit_steps_follow():
    """dθ/dt = −∇L with autograd, by Euler's method, up to a time at which half of the loss is left."""
    ours = flow((0.3,), P=30, width=40, tolerance=0.005)
    until = 40.0
    weights = [w[0].clone() for w in ours.state.weights]
    model = build_net("one_hidden", D, 1, 1, seed=0, width=40).double()
    x, y = ours.inputs[0][..., None, None], ours.signs[0]
    parameters = list(model.parameters())
    initial, steps = model(x)[:, 0], 8000
    for _ in range(steps):
        with torch.enable_grad():
            margins = 0.3 * (model(x)[:, 0] - initial) * y
            gradients = torch.autograd.grad((1 - margins).clamp(min=0).mean() / 0.3**2, parameters)
        for p, g in zip(parameters, gradients, strict=True):
            p -= until / steps * g
    run(ours, until)
    loss = (1 - 0.3 * (model(x)[:, 0] - initial) * y).clamp(min=0).mean()
    assert 0.1 < float(loss) < 0.9
    torch.testing.assert_close(ours.state.margins[0], 0.3 * (model(x)[:, 0] - initial) * y, atol=0.02, rtol=0)
    for w, start, p in zip(ours.state.weights, weights, parameters, strict=True):
        moved = (p.view_as(start) - start).norm()
        assert (w[0] - p.view_as(start)).norm() < 0.02 * moved


def test_large_alpha_follows_the_linearised_model():
    """θ̇ of f(x; θ₀) + J(θ − θ₀): margins move by the tangent kernel at initialisation alone."""
    alpha, until = 1e4, 3000.0
    ours = flow((alpha,), P=25, width=100, tolerance=0.005)
    y, K = ours.signs[0], ours.nets.kernel(ours.inputs)[0]
    margins, steps = torch.zeros_like(y), 20000
    for _ in range(steps):
        margins += until / steps / len(y) * y * (K @ ((margins < 1).to(y) * y))
    run(ours, until)
    assert 0.05 < float((1 - margins).clamp(min=0).mean()) < 0.9
    torch.testing.assert_close(ours.state.margins[0], margins, atol=0.02, rtol=0)
    assert float(lam(ours.state.weights[0])) == pytest.approx(float(lam(ours.nets.parameters[0])), rel=1e-3)


def test_seeds_and_alphas_alone_and_together_agree():
    """To less than the tolerance: when a kernel is made anew is up to all of a stack."""
    alphas = (0.01, 1.0, 100.0)
    together = run(flow(alphas, seeds=range(2), P=24, tolerance=0.01))
    for k, alpha in enumerate(alphas * 2):
        seed = k // len(alphas)
        alone = flow((alpha,), seeds=range(seed, seed + 1), P=24)
        alone = Flow(alone.nets, together.inputs[k : k + 1], together.signs[k : k + 1], alone.alpha, 0.01)
        run(alone)
        for one, all_, start in zip(alone.state.weights, together.state.weights, alone.nets.parameters, strict=True):
            assert (one[0] - all_[k]).norm() < 1e-2 * (one[0] - start[0]).norm()


def test_nothing_compresses_where_labels_do_not_depend_on_the_input():
    """The same labels, that depend on x_∥ or on all inputs alike; λ is always that of x_∥."""
    compressed = lam(run(flow((0.01,), seeds=range(6), P=60, width=200)).state.weights[0])
    one = flow((0.01,), seeds=range(6), P=60, width=200)
    along = one.inputs.sum(-1) / D**0.5  # as normal as any of them
    one.signs.copy_(torch.where((along < -0.3) | (along > 1.18549), 1.0, -1.0))
    not_compressed = lam(run(one).state.weights[0])
    assert float(compressed.log().mean().exp()) > 4
    assert float(not_compressed.log().mean().exp()) == pytest.approx(1, abs=0.25)


def test_uninformative_inputs_may_change_places():
    """In law: means over seeds of λ, with x_⊥ in another order, differ by less than their spread allows."""
    found = []
    for order in ([0, 1, 2, 3], [0, 3, 1, 2]):
        one = flow((0.01,), seeds=range(12), P=40, width=100)
        one.inputs.copy_(one.inputs[..., order])
        found.append(lam(run(one).state.weights[0]).log().numpy())
    error = np.sqrt(sum(f.var(ddof=1) / len(f) for f in found))
    assert abs(found[0].mean() - found[1].mean()) < 3 * error
    # And exactly, where the weights change places with them.
    one, other = flow((0.01,), P=40), flow((0.01,), P=40)
    other.inputs.copy_(one.inputs[..., [0, 3, 1, 2]])
    other.state.weights[0].copy_(one.state.weights[0][..., [0, 3, 1, 2]])
    other.nets.parameters[0].copy_(other.state.weights[0])
    for f in (one, other):
        run(f, 30.0)
    torch.testing.assert_close(lam(one.state.weights[0]), lam(other.state.weights[0]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("depth", [2, 3])
def test_deeper_nets_follow_their_flow_too(depth):
    found = run(flow((0.1, 100.0), P=30, width=30, depth=depth))
    assert found.met.all()


def test_single_precision_does_on_a_cpu():
    single, double = (run(flow((0.1, 100.0), dtype=dtype)) for dtype in (torch.float32, torch.float64))
    assert single.met.all()
    torch.testing.assert_close(lam(single.state.weights[0]), lam(double.state.weights[0]), rtol=0.02, atol=0)


def at_fitted(P, seeds=range(1), alpha=1e-6, d=5, tolerance=0.05):
    """Flows on a stripe of d inputs, 200 neurons, each as it was at t*: λ, the share that meets the margin, t*, data."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for seed in seeds:
        x = torch.randn(1, P, d, generator=generator)
        y = torch.where((x[..., 0] < -0.3) | (x[..., 0] > 1.18549), 1.0, -1.0)
        nets, _ = stacked([build_net("one_hidden", d, 1, 1, seed=seed, width=200)], torch.float32)
        one = Flow(nets, x, y, torch.tensor([alpha]), tolerance)
        for _ in range(2000):
            if bool(one.state.fitted.isfinite()) or bool(one.stuck):
                break
            one.advance(torch.tensor([0]), torch.tensor([1e9], dtype=torch.float64))
        weights = one.state.weights[0][0]
        ratio = float(compression(weights, range(1, d)) / compression(nets.parameters[0][0], range(1, d)))
        found.append((ratio, float(one.meeting(one.state.margins)), float(one.state.fitted), (x[0], y[0])))
    return found


@pytest.mark.parametrize("P", [30, 64, 1000])
@pytest.mark.parametrize("alpha", [1e-6, 1.0, 100.0])
def test_t_star_is_met_to_within_one_sample(P, alpha):
    for _, share, time, _ in at_fitted(P, range(2), alpha):
        assert 0.1 < share <= 0.1 + 1 / P + 1e-9 and 0 < time < 1e9


def test_t_star_and_its_compression_do_not_depend_on_the_tolerance():
    (one,), (other,) = (at_fitted(256, tolerance=tolerance) for tolerance in (0.05, 0.0125))
    assert one[2] == pytest.approx(other[2], rel=0.03) and one[0] == pytest.approx(other[0], rel=0.03)


@pytest.mark.parametrize(("P", "expected"), [(64, 5.6), (256, 16), (1024, 34)])
def test_compression_at_t_star_is_that_of_another_implementation(P, expected):
    """One with explicit formulas in double precision: d = 5, geometric mean of 8 seeds."""
    logs = np.log([ratio for ratio, *_ in at_fitted(P, range(4))])
    error = np.sqrt(logs.var(ddof=1) * (1 / 4 + 1 / 8))
    assert abs(logs.mean() - np.log(expected)) < 3 * error


def test_compression_at_t_star_grows_as_the_root_of_p_and_nears_the_limit_of_small_alpha():
    sizes, seeds = [512, 2048, 8192], range(3)
    logs, limits = np.empty((3, 3)), np.empty((3, 3))
    for k, P in enumerate(sizes):
        for seed, (ratio, _, _, (x, y)) in zip(seeds, at_fitted(P, seeds), strict=True):
            fastest = fastest_growth(x, y, torch.Generator().manual_seed(seed))[None, :-1]
            logs[k, seed], limits[k, seed] = np.log(ratio), np.log(float(compression(fastest, range(1, 5))))
    slope = np.polyfit(np.log(sizes), logs.mean(1), 1)[0]
    assert 0.4 < slope < 0.65
    assert abs((logs - limits).mean()) < 0.25
    assert abs((limits.mean(1) - 0.5 * np.log(sizes)).mean() - np.log(0.95)) < 0.5
