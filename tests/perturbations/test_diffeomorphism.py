import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

import relative_stability as rs
from relative_stability.perturbations.diffeomorphism import rms_displacement

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
        assert abs(field[:, component].var() - expected) < 4 * standard_error
    assert abs(torch.corrcoef(field.T)[0, 1]) < 4 / math.sqrt(FIELDS)


@pytest.mark.parametrize("cut", [3, 5])
def test_deformation_amplitude_is_the_sum_over_modes(cut):
    """⟨‖∇τ‖²⟩ = (π²/2) T N_c, the gradient taken by finite differences on a fine grid."""
    n, temperature, count = 129, 1e-3, 400
    field = rs.sample_displacement(n, cut, temperature, count, generator(1)).double() / n
    step = 1 / (n - 1)
    squares = sum((torch.diff(field, dim=d)[..., :128, :128] / step) ** 2 for d in (2, 3))
    amplitude = squares.sum(1).mean((1, 2))
    expected = math.pi**2 / 2 * temperature * len(modes(cut))
    assert abs(amplitude.mean() - expected) < 4 * amplitude.std() / math.sqrt(count) + 0.01 * expected


@pytest.mark.parametrize("cut", [3, 5])
def test_rms_displacement_is_that_of_the_fields(cut):
    n = 28
    temperature = rs.temperature(1.0, n, cut)
    squares = (rs.sample_displacement(n, cut, temperature, FIELDS, generator(3)).double() ** 2).sum(1).mean((1, 2))
    expected = rms_displacement(temperature, n, cut) ** 2
    assert abs(squares.mean() - expected) < 4 * squares.std() / math.sqrt(FIELDS)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_deform_agrees_with_scipy(images, dtype):
    images = images.to(dtype)
    field = rs.sample_displacement(16, 3, rs.temperature(2, 16, 3), len(images), generator(4)).to(dtype)
    rows, columns = np.mgrid[:16, :16]
    for image, (dx, dy), deformed in zip(images, field.numpy(), rs.deform(images, field), strict=True):
        for channel, ours in zip(image.numpy(), deformed.numpy(), strict=True):
            theirs = map_coordinates(channel, [rows - dy, columns - dx], order=1, mode="nearest")
            np.testing.assert_allclose(ours, theirs, atol=2e-5 if dtype == torch.float32 else 1e-10)


def test_integer_displacement_is_a_shift_inside_the_image(images):
    field = torch.zeros(1, 2, 16, 16)
    field[:, 0], field[:, 1] = 2, 1  # 2 to the right, 1 down
    deformed = rs.deform(images, field)
    torch.testing.assert_close(deformed[..., 1:, 2:], images[..., :-1, :-2], atol=1e-5, rtol=0)
    torch.testing.assert_close(deformed[..., 0, 5], images[..., 0, 3], atol=1e-5, rtol=0)  # clamped at the border


def test_a_ramp_is_deformed_exactly():
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    field = rs.sample_displacement(16, 3, rs.temperature(1, 16, 3), 1, generator())
    expected = (ramp[:, 0] - field[:, 0]).clamp(0, 15)
    torch.testing.assert_close(rs.deform(ramp, field)[:, 0], expected, atol=1e-5, rtol=0)


def test_zero_displacement_changes_nothing(images):
    torch.testing.assert_close(rs.deform(images, torch.zeros(1, 2, 16, 16)), images, atol=1e-5, rtol=1e-5)


def test_deform_is_differentiable_in_image_and_field():
    image = torch.randn(1, 1, 5, 5, dtype=torch.float64, generator=generator(), requires_grad=True)
    field = (0.3 * torch.randn(1, 2, 5, 5, dtype=torch.float64, generator=generator(1))).requires_grad_()
    assert torch.autograd.gradcheck(rs.deform, (image, field))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: rs.sample_displacement(16, 15, 1e-3, 1), "cut = 15 is too high for images of 16 pixels"),
        (lambda: rs.sample_displacement(16, 3, -1.0, 1), "temperature = -1.0 is refused"),
        (lambda: rs.sample_displacement(16, 3, float("nan"), 1), "temperature = nan is refused"),
        (
            lambda: rs.deform(torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 4, 4)),
            r"\(batch, C, n, n\) is needed",
        ),
        (lambda: rs.deform(torch.zeros(3, 1, 4, 4), torch.zeros(2, 2, 4, 4)), "does not fit images"),
        (lambda: rs.deform(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4), "cubic"), "known: bilinear"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(rs.InputError, match=sentence):
        call()
