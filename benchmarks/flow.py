"""Gradient flow in implicit steps over the same in explicit ones, and its nets one by one over all of them stacked.

The explicit method is Heun's, as it is usually written, with the error of its steps in the margins and in the weights
held to the same tolerance. Both follow the flow until every margin is met.
"""

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.timing import ratio, report
from relative_stability.nets import build_net
from relative_stability.training.gradient_flow.flow import Flow
from relative_stability.training.gradient_flow.tangent_kernel import stacked

D, TOLERANCE = 10, 0.05


def run() -> Iterator[str]:
    """Features are learnt (alpha = 0.001), or not (1000)."""
    with torch.no_grad():
        for alpha in (0.001, 1000.0):
            sides = partial(explicit, alpha), partial(implicit, [alpha], 1)
            found = ratio(*sides, rounds=3)
            yield report(f"explicit steps / implicit ones, P = 64, 500 neurons, alpha = {alpha:g}", found)
        for P, width in ((64, 100), (256, 1000)):
            sides = partial(one_by_one, P, width), partial(implicit, [0.001, 1000.0], 4, P, width)
            found = ratio(*sides, rounds=3)
            yield report(f"4 seeds at 2 alphas one by one / together, P = {P}, {width} neurons", found)


def flow(alphas: list[float], seeds: range, P: int, width: int) -> Flow:
    """Nets of these seeds at these alphas on a stripe, in single precision."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(seeds.stop, P, D, generator=generator)[seeds.start :].repeat_interleave(len(alphas), 0)
    y = torch.where((x[..., 0] < -0.3) | (x[..., 0] > 1.18549), 1.0, -1.0)
    models = [build_net("one_hidden", D, 1, 1, seed=seed, width=width) for seed in seeds for _ in alphas]
    nets, _ = stacked(models, torch.float32)
    return Flow(nets, x, y, torch.tensor(alphas).repeat(len(seeds)), TOLERANCE)


def implicit(alphas: list[float], seeds: int, P: int = 64, width: int = 500, first: int = 0) -> Flow:
    """The package's own, to the end."""
    found = flow(alphas, range(first, first + seeds), P, width)
    while len(which := (~(found.met | found.stuck)).nonzero().flatten()):
        found.advance(which, torch.full((len(which),), 1e12, dtype=torch.float64))
    return found


def one_by_one(P: int, width: int) -> None:
    """What `implicit` does together for four seeds at two alphas."""
    for seed in range(4):
        for alpha in (0.001, 1000.0):
            implicit([alpha], 1, P, width, first=seed)


def explicit(alpha: float) -> float:
    """Heun's method from the same start; returns the time at the end."""
    start = flow([alpha], range(1), 64, 500)
    nets, X, y, f0 = start.nets, start.inputs, start.signs, start.initial
    P = y.shape[1]

    def margins(weights: list[torch.Tensor]) -> torch.Tensor:
        return alpha * (nets.like(weights).outputs(X) - f0) * y

    def velocity(weights: list[torch.Tensor], m: torch.Tensor) -> list[torch.Tensor]:
        return [g / (alpha * P) for g in nets.like(weights).pull(X, (m < 1).float() * y)]

    def norm(tensors: list[torch.Tensor]) -> float:
        return float(sum(t.square().sum() for t in tensors) ** 0.5)

    weights, length, now = start.state.weights, float(start.first), 0.0
    m = margins(weights)
    v = velocity(weights, m)
    while bool((m < 1 - 1e-3).any()):
        euler = [w + length * g for w, g in zip(weights, v, strict=True)]
        half = margins(euler)
        after = velocity(euler, half)
        heun = [w + length / 2 * (g + k) for w, g, k in zip(weights, v, after, strict=True)]
        end = margins(heun)
        turn = length / 2 * norm([k - g for k, g in zip(after, v, strict=True)]) / norm(weights)
        error = max(float((end - half).square().mean().sqrt()), turn)
        if error <= TOLERANCE:
            weights, m, now = heun, end, now + length
            v = velocity(weights, m)
        length *= min(2.0, max(0.3, 0.9 * (TOLERANCE / max(error, 1e-9)) ** 0.5))
    return now
