"""Every family, through the one interface."""

import pytest
import torch

from relative_stability import InputError
from relative_stability.perturbations import NAMES, build_perturbation
from relative_stability.randomness import generator

OPTIONS = {"subspace": {"directions": (1, 4, 7)}}


@pytest.fixture(params=sorted(NAMES))
def family(request):
    return build_perturbation(request.param, **OPTIONS.get(request.param, {}))


def perturbed(family, images, magnitude):
    draws = torch.stack([family.draw(generator(0, k), tuple(images.shape[1:])) for k in range(len(images))])
    return family.apply(images, family.prepare(draws, images), magnitude)


def test_magnitude_zero_changes_nothing(family, images):
    torch.testing.assert_close(perturbed(family, images, 0.0), images, atol=1e-5, rtol=1e-5)


def test_larger_magnitudes_change_more_and_leave_the_input_alone(family, images):
    before = images.clone()
    small, large = ((perturbed(family, images, m) - images).norm() for m in (0.1, 1.0))
    assert 0 < small < large
    assert torch.equal(images, before)


def test_units_and_magnitude_are_named(family):
    assert family.units and family.magnitude_name


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_magnitudes_that_are_not_positive_are_refused(family, bad):
    with pytest.raises(InputError, match="is refused: a finite number > 0 is needed"):
        family.check((2, 16, 16), (bad,))


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
    with pytest.raises(InputError, match=r"did you mean 'diffeomorphism'\? Known: diffeomorphism, noise, subspace"):
        build_perturbation("difeomorphism")


def test_subspace_without_directions_is_refused():
    with pytest.raises(InputError, match="names none"):
        build_perturbation("subspace", directions=()).check((3, 1, 1), (1.0,))
