"""Equivariance in depth, against what is known in closed form."""

import numpy as np
import pytest
import torch
from torch import nn

import relative_stability as rs

IMAGES = torch.randn(30, 2, 16, 16, generator=torch.Generator().manual_seed(0))


def test_what_acts_on_each_place_alone_carries_a_deformation_along():
    """The image itself, and 1×1 convolutions: E = 0, while D is that of the layer. A mean over all places has no grid."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Identity(), nn.Conv2d(2, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    found = rs.equivariance(net, IMAGES, displacement=0.7, layers=["?", "output"], batch_size=7)
    np.testing.assert_allclose(found.E[:2], 0, atol=1e-10)
    assert np.isnan(found.E[2:]).all() and found.grid.values.tolist() == [16, 16, 1, 0, 0, 0]
    expected = rs.measure(net, IMAGES, displacement=0.7, layers=["?", "output"]).D.squeeze()
    np.testing.assert_allclose(found.D, expected, rtol=1e-4)
    assert (found.D[:2] > 0.01).all()


def test_a_coarser_grid_is_moved_by_as_many_fewer_places():
    """Smooth images seen by every second pixel: E stays far below D, as it would not if the field were not rescaled."""
    smooth = nn.functional.interpolate(IMAGES[:, :, :5, :5], size=(33, 33), mode="bicubic", align_corners=True)

    class EverySecond(nn.Module):
        def forward(self, x):
            return x[:, :, ::2, ::2]

    found = rs.equivariance(nn.Sequential(EverySecond()), smooth, layers="all")
    assert found.grid.item() == 17 and found.E.item() < 0.05 * found.D.item()


def test_what_stands_still_has_no_D_and_an_E():
    """A layer that ignores its input but for its mean: D is small, and E is that of the pattern which should have moved."""
    pattern = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))

    class Still(nn.Module):
        def forward(self, x):
            return x.mean((1, 2, 3), keepdim=True).round(decimals=1) + 5 * pattern

    found = rs.equivariance(nn.Sequential(Still()), IMAGES + torch.arange(30.0).view(-1, 1, 1, 1) / 30, layers="all")
    assert found.D.item() < 0.1 * found.E.item()


def test_bad_layers_and_images_are_refused():
    with pytest.raises(rs.InputError, match="layers: 'nine' matches no module"):
        rs.equivariance(nn.Sequential(nn.Identity()), IMAGES, layers=["nine"])
    with pytest.raises(rs.InputError, match="cut = 14 is too high"):
        rs.equivariance(nn.Sequential(nn.Identity()), IMAGES, cut=14)
