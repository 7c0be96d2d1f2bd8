import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

import relative_stability as rs
from relative_stability.perturbations.interpolation import INTERPOLATIONS, SIGMA


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def field(images):
    return rs.sample_displacement(16, 3, rs.temperature(2, 16, 3), len(images), generator(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bilinear_agrees_with_scipy(images, field, dtype):
    images, field = images.to(dtype), field.to(dtype)
    rows, columns = np.mgrid[:16, :16]
    for image, (dx, dy), deformed in zip(images, field.numpy(), rs.deform(images, field), strict=True):
        for channel, ours in zip(image.numpy(), deformed.numpy(), strict=True):
            theirs = map_coordinates(channel, [rows - dy, columns - dx], order=1, mode="nearest")
            np.testing.assert_allclose(ours, theirs, atol=2e-5 if dtype == torch.float32 else 1e-10)


def test_gaussian_is_the_weighted_mean_over_all_pixels(images, field):
    """The formula with every pixel of the image, where the code stops at those that matter."""
    images, field = images[:3].double(), field[:3].double()
    p = torch.arange(16.0, dtype=torch.float64)
    x = (p - field[:, 0]).clamp(0, 15)
    y = (p[:, None] - field[:, 1]).clamp(0, 15)
    weights = torch.exp(-((x[..., None, None] - p) ** 2 + (y[..., None, None] - p[:, None]) ** 2) / (2 * SIGMA**2))
    weights /= weights.sum((-1, -2), keepdim=True)
    expected = torch.einsum("bcij,byxij->bcyx", images, weights)
    torch.testing.assert_close(rs.deform(images, field, "gaussian"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_integer_displacement_is_a_shift_inside_the_image(images, interpolation):
    field = torch.zeros(1, 2, 16, 16)
    still = rs.deform(images, field, interpolation)
    field[:, 0], field[:, 1] = 2, 1  # 2 to the right, 1 down
    moved = rs.deform(images, field, interpolation)
    torch.testing.assert_close(moved[..., 4:-3, 5:-3], still[..., 3:-4, 3:-5], atol=1e-5, rtol=0)
    if interpolation == "bilinear":
        torch.testing.assert_close(still, images, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(moved[..., 0, 5], images[..., 0, 3], atol=1e-5, rtol=0)  # clamped at the border


def test_a_ramp_is_deformed_exactly():
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    field = rs.sample_displacement(16, 3, rs.temperature(1, 16, 3), 1, generator())
    expected = (ramp[:, 0] - field[:, 0]).clamp(0, 15)
    torch.testing.assert_close(rs.deform(ramp, field)[:, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_constant_image_stays_constant(field, interpolation):
    torch.testing.assert_close(rs.deform(torch.ones(12, 1, 16, 16), field, interpolation), torch.ones(12, 1, 16, 16))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_deform_is_differentiable_in_image_and_field(interpolation):
    image = torch.randn(1, 1, 5, 5, dtype=torch.float64, generator=generator(), requires_grad=True)
    field = (0.3 * torch.randn(1, 2, 5, 5, dtype=torch.float64, generator=generator(1))).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t: rs.deform(x, t, interpolation), (image, field))


def test_one_field_serves_all_images(images):
    field = rs.sample_displacement(16, 3, rs.temperature(1, 16, 3), 1, generator())
    torch.testing.assert_close(rs.deform(images, field), rs.deform(images, field.expand(12, 2, 16, 16)))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: rs.deform(torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 4, 4)), r"\(batch, C, n, n\) is needed"),
        (lambda: rs.deform(torch.zeros(3, 1, 4, 4), torch.zeros(2, 2, 4, 4)), "does not fit images"),
        (lambda: rs.deform(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4), "cubic"), "known: bilinear, gaussian"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(rs.InputError, match=sentence):
        call()


def test_sigma_is_that_of_the_paper():
    # A pixel's direct neighbour weighs about a tenth of it, and one two pixels away a ten-thousandth.
    assert math.exp(-1 / (2 * SIGMA**2)) == pytest.approx(0.105, abs=0.001)
