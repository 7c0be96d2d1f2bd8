import pytest
import torch

import relative_stability as rs


@pytest.fixture(params=rs.net_names())
def name(request):
    return request.param


@pytest.mark.parametrize("size", [16, 28, 32])
def test_every_net_maps_images_to_classes(name, size):
    net = rs.build_net(name, in_channels=3, num_classes=7, image_size=size, seed=0)
    assert net(torch.randn(4, 3, size, size)).shape == (4, 7)


def test_the_seed_sets_the_weights_and_leaves_the_global_generator_alone(name):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, b, c = (rs.build_net(name, 1, 10, 16, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_a_training_step_lowers_the_loss(name):
    net = rs.build_net(name, 1, 10, 16, seed=0)
    x, y = torch.randn(32, 1, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 10
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("name", "size", "parameters"),
    [
        (
            "lenet",
            32,
            61706,
        ),  # LeCun et al. 1998 with full connections, as commonly counted on 32×32 grey images
        ("fc", 16, 256 * 64 + 64 + 2 * (64 * 64 + 64) + 640),
        ("one_hidden", 16, 256 * 1000 + 1000 + 10000),
    ],
)
def test_parameter_counts(name, size, parameters):
    net = rs.build_net(name, 1, 10, size, seed=0)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_fully_connected_outputs_scale_as_the_paper_says():
    """Hidden pre-activations have variance of order one for any width, and the output is of order 1/√width."""
    x = torch.randn(200, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    spread = [rs.build_net("fc", 1, 10, 16, seed=0, width=w, depth=2)(x).detach().std() for w in (64, 1024)]
    assert 2 < float(spread[0] / spread[1]) < 8  # √(1024/64) = 4


def test_too_small_images_are_refused_with_the_smallest():
    with pytest.raises(rs.InputError, match="lenet cannot take images of 8 pixels; the smallest it takes is 12"):
        rs.build_net("lenet", 1, 10, 8)
    with pytest.raises(rs.InputError, match="cnn cannot take images of 2 pixels"):
        rs.build_net("cnn", 1, 10, 2)


def test_unknown_net_gets_the_list():
    with pytest.raises(rs.InputError, match=r"net 'lenett' is unknown; did you mean 'lenet'\? Known: alexnet"):
        rs.build_net("lenett")
