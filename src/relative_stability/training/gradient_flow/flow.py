"""Gradient flow of the hinge loss, for M fully connected nets at once, in implicit steps as long as the flow allows.

    θ̇ = −∇L,   L = (1/α²P) Σ_i max(0, 1 − m_i),   m_i = α y_i (f(x_i; θ) − f(x_i; θ₀))

that is θ̇ = (1/αP) Jᵀ(a∘y) with a multiplier a_i for each sample: 1 below the margin, 0 above it. Where samples slide
along the margin, m_i = 1, a_i lies between, and an explicit step can only jump to and fro, and takes thousands of short
ones. Here a step of length h takes the multipliers of its end, to which they belong by the tangent kernel JJᵀ (backward
Euler in a: see multipliers.py), and the mean of J at its start and end (Heun's rule in J). The corner of the hinge is
rounded over δ = tolerance/10 of the margin, m_i = 1 − δ a_i, so that the kernel may be singular.

A step is taken if, in units of the margin (root of the mean square over samples) or of ‖θ‖, all of these are within the
tolerance, and the (rounded) loss has not grown:
- what changes if the multipliers are those of the start: ½ Q(a − a_before);
- how far the tangent kernel is off: m' less its prediction from J at the start;
- ½h ‖θ̇ with J at the end − θ̇ with J at the start‖ / ‖θ‖;
- by how much the multipliers, and samples that were taken to be far from the margin, miss their conditions.

The first time t* at which more than a tenth of the samples meet the margin, where Paccolat et al. 2020 read the
compression, is an event: a step that goes further is cut where the margins, were they to move evenly, meet it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from relative_stability.training.gradient_flow.multipliers import padded_indices, solve, taken, times, within
from relative_stability.training.gradient_flow.tangent_kernel import Stack

MET = 1e-3  # a margin is met within this
FITTED = 0.1  # the part of the samples that must meet the margin for t* to have come
STEEP = 1e-9  # of the time: a step this short is not cut for t*, however many samples meet the margin in it
ROUNDED = 0.1  # of the tolerance: the part of the margin over which the corner of the hinge is rounded
ACCURACY = 0.02  # of the tolerance: that of the multipliers
KERNEL_AGE = 0.1  # of the tolerance: how far weights may move, relative to their norm, until a kernel is too old
FAR = 3.0  # a sample further from the margin than this does not reach it in one step
AHEAD, ASIDE = 1.5, 0.1  # of the way that a sample is expected to go, and of the longest way
GROWTH, SHRINKAGE = 2.0, 0.2
VANISHED = 1e-13  # a step that is shorter than this part of the time gets nowhere


class State(NamedTuple):
    """Where the flow is, for M nets. weights: tensors (M, …); margins, multipliers, pace: (M, P); all else (M,).

    length: of the next step; pace: how fast the margins moved in the last one; steps: taken so far; fitted: t*, NaN
    before it has come; cut: the time at which it is expected, where a step went beyond it, else infinite.
    """

    weights: list[Tensor]
    margins: Tensor
    multipliers: Tensor
    loss: Tensor
    time: Tensor
    length: Tensor
    pace: Tensor
    steps: Tensor
    fitted: Tensor
    cut: Tensor

    def at(self, which: Tensor) -> "State":
        """Of some nets. which: (m,) indices."""
        weights, *rest = self
        return State([w[which] for w in weights], *(tensor[which] for tensor in rest))

    def set(self, which: Tensor, taken: Tensor, other: "State") -> None:
        """Take over some of `which` nets. taken: (m,) bool; other: of m nets."""
        weights, *rest = other
        for mine, new in zip([*self.weights, *self[1:]], [*weights, *rest], strict=True):
            mine[which[taken]] = new[taken]


class Kernel(NamedTuple):
    """The tangent kernel of some samples of some nets.

    which: (m,) nets; mask: (m, P) samples; weights: those that it was made at; matrix: y_i y_k ∂f_i·∂f_k of the samples
    in their order, (m, n, n), padded with zeros.
    """

    which: Tensor
    mask: Tensor
    weights: list[Tensor]
    matrix: Tensor

    def of(self, rows: Tensor) -> Tensor:
        """The part of these samples, (m, k)."""
        return within(self.matrix, (self.mask.cumsum(1) - 1).gather(1, rows).clamp(min=0))


class Flow:
    """M nets on their way. nets: initialised; inputs: (M, P, d); signs: y = ±1, (M, P); alpha: (M,)."""

    def __init__(self, nets: Stack, inputs: Tensor, signs: Tensor, alpha: Tensor, tolerance: float) -> None:
        self.nets, self.inputs, self.signs, self.alpha, self.tolerance = nets, inputs, signs, alpha, tolerance
        self.rounding = ROUNDED * tolerance
        self.initial = nets.outputs(inputs)
        self.kernel: Kernel | None = None
        zero, ones = torch.zeros_like(alpha, dtype=torch.float64), torch.ones_like(signs)
        weights = [w.clone() for w in nets.parameters]
        # The first step is as long as what it is to change within the tolerance allows, were nothing to bend.
        velocity = nets.pull(inputs, signs)
        slopes = _rms(nets.push(inputs, velocity)) / signs.shape[1]
        growth = _norm(velocity) / _norm(weights) / (alpha * signs.shape[1])
        self.first = tolerance / torch.maximum(slopes, growth).double()
        margins = torch.zeros_like(signs)
        self.state = State(
            weights, margins, ones, self._loss(margins), zero, self.first.clone(), torch.zeros_like(signs), zero.long(),
            torch.full_like(zero, torch.nan), torch.full_like(zero, torch.inf),
        )  # fmt: skip

    @property
    def met(self) -> Tensor:
        """Which nets have met every margin, (M,) bool."""
        return (self.state.margins >= 1 - MET).all(1)

    @property
    def stuck(self) -> Tensor:
        """Which nets get nowhere, as no step is short enough, (M,) bool."""
        return ~(self.state.length > VANISHED * torch.maximum(self.state.time, self.first))  # NaN: stuck

    def meeting(self, margins: Tensor) -> Tensor:
        """The part of the samples that meet the margin, (m,); those that slide along its rounded corner among them."""
        return (margins > 1 - self.rounding).double().mean(1)

    def advance(self, which: Tensor, until: Tensor) -> Tensor:
        """Try one step of these nets, (m,), none of them beyond its time `until`; returns which did, (m,) bool."""
        before = self.state.at(which)
        until = torch.minimum(until, before.cut)
        length = torch.minimum(before.length, until - before.time)
        after, error = self._attempt(which, before, length)
        accepted = (error <= self.tolerance) & (after.loss <= before.loss * (1 + 1e-6) + 1e-6)
        factor = 0.9 * (self.tolerance / error.clamp(min=1e-9)).sqrt().double()
        longer = length * factor.clamp(SHRINKAGE, GROWTH)
        longer = torch.where(length < before.length, torch.maximum(longer, before.length), longer)
        fits = before.fitted.isnan() & accepted & (self.meeting(after.margins) > FITTED)
        beyond = fits & (self.meeting(after.margins) > FITTED + 1 / after.margins.shape[1])
        beyond &= length > STEEP * before.time
        self.state.cut[which] = torch.where(beyond, before.time + length * self._share(before, after), torch.inf)
        accepted &= ~beyond
        time = torch.where(length < before.length, until, before.time + length)  # exactly, where it is to be met
        fitted = torch.where(fits, time, before.fitted)
        after = after._replace(
            time=time, length=longer, steps=before.steps + 1, fitted=fitted, cut=torch.full_like(before.cut, torch.inf)
        )
        self.state.set(which, accepted, after)
        shorter = length * factor.nan_to_num(nan=SHRINKAGE).clamp(SHRINKAGE, 0.5)
        failed = ~accepted & ~beyond
        self.state.length[which[failed]] = shorter[failed]
        if bool(failed.any()) and self.kernel is not None and not self._fresh(self.kernel, before.weights):
            self.kernel = None  # perhaps it was too old after all
        return accepted

    def _share(self, before: State, after: State) -> Tensor:
        """The part of a step after which more than FITTED of the samples meet the margin, were all to move evenly."""
        level = 1 - self.rounding
        met = (level - before.margins) / (after.margins - before.margins)
        met = torch.where(after.margins > level, met.clamp(0, 1), torch.inf)
        met = torch.where(before.margins > level, 0.0, met).double()
        needed = int(FITTED * met.shape[1]) + 1
        return met.kthvalue(needed, dim=1).values * (1 + STEEP)

    def _attempt(self, which: Tensor, at: State, length: Tensor) -> tuple[State, Tensor]:
        """Where a step of this length leads, and its error in units of the tolerance."""
        X, y, alpha, weights = self.inputs[which], self.signs[which], self.alpha[which], at.weights
        nets, share = self.nets.like(weights), (length / y.shape[1]).to(y)[:, None]
        way = at.pace * length[:, None].to(y)  # as far as each would go at its pace of the last step
        reach = (AHEAD * way + ASIDE * way.amax(1, keepdim=True) + self.tolerance).clamp(max=FAR)
        near = (at.margins - 1).abs() < reach
        rows, meant = padded_indices(near)
        a = (at.margins < 1).to(y)
        missed, lag = torch.zeros_like(alpha), torch.zeros_like(alpha)
        velocity = nets.pull(X, torch.where(near, 0.0, a) * y)  # of all that are far from the margin
        if rows.shape[1]:
            inputs, signs = taken(X, rows), y.gather(1, rows)
            drift = signs * nets.push(inputs, velocity) * share
            q = torch.where(meant, 1 - at.margins.gather(1, rows) - drift, -1.0).double()
            Q = self._curvature(self._kernel(which, nets, near).of(rows), meant, share)
            guess = torch.where(meant, at.multipliers.gather(1, rows), 0.0).double()
            held, missed = solve(Q, q, guess, ACCURACY * self.tolerance)
            lag = 0.5 * times(Q, held - guess).norm(dim=1) / y.shape[1] ** 0.5
            velocity = _moved(velocity, nets.pull(inputs, torch.where(meant, held, 0.0).to(y) * signs))
            a = a.scatter(1, rows, torch.where(meant, held.to(y), a.gather(1, rows)))
        step = (length / (alpha * y.shape[1])).to(y)
        end = self.nets.like(_moved(weights, velocity, step))
        there = end.pull(X, a * y)
        new = _moved(_moved(weights, velocity, step / 2), there, step / 2)
        margins = self._margins(which, new, X, y)
        bend = margins - at.margins - y * nets.push(X, velocity) * share
        turn = 0.5 * step * _norm(_moved(there, velocity, -torch.ones_like(step))) / _norm(weights)
        error = torch.stack([lag.to(y), _rms(bend), turn]).amax(0)
        if rows.shape[1] and bool((error <= self.tolerance).any()):
            # Once more, knowing where the margins came to be: or what slides would leave the margin.
            expected = 1 - q + times(Q, held) - self.rounding * held
            off = torch.where(meant, margins.gather(1, rows) - expected, 0.0)
            better, missed = solve(Q, q - off, held, ACCURACY * self.tolerance)
            change = torch.where(meant, better - held, 0.0).to(y) * signs
            for part in (nets.pull(inputs, change), end.pull(inputs, change)):
                new = _moved(new, part, step / 2)
            margins = self._margins(which, new, X, y)
            a = a.scatter(1, rows, torch.where(meant, better.to(y), a.gather(1, rows)))
        jumped = ~near & ((at.margins - 1) * (margins - 1) < 0)
        jump = torch.where(jumped, (margins - 1).abs() / 2, 0.0).amax(1)
        error = torch.stack([error, missed.to(y), jump]).amax(0).nan_to_num(nan=torch.inf)
        pace = (margins - at.margins).abs() / length[:, None].to(y)
        return at._replace(weights=new, margins=margins, multipliers=a, loss=self._loss(margins), pace=pace), error

    def _margins(self, which: Tensor, weights: Sequence[Tensor], X: Tensor, y: Tensor) -> Tensor:
        outputs = self.nets.like(weights).outputs(X) - self.initial[which]
        return self.alpha[which][:, None] * outputs * y

    def _kernel(self, which: Tensor, nets: Stack, near: Tensor) -> Kernel:
        """A kernel that has these samples; the former one while it serves."""
        old, weights = self.kernel, nets.parameters
        if old is not None and torch.equal(old.which, which):
            way = _norm([w - v for w, v in zip(weights, old.weights, strict=True)])
            young = bool((way <= KERNEL_AGE * self.tolerance * _norm(weights)).all())
            if young and not bool((near & ~old.mask).any()):
                return old
        self.kernel = self.make_kernel(which, weights, near)
        return self.kernel

    def _fresh(self, kernel: Kernel, weights: Sequence[Tensor]) -> bool:
        return all(torch.equal(w, v) for w, v in zip(weights, kernel.weights, strict=True))

    def make_kernel(self, which: Tensor, weights: Sequence[Tensor], mask: Tensor) -> Kernel:
        """The kernel of these samples, (m, P) bool, of these nets with these weights."""
        rows, meant = padded_indices(mask)
        signs = torch.where(meant, self.signs[which].gather(1, rows), 0.0)
        matrix = self.nets.like(weights).kernel(taken(self.inputs[which], rows))
        matrix.mul_(signs[:, :, None]).mul_(signs[:, None])
        return Kernel(which, mask, [w.clone() for w in weights], matrix)

    def _curvature(self, matrix: Tensor, meant: Tensor, share: Tensor) -> Tensor:
        """Q: how the multipliers move the margins over a step, (m, n, n), in double precision."""
        Q = torch.where(meant[:, :, None] & meant[:, None], matrix * share[:, :, None], 0.0).double()
        Q.diagonal(dim1=1, dim2=2).add_(torch.where(meant, self.rounding, 1.0))
        return Q

    def _loss(self, margins: Tensor) -> Tensor:
        """Mean of the rounded hinge, (M,): s²/2δ where s = 1 − m is between 0 and δ, s − δ/2 beyond."""
        s, delta = (1 - margins).clamp(min=0), self.rounding
        return torch.where(s < delta, s**2 / (2 * delta), s - delta / 2).mean(1)


def _moved(weights: Sequence[Tensor], by: Sequence[Tensor], step: Tensor | None = None) -> list[Tensor]:
    """weights + step · by. step: (m,), 1 where None."""
    if step is None:
        return [w + b for w, b in zip(weights, by, strict=True)]
    return [w + b * step.view(-1, *[1] * (b.ndim - 1)) for w, b in zip(weights, by, strict=True)]


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    """Of all tensors together, (m,)."""
    found: Tensor = torch.stack([t.flatten(1).norm(dim=1) for t in tensors]).norm(dim=0)
    return found


def _rms(values: Tensor) -> Tensor:
    """Root of the mean square over samples, (m,)."""
    found: Tensor = values.square().mean(1).sqrt()
    return found
