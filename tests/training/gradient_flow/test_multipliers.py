import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear

from relative_stability.training.gradient_flow import multipliers
from relative_stability.training.gradient_flow.multipliers import padded_indices, residual, solve, times


def problems(count, n, rank, seed, rounding=1e-2):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(count, n, rank, generator=generator, dtype=torch.float64)
    Q = A @ A.mT / rank + rounding * torch.eye(n, dtype=torch.float64)
    return Q, torch.randn(count, n, generator=generator, dtype=torch.float64) + 0.5


@pytest.mark.parametrize("rank", [3, 30, 200])
@pytest.mark.parametrize("method", ["both", "interior"])
def test_the_multipliers_are_those_of_a_bounded_least_squares_solver(rank, method, monkeypatch):
    """½aᵀQa − qᵀa = ½‖La − b‖² + const with LᵀL = Q and Lᵀb = q."""
    Q, q = problems(3, 30, rank, seed=rank)
    if method == "interior":
        monkeypatch.setattr(multipliers, "ATTEMPTS", 0)
    found, _ = solve(Q, q, torch.zeros_like(q), 1e-8)
    for k in range(3):
        L = np.linalg.cholesky(Q[k].numpy()).T
        expected = lsq_linear(L, np.linalg.solve(L.T, q[k].numpy()), bounds=(0, 1), tol=1e-14)
        np.testing.assert_allclose(found[k], expected.x, atol=1e-6)


def test_what_is_said_to_be_missed_is_missed(monkeypatch):
    """Also where the active set runs in circles, and the interior-point method has to help."""
    Q, q = problems(4, 60, 4, seed=0, rounding=2e-3)
    for attempts in (0, 7):
        monkeypatch.setattr(multipliers, "ATTEMPTS", attempts)
        a, missed = solve(Q, q, torch.zeros_like(q), 1e-3)
        assert ((a >= 0) & (a <= 1)).all()
        torch.testing.assert_close(missed, residual(a, q - times(Q, a)))
        assert (missed <= 5e-3).all()


def test_a_problem_does_not_notice_its_neighbours():
    Q, q = problems(3, 20, 5, seed=1)
    whole, _ = solve(Q, q, torch.zeros_like(q), 1e-9)
    for k in range(3):
        torch.testing.assert_close(solve(Q[k : k + 1], q[k : k + 1], torch.zeros(1, 20).double(), 1e-9)[0][0], whole[k])


def test_masks_are_packed_in_order():
    rows, meant = padded_indices(torch.tensor([[False, True, False, True], [False, False, True, False]]))
    assert rows[0].tolist() == [1, 3] and rows[1, 0] == 2 and meant.tolist() == [[True, True], [True, False]]
    assert padded_indices(torch.zeros(2, 5, dtype=torch.bool))[0].shape == (2, 0)
