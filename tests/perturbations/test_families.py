"""Every family, through the one interface."""

import math
import re

import pytest
import torch
from scipy import ndimage

import relative_stability as rs
from relative_stability import InputError
from relative_stability.perturbations import DISPLACING, FAMILIES, GEOMETRIC, MAGNITUDES, build_perturbation
from relative_stability.perturbations.base import Perturbation, probes

OPTIONS = {"subspace": {"directions": (1, 4, 7)}}
CASES = [(name, {}) for name in sorted(FAMILIES)] + [(name, {"interpolation": "gaussian"}) for name in GEOMETRIC]


@pytest.fixture(params=CASES, ids=lambda case: " ".join([case[0], *case[1].values()]))
def family(request):
    name, options = request.param
    return build_perturbation(name, **OPTIONS.get(name, {}), **options)


def drawn(family, images, seed=0):
    return family.prepare(probes(family, tuple(images.shape[1:]), seed, range(len(images))), images)


def perturbed(family, images, magnitude, seed=0):
    return family.apply(images, drawn(family, images, seed), magnitude)


def test_magnitude_zero_changes_nothing(family, images):
    """The limit is the family's own reference: the image, or with Gaussian interpolation the blurred one."""
    for small in (0.0, 1e-6):
        torch.testing.assert_close(perturbed(family, images, small), family.reference(images), atol=1e-4, rtol=1e-4)


def test_larger_magnitudes_change_more_and_leave_the_input_alone(family, images):
    before = images.clone()
    small, large = ((perturbed(family, images, m) - family.reference(images)).norm() for m in (0.02, 0.3))
    assert 0 < small < large
    assert torch.equal(images, before)


def test_an_image_is_changed_the_same_way_in_any_company(family, images):
    """The probe k depends on (seed, k) alone."""
    whole = perturbed(family, images, 0.3)
    shape = tuple(images.shape[1:])
    alone = family.apply(images[5:6], family.prepare(probes(family, shape, 0, range(5, 6)), images[5:6]), 0.3)
    torch.testing.assert_close(alone[0], whole[5])
    assert not torch.allclose(perturbed(family, images, 0.3, seed=1), whole)


def test_every_image_gets_a_change_of_its_own(family):
    same = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0)).expand(12, -1, -1, -1)
    changed = perturbed(family, same.contiguous(), 0.3)
    different = len({tuple(image.flatten()[:40].tolist()) for image in changed})
    assert different == (2 if family.name in ("rotation", "scaling") else 12)  # these two have but two signs


def test_units_and_magnitude_are_named(family):
    assert family.units and family.magnitude_name in MAGNITUDES
    assert (family.name in DISPLACING) == (family.magnitude_name == "displacement")


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_magnitudes_that_are_not_positive_are_refused(family, bad):
    with pytest.raises(InputError, match="is refused: a finite number > 0 is needed"):
        family.check((2, 16, 16), (bad,))


@pytest.mark.parametrize("name", GEOMETRIC)
def test_pixels_move_as_far_as_the_family_says(name):
    """An image whose two channels are the coordinates shows where each pixel came from, away from the border."""
    n, count = 32, 400
    family, magnitude = build_perturbation(name), {"rotation": 3.0, "scaling": 0.05}.get(name, 1.0)
    y, x = torch.meshgrid(torch.arange(n, dtype=torch.float64), torch.arange(n, dtype=torch.float64), indexing="ij")
    images = torch.stack([x, y]).expand(count, 2, n, n)
    field, scale = family.displacement(drawn(family, images), magnitude, n)
    field = (scale * field).movedim(-1, 1).expand(count, 2, n, n)
    assert float(field.square().sum(1).mean().sqrt()) == pytest.approx(family.rms_displacement(magnitude, n), rel=0.03)
    came_from = perturbed(family, images, magnitude)
    inside = (..., slice(5, -5), slice(5, -5))
    torch.testing.assert_close(came_from[inside], (images - field)[inside])


def test_translation_by_whole_pixels_is_a_shift():
    family = build_perturbation("translation")
    images = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    right = torch.tensor([[[[1.0, 0.0]]]])
    moved = family.apply(images, right, 3.0)
    torch.testing.assert_close(moved[..., 3:], images[..., :-3], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[..., :3], images[..., :1].expand(1, 1, 16, 3), atol=1e-5, rtol=0)


def test_translation_goes_every_way_alike():
    directions = probes(build_perturbation("translation"), (1, 8, 8), 0, range(2000))
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(2000))
    assert directions.mean(0).abs().max() < 4 / math.sqrt(2 * 2000)
    assert abs(float((directions[:, 0] ** 2).mean()) - 0.5) < 4 * math.sqrt(1 / 8 / 2000)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rotation_agrees_with_scipy(sign):
    n = 21
    image = torch.randn(1, 1, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = build_perturbation("rotation").apply(image, torch.tensor([sign], dtype=torch.float64), 20.0)
    theirs = ndimage.rotate(image[0, 0].numpy(), -sign * 20.0, reshape=False, order=1, mode="nearest")
    torch.testing.assert_close(ours[0, 0], torch.from_numpy(theirs), atol=1e-9, rtol=0)


def test_a_quarter_turn_is_exact():
    image = torch.randn(1, 1, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = build_perturbation("rotation").apply(image, torch.tensor([1.0]).double(), 90.0)
    assert any(torch.allclose(turned, torch.rot90(image, k, (2, 3))) for k in (1, 3))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_scaling_is_that_of_a_ramp_about_the_centre(sign):
    n, factor = 17, math.exp(sign * 0.3)
    ramp = (torch.arange(n, dtype=torch.float64) - 8).expand(1, 1, n, n)
    scaled = build_perturbation("scaling").apply(ramp, torch.tensor([sign], dtype=torch.float64), 0.3)
    torch.testing.assert_close(scaled, (ramp / factor).clamp(-8, 8))


@pytest.mark.parametrize(
    ("name", "magnitude", "sentence"),
    [
        ("translation", 9.0, r"displacement 9 lies outside the useful range of 0 to 8 \(pixel\)"),
        ("rotation", 181.0, r"angle 181 lies outside the useful range of 0 to 180 \(degree\)"),
        ("scaling", 0.7, r"log_scale 0\.7 lies outside the useful range of 0 to 0\.6931 \(1\)"),
    ],
)
def test_magnitudes_beyond_what_makes_sense_warn(name, magnitude, sentence):
    (found,) = build_perturbation(name).check((1, 16, 16), (magnitude,))
    assert re.search(sentence, found)
    assert build_perturbation(name).check((1, 16, 16), (0.5,)) == []


def test_images_that_are_not_square_are_refused_by_what_moves_pixels():
    for name in GEOMETRIC:
        with pytest.raises(InputError, match=f"images of 8×9 pixels cannot take a {name}"):
            build_perturbation(name).check((1, 8, 9), (1.0,))
    assert build_perturbation("noise").check((1, 8, 9), (1.0,)) == []


def test_noise_has_the_norm_asked_for(images):
    changes = perturbed(build_perturbation("noise"), images, 2.5) - images
    torch.testing.assert_close(changes.flatten(1).norm(dim=1), torch.full((12,), 2.5))


def test_subspace_moves_its_directions_alone_with_the_magnitude_as_standard_deviation():
    many = torch.zeros(4000, 9, 1, 1)
    changes = perturbed(build_perturbation("subspace", directions=(1, 4, 7)), many, 0.5).flatten(1)
    still = [0, 2, 3, 5, 6, 8]
    assert torch.equal(changes[:, still], torch.zeros(4000, 6))
    torch.testing.assert_close(changes[:, [1, 4, 7]].std(0), torch.full((3,), 0.5), atol=0.025, rtol=0)


def test_unknown_family_gets_the_list():
    with pytest.raises(InputError, match=r"did you mean 'diffeomorphism'\? Known: diffeomorphism, noise, rotation"):
        build_perturbation("difeomorphism")


def test_subspace_without_directions_is_refused():
    with pytest.raises(InputError, match="names none"):
        build_perturbation("subspace", directions=()).check((3, 1, 1), (1.0,))


def test_a_family_of_ones_own_is_measured(images):
    class Brightness(Perturbation):
        """x + m: every pixel brighter or darker."""

        name = "brightness"
        magnitude_name = "magnitude"
        units = "input units"

        def draw(self, generator, image_shape):
            return torch.randint(2, (1, 1, 1), generator=generator) * 2.0 - 1

        def apply(self, images, prepared, magnitude):
            return images + magnitude * prepared

    def variance(x):
        return x.flatten(1).var(1, keepdim=True)

    result = rs.measure(variance, images, Brightness(), magnitude=[0.1, 1])
    assert result.R.dims == ("magnitude",)
    assert (result.R < 1e-9).all()  # blind to brightness
    assert result.attrs["perturbation"] == "brightness"
