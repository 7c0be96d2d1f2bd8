import math

import pytest
import torch

import relative_stability as rs
from relative_stability.perturbations.diffeomorphism import field, folded, rms_displacement

FIELDS = 4000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def modes(cut):
    return [(i, j) for i in range(1, cut + 1) for j in range(1, cut + 1) if i * i + j * j <= cut * cut]


@pytest.mark.parametrize("cut", [2, 3, 5])
def test_variance_at_a_point_is_the_sum_over_modes(cut):
    n, temperature, (x, y) = 16, 1e-3, (5, 9)
    field = rs.sample_displacement(n, cut, temperature, FIELDS, generator())[:, :, y, x].double()
    u, v = x / (n - 1), y / (n - 1)
    expected = (
        n**2
        * temperature
        * sum((math.sin(i * math.pi * u) * math.sin(j * math.pi * v)) ** 2 / (i * i + j * j) for i, j in modes(cut))
    )
    standard_error = expected * math.sqrt(2 / FIELDS)
    for component in (0, 1):
        assert abs(field[:, component].var() - expected) < 3 * standard_error
    assert abs(torch.corrcoef(field.T)[0, 1]) < 3 / math.sqrt(FIELDS)


@pytest.mark.parametrize("cut", [3, 5])
def test_deformation_amplitude_is_the_sum_over_modes(cut):
    """⟨‖∇τ‖²⟩ = (π²/2) T N_c, the gradient taken by finite differences on a fine grid."""
    n, temperature, count = 129, 1e-3, 400
    field = rs.sample_displacement(n, cut, temperature, count, generator(1)).double() / n
    step = 1 / (n - 1)
    squares = sum((torch.diff(field, dim=d)[..., :128, :128] / step) ** 2 for d in (2, 3))
    amplitude = squares.sum(1).mean((1, 2))
    expected = math.pi**2 / 2 * temperature * len(modes(cut))
    assert abs(amplitude.mean() - expected) < 3 * amplitude.std() / math.sqrt(count) + 0.01 * expected


@pytest.mark.parametrize("cut", [3, 5])
def test_rms_displacement_is_that_of_the_fields(cut):
    n = 28
    temperature = rs.temperature(1.0, n, cut)
    squares = (rs.sample_displacement(n, cut, temperature, FIELDS, generator(3)).double() ** 2).sum(1).mean((1, 2))
    expected = rms_displacement(temperature, n, cut) ** 2
    assert abs(squares.mean() - expected) < 3 * squares.std() / math.sqrt(FIELDS)
    closed = (n - 1) / n * n * math.sqrt(temperature / 2 * sum(1 / (i * i + j * j) for i, j in modes(cut)))
    assert rms_displacement(temperature, n, cut) == pytest.approx(closed, rel=1e-6)


def test_fields_vanish_on_the_border_and_at_temperature_zero():
    field = rs.sample_displacement(16, 3, 1e-2, 5, generator())
    border = torch.cat([field[..., 0, :], field[..., -1, :], field[..., :, 0], field[..., :, -1]])
    assert torch.equal(border, torch.zeros_like(border))
    assert field.abs().max() > 0.1
    assert torch.equal(rs.sample_displacement(16, 3, 0.0, 2), torch.zeros(2, 2, 16, 16))


def test_same_generator_same_fields_other_seed_other_fields():
    a, b, c = (rs.sample_displacement(16, 3, 1e-3, 2, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.allclose(a, c)


@pytest.mark.parametrize(("cut", "ratio", "centre"), [(3, 0.81, 1.27), (5, 0.83, 1.15), (15, 0.86, 1.08)])
def test_rounded_modes_are_those_of_the_papers_code(cut, ratio, centre):
    """Root mean square over nominal displacement, over 28 pixels and at the centre, at the paper's cuts."""
    n, kept = 28, [(i, j) for i in range(1, 20) for j in range(1, 20) if math.sqrt(i * i + j * j) < cut + 0.5]
    found = rms_displacement(rs.temperature(1, n, cut), n, cut, "rounded")
    assert found == pytest.approx(ratio, abs=0.006)
    middle = sum((math.sin(i * math.pi / 2) * math.sin(j * math.pi / 2)) ** 2 / (i * i + j * j) for i, j in kept)
    assert math.sqrt(2 * n**2 * rs.temperature(1, n, cut) * middle) == pytest.approx(centre, abs=0.02)
    fields = rs.sample_displacement(64, cut, rs.temperature(1, 64, cut), 400, generator(), modes="rounded")
    expected = rms_displacement(rs.temperature(1, 64, cut), 64, cut, "rounded")
    assert float(fields.square().sum(1).mean().sqrt()) == pytest.approx(expected, rel=0.05)


def test_rounded_keeps_six_modes_where_the_formula_keeps_four():
    from relative_stability.perturbations.diffeomorphism import field

    everything = torch.eye(9).view(9, 1, 3, 3).expand(9, 2, 3, 3).contiguous()
    for modes, count in (("disc", 4), ("rounded", 6)):
        assert int((field(everything, 16, modes).abs().amax((1, 2, 3)) > 0).sum()) == count


def test_a_field_folds_where_its_gradient_exceeds_one():
    x = torch.arange(16.0).expand(16, 16)
    stretched, folded_over = torch.zeros(2, 2, 16, 16)[0], torch.zeros(2, 16, 16)
    stretched[0], folded_over[0] = 0.9 * x, 1.1 * x
    assert folded(torch.stack([stretched, folded_over])).tolist() == [False, True]
    low, high = rs.temperature_range(32, 3)
    share = [float(folded(rs.sample_displacement(32, 3, t, 500, generator())).float().mean()) for t in (low, 16 * high)]
    assert share[0] == 0 and share[1] > 0.95


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: rs.sample_displacement(16, 15, 1e-3, 1), "cut = 15 is too high for images of 16 pixels"),
        (lambda: rs.sample_displacement(16, 3, -1.0, 1), "temperature = -1.0 is refused"),
        (lambda: rs.sample_displacement(16, 3, float("nan"), 1), "temperature = nan is refused"),
        (lambda: rs.sample_displacement(16, 3, 1e-3, 1, modes="square"), "known: disc, rounded"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(rs.InputError, match=sentence):
        call()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_field_that_was_drawn_in_inference_mode_leaves_gradients_alone(dtype):
    with torch.inference_mode():
        field(torch.randn(2, 2, 3, 3, dtype=dtype), 13)
    coefficients = torch.randn(2, 2, 3, 3, dtype=dtype, requires_grad=True)
    field(coefficients, 13).sum().backward()
    assert coefficients.grad.abs().sum() > 0
