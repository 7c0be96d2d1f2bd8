import pytest
import torch

from relative_stability.training.compact import compress, decompress


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1.0, 1e6])
def test_a_change_of_any_size_is_kept_to_three_digits(size):
    """Of the change, not of the weight: what a lazy net has learnt is all in it."""
    generator = torch.Generator().manual_seed(0)
    initial = {"weight": torch.zeros(2, 50, 40, dtype=torch.float32), "bias": torch.zeros(2, 50)}
    change = {name: size * torch.randn(t.shape, generator=generator) for name, t in initial.items()}
    stored = {**{f"init/{n}": t for n, t in initial.items()}, **compress("step3", change, initial)}
    assert stored["step3/weight"].dtype == torch.float16
    for seed in range(2):
        found = decompress(stored, "step3", seed)
        assert set(found) == {"weight", "bias"}
        assert torch.equal(found["bias"], change["bias"][seed])
        error = (found["weight"] - change["weight"][seed]).abs().max()
        assert error <= change["weight"][seed].abs().max() / 2000


def test_nothing_changed_and_counters_survive():
    initial = {"weight": torch.randn(1, 3, 3), "steps": torch.tensor([7])}
    stored = {**{f"init/{n}": t for n, t in initial.items()}, **compress("step1", initial, initial)}
    found = decompress(stored, "step1", 0)
    assert torch.equal(found["weight"], initial["weight"][0]) and found["steps"] == 7


def test_it_takes_half_the_space():
    initial = {"weight": torch.zeros(1, 300, 300)}
    stored = compress("step1", {"weight": torch.ones(1, 300, 300)}, initial)
    assert sum(t.nbytes for t in stored.values()) < 0.51 * initial["weight"].nbytes
