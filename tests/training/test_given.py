"""How given nets see their images: as they say, else as the dataset says."""

import numpy as np
import pytest
import torch

from relative_stability.datasets.prepared import Prepared
from relative_stability.training.given import given_net

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(256, size=(4, 1, 12, 12), dtype=np.uint8)


@pytest.fixture
def data():
    each = torch.arange(4)
    mean, std = torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 0.25)
    return Prepared(torch.from_numpy(PIXELS), each, each >= 0, mean, std, 4, (), ("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("said", "mean", "std"),
    [({}, 0.5, 0.25), ({"mean": [0.0], "std": [1.0]}, 0.0, 1.0), ({"mean": [0.1], "std": [0.2]}, 0.1, 0.2)],
    ids=["the dataset's", "none", "their own"],
)
def test_a_normalisation_that_is_given_is_done_and_else_that_of_the_dataset(data, said, mean, std):
    given = given_net({"architecture": "torch.nn:Flatten", **said}, seed=0)
    expected = (torch.from_numpy(PIXELS).float() / 255 - mean) / std
    torch.testing.assert_close(given.seen(data, torch.arange(4), CPU), expected)


def test_a_net_of_colours_sees_grey_images_at_its_own_size(data):
    given = given_net({"architecture": "torch.nn:Conv2d(3, 2, 1)", "size": 16, "crop": 8}, seed=0)
    seen = given.seen(data, torch.arange(4), CPU)
    assert seen.shape == (4, 3, 8, 8) and torch.equal(seen[:, 0], seen[:, 2])
    assert seen.stride() == (192, 64, 8, 1)
