"""R again and again: the number of `measure`, and one that gradients can lower."""

import pytest
import torch
from torch import nn

import relative_stability as rs

IMAGES = torch.randn(40, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def small(normalised=False):
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(1, 4, 3),
        *([nn.BatchNorm2d(4)] if normalised else []),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(784, 3),
    ]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("rule", ["auto", "running", "batch", "clean"])
def test_it_is_what_measure_finds(rule):
    net = small(normalised=True)
    found = rs.RelativeStability(IMAGES, displacement=0.8, seed=3, batch_norm=rule)(net)
    expected = rs.measure(net, IMAGES, displacement=0.8, seed=3, batch_norm=rule).R.item()
    assert found.item() == pytest.approx(expected, rel=1e-5) and not found.requires_grad


def test_the_net_is_as_it_was_and_training_changes_the_number():
    net, R = small(normalised=True).train(), rs.RelativeStability(IMAGES)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    first = R(net)
    assert net.training and all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    assert R(net) == first
    with torch.no_grad():
        net[0].weight.add_(1)
    assert R(net) != first


def test_a_step_down_its_gradient_lowers_it():
    net, R = small(), rs.RelativeStability(IMAGES, differentiable=True)
    before = R(net)
    before.backward()
    with torch.no_grad():
        for weight in net.parameters():
            weight -= 0.05 * weight.grad
    assert R(net) < before


def test_images_that_cannot_be_deformed_are_refused():
    with pytest.raises(rs.InputError, match=r"at least two, \(N, C, n, n\), are needed"):
        rs.RelativeStability(IMAGES[0])
    with pytest.warns(UserWarning, match="displacement 9 lies outside"):
        rs.RelativeStability(IMAGES, displacement=9)
