"""Dimension, alignment, tangent kernel and information, where they are known or can be computed by other means."""

import numpy as np
import pytest
import torch
from torch import nn

import relative_stability as rs
from relative_stability import InputError
from relative_stability.jobs import resources
from relative_stability.plan import checks
from relative_stability.representations import dimension, gram, tangent_kernel
from relative_stability.representations.alignment import alignment
from relative_stability.representations.dimension import intrinsic_dimension
from relative_stability.representations.gram import layer_activations, layer_grams
from relative_stability.representations.information import information

NUMBERS = torch.Generator().manual_seed(0)


def gram_of(points):
    centred = points.double() - points.double().mean(0)
    return centred @ centred.T


def plane(d, N=1500):
    """Uniform in d dimensions of 40."""
    return torch.rand(N, d, generator=NUMBERS) @ torch.randn(d, 40, generator=NUMBERS)


def sphere(N=1500):
    x = torch.randn(N, 3, generator=NUMBERS)
    return x / x.norm(dim=1, keepdim=True)


def roll(N=1500):
    t, height = 3 + 10 * torch.rand(N, generator=NUMBERS), 20 * torch.rand(N, generator=NUMBERS)
    return torch.stack([t * t.cos(), height, t * t.sin()], 1)


@pytest.mark.parametrize(
    ("points", "d"), [(plane(1), 1), (plane(2), 2), (plane(4), 4), (sphere(), 2), (roll(), 2)], ids=str
)  # fmt: skip
def test_manifolds_of_known_dimension(points, d):
    found = intrinsic_dimension(gram_of(points))
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(d, rel=0.1)
    assert found.half == pytest.approx(d, rel=0.2) and found.quarter == pytest.approx(d, rel=0.3)
    assert found.low - 0.05 * d < d < found.high + 0.05 * d


def test_the_interval_of_the_dimension_covers_as_often_as_it_says():
    covered = [low <= 2 <= high for _, low, high, *_ in (intrinsic_dimension(gram_of(torus())) for _ in range(200))]
    assert 0.88 <= np.mean(covered) <= 0.995


def torus(N=200):
    """Flat and without edges, in four dimensions."""
    angles = 2 * torch.pi * torch.rand(N, 2, generator=NUMBERS)
    return torch.cat([angles.cos(), angles.sin()], 1)


def test_noise_has_a_dimension_that_grows_with_the_number_of_points_and_a_manifold_has_not():
    thick = plane(2) + 0.05 * torch.randn(1500, 40, generator=NUMBERS)
    found = intrinsic_dimension(gram_of(thick))
    assert found.value > 1.3 * found.quarter


def test_points_that_coincide_count_once_and_one_point_has_no_dimension():
    points = plane(2, 400)
    once, twice = (intrinsic_dimension(gram_of(p)) for p in (points, torch.cat([points, points[:100]])))
    assert twice.value == pytest.approx(once.value, rel=1e-6)
    assert np.isnan(intrinsic_dimension(gram_of(torch.ones(60, 3)))).all()
    with pytest.raises(InputError, match="the dimension of 49 points is refused: 50 or more are needed"):
        intrinsic_dimension(torch.eye(49))


def test_alignment_of_features_that_are_the_labels_and_of_such_as_are_not():
    labels = torch.arange(200) % 4
    hot = torch.nn.functional.one_hot(labels).double()
    assert alignment(hot @ hot.T, labels, 4) == pytest.approx(1)
    assert alignment(3 * hot @ hot.T + 7, labels, 4) == pytest.approx(1)  # scale and constant do not count
    noise = torch.randn(200, 500, generator=NUMBERS).double()
    assert alignment(noise @ noise.T, labels, 4) < 0.2
    # By features: ‖Yᵀ F‖² / (‖Fᵀ F‖ ‖Yᵀ Y‖) of centred ones.
    F, Y = noise - noise.mean(0), hot - hot.mean(0)
    expected = (Y.T @ F).norm() ** 2 / ((F.T @ F).norm() * (Y.T @ Y).norm())
    assert alignment(noise @ noise.T, labels, 4) == pytest.approx(float(expected))
    assert np.isnan(alignment(torch.ones(4, 4), torch.arange(4) % 2, 2))
    assert np.isnan(alignment(torch.eye(4), torch.zeros(4, dtype=torch.long), 1))


@pytest.mark.parametrize("held", [2**27, 0])
@pytest.mark.parametrize("name", ["fc", "cnn", "lenet"])
def test_the_tangent_kernel_is_that_of_the_jacobian(monkeypatch, held, name):
    monkeypatch.setattr(tangent_kernel, "HELD", held)
    net = rs.build_net(name, 1, 3, 12, seed=0, **({"width": 0.25} if name == "cnn" else {})).eval()
    images = torch.randn(6, 1, 12, 12, generator=NUMBERS)
    rows = []
    for image in images:
        outputs = net(image[None])[0]
        gradients = [torch.autograd.grad(o, list(net.parameters()), retain_graph=True) for o in outputs]
        rows.append(torch.stack([torch.cat([g.flatten() for g in part]) for part in gradients]))
    J = torch.stack(rows).double()
    expected = torch.einsum("ikp,jkp->ij", J, J)
    found = tangent_kernel.tangent_kernel(net, images, "running")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_of_a_linear_net_kernel_and_representation_are_the_images():
    """f = w·x: its tangent kernel, and the Gram matrix of what enters its layer, are x·x'."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 1, bias=False))
    images = torch.randn(60, 1, 4, 4, generator=NUMBERS)
    labels = (images.flatten(1)[:, 0] > 0).long()
    kernel = tangent_kernel.tangent_kernel(net, images)
    torch.testing.assert_close(kernel, (images.flatten(1) @ images.flatten(1).T).double(), rtol=1e-4, atol=1e-4)
    features = layer_grams(net, images, "0")["0"]
    assert alignment(kernel, labels, 2) == pytest.approx(alignment(features, labels, 2), rel=1e-4)


def test_layers_are_read_in_as_many_passes_as_memory_asks_for(monkeypatch):
    net = rs.build_net("lenet", 1, 10, 16, seed=0)
    images = torch.randn(30, 1, 16, 16, generator=NUMBERS)
    whole = layer_grams(net, images, "blocks")
    monkeypatch.setattr(gram, "HELD", 1)
    monkeypatch.setattr(gram, "BATCH", 7)
    for name, parts in layer_grams(net, images, "blocks").items():
        torch.testing.assert_close(parts, whole[name], rtol=1e-5, atol=1e-5 * float(whole[name].max()))
    assert list(whole) == list(layer_activations(net, images, "blocks"))
    monkeypatch.setattr(gram, "LARGEST", 1000)
    with pytest.raises(
        InputError, match=r"layer '0' has \d+ numbers for each of 30 images, 0.0 GB; name smaller layers"
    ):
        layer_grams(net, images, "blocks")


def test_activations_that_are_not_finite_are_named():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        net[1].bias.fill_(torch.inf)
    with pytest.raises(InputError, match="layer '1' has activations that are not finite"):
        layer_grams(net, torch.randn(4, 1, 4, 4), "all")


def test_information_of_bins():
    labels = np.arange(8) % 2
    own = np.arange(8.0)[:, None]
    assert information(own, labels, 0.5) == (3.0, 1.0)  # every image has a bin of its own
    assert information(np.zeros((8, 3)), labels) == (0.0, 0.0)
    assert information(labels[:, None].astype(float), labels) == (1.0, 1.0)
    assert information(own, labels, 100.0) == (0.0, 0.0)
    with pytest.raises(InputError, match="information of 5000 neurons is refused"):
        information(np.zeros((4, 5000)), labels[:4])
    with pytest.raises(InputError, match="bin_size = 0 is refused"):
        information(own, labels, 0)


@pytest.mark.parametrize("held", [2**27, 0])
def test_of_a_net_at_initialisation_the_statistics_are_those_of_the_images_and_are_held(monkeypatch, held):
    """Its batch normalisation has no running values; those of the images make no image depend on another."""
    monkeypatch.setattr(tangent_kernel, "HELD", held)
    images = torch.randn(8, 1, 12, 12, generator=NUMBERS)
    net = rs.build_net("cnn", 1, 3, 12, seed=0, width=0.25)
    found = tangent_kernel.tangent_kernel(net, images, "batch")
    frozen = rs.build_net("cnn", 1, 3, 12, seed=0, width=0.25).train()
    for layer in frozen.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_pre_hook(hold)
    with torch.no_grad():
        frozen(images)
    expected = tangent_kernel.tangent_kernel(frozen.eval(), images, "running")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def hold(layer, inputs):
    """Running values as those of the batch, which is divided by its own number."""
    if layer.training:
        layer.momentum, layer.training = 0.0, False
        layer.running_mean = inputs[0].mean((0, 2, 3))
        layer.running_var = inputs[0].var((0, 2, 3), unbiased=False)


def test_what_a_plan_knows_of_representations_is_what_they_say():
    assert checks.FEWEST == dimension.FEWEST and resources.HELD == tangent_kernel.HELD
