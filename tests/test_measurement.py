import math
import warnings

import pytest
import torch
from torch import nn

import relative_stability as rs


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 16 * 16, 5), nn.Tanh(), nn.Linear(5, 3))


def test_the_identity_has_R_one(images):
    """Squared norms of change and noise are equal: R exceeds 1 by the relative variance of ‖τx−x‖ over images."""
    result = rs.measure(nn.Flatten(), images.repeat(20, 1, 1, 1), displacement=[1], batch_size=64)
    assert result.R.sizes == {"cut": 1, "displacement": 1}
    assert 1 <= float(result.R.squeeze()) < 1.05


def test_a_linear_net_on_white_images_has_the_noise_computed_by_hand():
    """G of f(x) = xW: ‖W‖² ‖η‖²/d over 2‖W‖² for white images of unit variance."""
    many = torch.randn(2000, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(256, 64, generator=torch.Generator().manual_seed(1))
    result = rs.measure(lambda x: x.flatten(1) @ weight, many, displacement=[1.0])
    norm = float(result.noise_norm.squeeze())
    assert float(result.G.squeeze()) == pytest.approx(norm**2 / 256 / 2, rel=0.03)


def test_a_net_blind_to_the_subspace_has_R_zero():
    inputs = torch.randn(50, 6, 1, 1, generator=torch.Generator().manual_seed(0))
    blind = rs.measure(lambda x: x.flatten(1)[:, :1], inputs, "subspace", directions=range(1, 6), magnitude=[0.5, 1])
    assert (blind.R == 0).all() and (blind.G > 0).all()
    assert blind.R.dims == ("magnitude",)


@pytest.mark.parametrize("estimator", ["mean", "median"])
def test_batch_size_changes_nothing(net, images, estimator):
    results = [rs.measure(net, images, displacement=[0.5, 1], estimator=estimator, batch_size=b) for b in (1, 5, 500)]
    for other in results[1:]:
        for name in ("D", "G", "R", "R_interval"):
            torch.testing.assert_close(
                torch.tensor(other[name].values), torch.tensor(results[0][name].values), rtol=1e-4, atol=0
            )


def test_same_seed_same_numbers_other_seed_other_numbers(net, images):
    a, b, c = (rs.measure(net, images, displacement=[1], seed=seed) for seed in (0, 0, 1))
    assert a.equals(b)
    assert float(a.R.squeeze()) != float(c.R.squeeze())


def test_the_global_generator_is_left_alone(net, images):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    rs.measure(net, images, displacement=[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_float64_agrees_with_float32(net, images):
    single = rs.measure(net, images, displacement=[1])
    double = rs.measure(net.double(), images.double(), displacement=[1])
    assert float(single.R.squeeze()) == pytest.approx(float(double.R.squeeze()), rel=1e-4)


def test_draws_of_one_image_are_averaged_and_are_no_images_of_their_own(net, images):
    """The spread over draws falls; the distance between images, and what it divides, stays."""
    one, many = ([rs.measure(net, images, displacement=[1], draws=d, seed=s) for s in range(6)] for d in (1, 25))
    spread = [float(torch.tensor([float(r.D.squeeze()) for r in runs]).std()) for runs in (one, many)]
    assert spread[1] < 0.6 * spread[0]
    width = [float((r.R_interval[1] / r.R_interval[0]).squeeze()) for r in (one[0], many[0])]
    assert width[1] > 1.05  # images still differ, however often each is deformed


def test_the_name_stays_a_function_whatever_is_imported():
    import relative_stability.measurement
    import relative_stability.observables

    assert callable(rs.measure) and rs.measure is relative_stability.measurement.measure


def test_an_offset_of_the_output_does_not_matter(images):
    weight = torch.randn(512, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = (rs.measure(lambda x, o=o: x.flatten(1).double() @ weight + o, images, displacement=[0.5]) for o in (0, 1e6))
    assert float(a.R.squeeze()) == pytest.approx(float(b.R.squeeze()), rel=1e-6)


def batch_normed():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(3))


def test_the_module_is_handed_back_as_it_was(images):
    net = batch_normed().train()
    net(images)
    net[2].eval()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    rs.measure(net, images, displacement=[1], batch_norm="batch")
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert net[1].track_running_stats


def test_batch_norm_uses_batch_statistics_only_at_initialisation(images):
    net = batch_normed()
    with torch.no_grad():
        net.eval()(images)
    assert rs.measure(net, images, displacement=[1]).attrs["batch_norm"] == "batch"
    net.train()(images)
    trained = rs.measure(net, images, displacement=[1])
    assert trained.attrs["batch_norm"] == "running"
    batch = rs.measure(net, images, displacement=[1], batch_norm="batch")
    assert float(trained.R.squeeze()) != float(batch.R.squeeze())


def test_nan_names_the_displacement(images):
    def breaks(x):
        return x.flatten(1) if torch.equal(x, images) else x.flatten(1) * math.nan

    with pytest.raises(rs.InputError, match=r"output on images at displacement 0\.7 pixel is not finite"):
        rs.measure(breaks, images, displacement=[0.7])


def test_displacements_outside_the_range_warn(net, images):
    with pytest.warns(UserWarning, match="displacement 5 lies outside the useful range"):
        rs.measure(net, images, displacement=[1, 5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rs.measure(net, images, displacement=[1])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"estimator": "mode"}, "estimator 'mode' is unknown"),
        ({"perturbation": "rotate"}, "perturbation 'rotate' is unknown"),
        ({"perturbation": "noise"}, "needs magnitude="),
        ({"cut": 1}, "cut = 1 is refused"),
        ({"cut": 2.5}, "cut = 2.5 is refused: a whole number"),
        ({"draws": 0}, "draws = 0 is refused"),
        ({"batch_norm": "x"}, "batch_norm 'x' is unknown"),
        ({"estimator": []}, "estimator is empty"),
        ({"noise_matching": "x"}, "noise_matching 'x' is unknown"),
        ({"layers": []}, "layers is empty"),
        ({"interpolation": "cubic"}, "interpolation 'cubic' is unknown"),
        ({"modes": "square"}, "modes 'square' is unknown"),
        ({"perturbation": "rotation"}, r"'rotation' needs magnitude=…, its angle \(degree\)"),
        ({"displacement": [0]}, "displacement = 0 is refused"),
        ({"displacement": []}, "at least one is needed"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(net, images, options, sentence):
    with pytest.raises(rs.InputError, match=sentence):
        rs.measure(net, images, **{"displacement": [1], **options})


def test_images_that_are_not_square_are_refused():
    with pytest.raises(rs.InputError, match="images of 8×9 pixels cannot take a diffeomorphism: square images"):
        rs.measure(nn.Flatten(), torch.randn(4, 1, 8, 9))
