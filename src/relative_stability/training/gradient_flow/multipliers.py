"""Which samples hold on to the margin, and how hard: the small problem inside every implicit step of the flow.

Over a step the margins become m' = m + Qa with 0 ≤ a ≤ 1 the multipliers of the samples: a = 1 where the margin stays
below 1, a = 0 where it ends above, and in between where the sample slides along 1. These are the conditions of
minimal ½aᵀQa − qᵀa in the box, with q = 1 − m.
"""

import torch
from torch import Tensor

ATTEMPTS = 7  # guesses of the active sets
POLISH = 3  # the same after the interior-point method
INTERIOR = 30  # steps of that at most


def padded_indices(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Where M masks are set, as indices (M, n) of the largest count n, and which of them are meant. mask: (M, P)."""
    most = int(mask.sum(1).max())
    order = mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
    return order, mask.gather(1, order)


def taken(samples: Tensor, rows: Tensor) -> Tensor:
    """These samples of each net. samples: (M, P, d); rows: (M, n)."""
    return samples.gather(1, rows[..., None].expand(-1, -1, samples.shape[2]))


def within(matrix: Tensor, rows: Tensor) -> Tensor:
    """The square part of each matrix, (M, n, n), at these rows and columns, (M, k)."""
    k = rows.shape[1]
    return taken(matrix, rows).gather(2, rows[:, None].expand(-1, k, -1))


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Qa for M of each."""
    return (matrix @ vector[..., None])[..., 0]


def solve(Q: Tensor, q: Tensor, a: Tensor, accuracy: float) -> tuple[Tensor, Tensor]:
    """The multipliers, (M, n), and by how much the worst of them misses its condition, (M,), in units of the margin.

    Q: (M, n, n), positive definite; a: a first guess. By active sets, which may run in circles where Q is nearly
    singular; and then by an interior-point method, from whose end the sets are found at once.
    """
    best, missed = _active_sets(Q, q, a, accuracy, ATTEMPTS)
    if bool((missed > accuracy).any()):
        found, left = _active_sets(Q, q, interior(Q, q, accuracy), accuracy, POLISH)
        better = (left < missed) & (missed > accuracy)
        best, missed = torch.where(better[:, None], found, best), torch.where(better, left, missed)
    return best, missed


def _active_sets(Q: Tensor, q: Tensor, a: Tensor, accuracy: float, attempts: int) -> tuple[Tensor, Tensor]:
    """A primal-dual active set method (Hintermüller, Ito & Kunisch 2002, SIAM J. Optim. 13, alg. 2).

    Guess which multipliers are 0, 1 and between, solve for those between, guess again.
    """
    c = 1 / Q.diagonal(dim1=1, dim2=2).mean(1, keepdim=True)
    best, r = a, q - times(Q, a)
    missed = residual(a, r)
    for _ in range(attempts):
        if bool((missed <= accuracy).all()):
            break
        up, low = a + c * r > 1, a + c * r < 0
        a = up.to(q)
        rows, meant = padded_indices(~(up | low))
        if rows.shape[1]:
            right = torch.where(meant, (q - times(Q, a)).gather(1, rows), 0.0)
            inner = torch.where(meant[:, :, None] & meant[:, None], within(Q, rows), 0.0)
            inner += torch.diag_embed((~meant).to(q))
            factor, _ = torch.linalg.cholesky_ex(inner)
            a = a.scatter_add(1, rows, torch.cholesky_solve(right[..., None], factor)[..., 0])
        inside = a.clamp(0, 1)
        r, rest = (q[..., None] - Q @ torch.stack([a, inside], -1)).unbind(-1)
        found = residual(inside, rest)
        better = (found < missed) & (missed > accuracy)  # what is done does not notice the others
        best, missed = torch.where(better[:, None], inside, best), torch.where(better, found, missed)
    return best, missed


def interior(Q: Tensor, q: Tensor, accuracy: float) -> Tensor:
    """The multipliers by an interior-point method (Mehrotra 1992, SIAM J. Optim. 2), slower, and never in circles.

    low and up are the multipliers of a ≥ 0 and a ≤ 1, whose products with a and 1 − a go to zero.
    """
    a, low, up = (torch.full_like(q, value) for value in (0.5, 1.0, 1.0))
    for _ in range(INTERIOR):
        gap = (a * low + (1 - a) * up).mean(1, keepdim=True) / 2
        force = q - times(Q, a) + low - up
        if bool(((gap < 0.1 * accuracy) & (force.abs().amax(1, keepdim=True) < 0.1 * accuracy)).all()):
            break
        factor, _ = torch.linalg.cholesky_ex(Q + torch.diag_embed(low / a + up / (1 - a)))
        way = _direction(factor, force, a, low, up, torch.zeros_like(a), torch.zeros_like(a))
        t = _room(a, low, up, *way)
        ahead = ((a + t * way[0]) * (low + t * way[1]) + (1 - a - t * way[0]) * (up + t * way[2])).mean(1, keepdim=True)
        aim = gap * (ahead / 2 / gap) ** 3
        way = _direction(factor, force, a, low, up, aim - way[0] * way[1], aim + way[0] * way[2])
        t = 0.99 * _room(a, low, up, *way)
        a, low, up = a + t * way[0], low + t * way[1], up + t * way[2]
    return torch.where(low > a, 0.0, torch.where(up > 1 - a, 1.0, a))


def _direction(
    factor: Tensor, force: Tensor, a: Tensor, low: Tensor, up: Tensor, at_low: Tensor, at_up: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Newton's step in a, low and up towards products a·low = at_low and (1 − a)·up = at_up."""
    right = force + (at_low / a - low) - (at_up / (1 - a) - up)
    da = torch.cholesky_solve(right[..., None], factor)[..., 0]
    return da, (at_low - low * da) / a - low, (at_up + up * da) / (1 - a) - up


def _room(a: Tensor, low: Tensor, up: Tensor, da: Tensor, dl: Tensor, du: Tensor) -> Tensor:
    """How far one may go until one of a, 1 − a, low, up is zero, at most 1; (M, 1)."""
    pairs = ((a, da), (1 - a, -da), (low, dl), (up, du))
    return torch.stack([torch.where(d < 0, -x / d, torch.inf).amin(1) for x, d in pairs]).amin(0).clamp(max=1)[:, None]


def residual(a: Tensor, r: Tensor) -> Tensor:
    """By how much the conditions are missed at most, (M,). r = q − Qa = 1 − m', (M, n)."""
    missed = torch.where(a <= 0, r.clamp(min=0), torch.where(a >= 1, (-r).clamp(min=0), r.abs()))
    return missed.amax(1) if missed.shape[1] else missed.sum(1)
