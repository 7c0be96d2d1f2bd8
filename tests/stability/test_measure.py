import math
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

import relative_stability as rs
from relative_stability.perturbations import build_perturbation
from relative_stability.perturbations.base import probes


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 16 * 16, 5), nn.Tanh(), nn.Linear(5, 3))


def test_the_identity_has_R_one(images):
    """Exactly, where every image gets noise of its own ‖τx−x‖; else above 1 by the relative variance of ‖τx−x‖."""
    many = images.repeat(20, 1, 1, 1).double()
    for family in (
        {"displacement": [0.5, 1], "cut": [3, 5]},
        {"perturbation": "translation", "displacement": [0.3, 2.5]},
        {"perturbation": "rotation", "magnitude": [1, 40]},
        {"perturbation": "scaling", "magnitude": [0.05, 0.4]},
        {"perturbation": "noise", "magnitude": [0.1, 10]},
    ):
        exact = rs.measure(nn.Flatten(), many, noise_matching="image", **family).R
        torch.testing.assert_close(torch.from_numpy(exact.values), torch.ones(*exact.shape).double())
    result = rs.measure(nn.Flatten(), many, displacement=[1], batch_size=64)
    assert result.R.sizes == {"cut": 1, "displacement": 1}
    assert 1 < float(result.R.squeeze()) < 1.05


def test_a_net_that_averages_over_the_image_ignores_translations_up_to_the_border():
    """Images that are constant near the border lose nothing to a translation, and the average over pixels stays."""
    many = torch.zeros(60, 3, 24, 24)
    many[:, :, 8:16, 8:16] = torch.randn(60, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    moved = rs.measure(average, many, "translation", displacement=[0.5, 1, 4])
    assert (moved.R < 1e-6).all() and (moved.G > 0).all()
    many[:, :, :2] += 1  # now something lies at the border
    assert (rs.measure(average, many, "translation", displacement=[0.5, 1, 4]).R > 1e-2).all()
    turned = rs.measure(average, many, "rotation", magnitude=[10])
    assert float(turned.R.squeeze()) > 1e-3


def test_a_linear_net_on_white_images_has_the_noise_computed_by_hand():
    """G of f(x) = xW: ‖W‖² ‖η‖²/d over 2‖W‖² for white images of unit variance."""
    many = torch.randn(2000, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(256, 64, generator=torch.Generator().manual_seed(1))
    result = rs.measure(lambda x: x.flatten(1) @ weight, many, displacement=[1.0])
    norm = float(result.noise_norm.squeeze())
    assert float(result.G.squeeze()) == pytest.approx(norm**2 / 256 / 2, rel=0.03)


def test_a_linear_net_on_white_images_has_the_R_computed_by_hand():
    """f(x) = Wᵀx with W smooth: D from ‖Wᵀ(L − 1)‖², L the matrix of each deformation, found by deforming unit images.

    White images of unit variance have ⟨‖f(x)−f(z)‖²⟩ = 2‖W‖², and noise of norm η moves f by ‖W‖² η²/d.
    """
    n, d, count = 8, 64, 3000
    many = torch.randn(count, 1, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = torch.arange(n, dtype=torch.float64) / (n - 1)
    waves = torch.stack([torch.cos(math.pi * k * u) for k in range(3)])
    weight = torch.einsum("ay,bx->yxab", waves, waves).reshape(d, 9)
    result = rs.measure(lambda x: x.flatten(1) @ weight, many, displacement=[0.7])
    family = build_perturbation("diffeomorphism", cut=3)
    fields = family.prepare(probes(family, (1, n, n), 0, range(300)), many)
    units = torch.eye(d, dtype=torch.float64).view(d, 1, n, n)
    moved = [family.apply(units, field[None].expand(d, n, n, 2), 0.7).view(d, d) - torch.eye(d) for field in fields]
    d_hand = torch.stack([(m @ weight).square().sum() for m in moved]).mean() / (2 * weight.square().sum())
    g_hand = float(result.noise_norm.squeeze()) ** 2 / d / 2
    assert float(result.D.squeeze()) == pytest.approx(float(d_hand), rel=0.1)
    assert float(result.G.squeeze()) == pytest.approx(g_hand, rel=0.03)
    assert float(result.R.squeeze()) == pytest.approx(float(d_hand) / g_hand, rel=0.1)
    assert float(result.R.squeeze()) < 0.5  # smooth weights see less of a smooth change than of noise


def test_a_net_blind_to_the_subspace_has_R_zero():
    inputs = torch.randn(50, 6, 1, 1, generator=torch.Generator().manual_seed(0))
    blind = rs.measure(lambda x: x.flatten(1)[:, :1], inputs, "subspace", directions=range(1, 6), magnitude=[0.5, 1])
    assert (blind.R == 0).all() and (blind.G > 0).all()
    assert blind.R.dims == ("magnitude",)


@pytest.mark.parametrize("estimator", ["mean", "median"])
def test_batch_size_changes_nothing(net, images, estimator):
    results = [rs.measure(net, images, displacement=[0.5, 1], estimator=estimator, batch_size=b) for b in (1, 7, 500)]
    for other in results[1:]:
        for name in ("D", "G", "R", "R_interval"):
            torch.testing.assert_close(
                torch.tensor(other[name].values), torch.tensor(results[0][name].values), rtol=1e-4, atol=0
            )


def test_same_seed_same_numbers_other_seed_other_numbers(net, images):
    a, b, c = (rs.measure(net, images, displacement=[1], seed=seed) for seed in (0, 0, 1))
    assert a.equals(b)
    assert float(a.R.squeeze()) != float(c.R.squeeze())


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
    import relative_stability.jobs.observables
    import relative_stability.stability.measure

    assert callable(rs.measure) and rs.measure is relative_stability.stability.measure.measure


def test_an_offset_of_the_output_does_not_matter(images):
    weight = torch.randn(512, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = (rs.measure(lambda x, o=o: x.flatten(1).double() @ weight + o, images, displacement=[0.5]) for o in (0, 1e6))
    assert float(a.R.squeeze()) == pytest.approx(float(b.R.squeeze()), rel=1e-6)


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_rescaled_outputs_change_nothing(net, images, factor):
    one, scaled = (rs.measure(n, images, displacement=[1]) for n in (net, lambda x: factor * net(x)))
    for name in ("D", "G", "R", "D_interval", "R_interval"):
        torch.testing.assert_close(torch.tensor(scaled[name].values), torch.tensor(one[name].values), rtol=1e-4, atol=0)


def test_both_estimators_from_one_set_of_passes_are_those_of_each_alone(net, images):
    calls = []

    class Counting(nn.Module):
        def forward(self, x):
            calls.append(len(x))
            return net(x)

    both = rs.measure(Counting(), images, displacement=[0.5, 1], estimator="both", noise_matching="image")
    # A few images tell the layers, one pass for the clean ones, and two for each displacement.
    assert calls == [7, 12, *[12] * 4]
    assert both.R.dims == ("estimator", "cut", "displacement")
    for estimator in ("mean", "median"):
        alone = rs.measure(net, images, displacement=[0.5, 1], estimator=estimator, noise_matching="image")
        for name in ("D", "G", "R", "R_interval"):
            assert (both[name].sel(estimator=estimator).values == alone[name].values).all()
    own = rs.measure(net, images, displacement=[0.5, 1], estimator=["median", "mean"])
    assert own.estimator.values.tolist() == ["median", "mean"]
    for estimator in ("mean", "median"):  # each with its own noise
        alone = rs.measure(net, images, displacement=[0.5, 1], estimator=estimator)
        assert (own.R.sel(estimator=estimator).values == alone.R.values).all()


def test_the_rule_that_matches_noise_is_an_option_of_its_own(images):
    """The norm of the identity's noisy change is that of the noise: equal for all images, or each image's own."""
    norms = {"mean": [], "image": []}

    def watch(rule):
        def net(x):
            if len(x) == len(images):
                norms[rule].append(tuple((x - images).flatten(1).norm(dim=1).round(decimals=4).tolist()))
            return x

        rs.measure(net, images, displacement=[1], noise_matching=rule)

    for rule in norms:
        watch(rule)
        clean, deformed, noisy = norms[rule]
        assert set(clean) == {0.0}
        if rule == "mean":
            assert max(noisy) - min(noisy) < 1e-3
            assert noisy[0] == pytest.approx(sum(deformed) / len(deformed), rel=1e-4)
        else:
            assert deformed == pytest.approx(noisy, rel=1e-4)


def test_two_nets_measured_with_one_seed_see_the_same_images(net, images):
    seen = [[], []]

    def watched(record, inner):
        def forward(x):
            record.append(x.clone())
            return inner(x)

        return forward

    options = {"displacement": [0.5, 1], "cut": [3, 5]}
    rs.measure(watched(seen[0], net), images, **options)
    rs.measure(watched(seen[1], nn.Flatten()), images, **options, estimator="median", noise_matching="mean")
    assert len(seen[0]) == len(seen[1]) == 10
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_gaussian_interpolation_compares_with_the_blurred_images(images):
    """Towards no displacement nothing changes: the blur is no perturbation."""
    small = rs.measure(nn.Flatten(), images, displacement=[0.5], interpolation="gaussian")
    blurred = rs.deform(images, torch.zeros(1, 2, 16, 16), "gaussian")
    seen = []
    rs.measure(lambda x: seen.append(x.clone()) or x, images, displacement=[0.5], interpolation="gaussian")
    torch.testing.assert_close(seen[1], blurred)
    assert float(small.noise_norm.squeeze()) < float((blurred - images).flatten(1).norm(dim=1).mean())


def test_progress_counts_the_passes(net, images):
    told = []
    rs.measure(net, images, displacement=[0.5, 1], batch_size=5, progress=lambda *now: told.append(now))
    assert told == [(k, 12) for k in range(1, 13)]  # 2 displacements, 3 batches, deformed and noisy


MEMORY = """
import resource, torch, relative_stability as rs
images = torch.randn(256, 3, 64, 64)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(10))
def peak(count):
    d = torch.linspace(0.6, 6, count).tolist()
    rs.measure(net, images, displacement=d, batch_size=64, estimator="both", layers={layers}, bootstrap=10)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
peak(2)
print(peak(2), peak(40))
"""


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["None", "['3']"])
def test_memory_does_not_grow_with_the_number_of_displacements(layers):
    """40 displacements of these images would take 480 MB, and their activations 5 GB, if they were kept."""
    run = subprocess.run(
        [sys.executable, "-c", MEMORY.format(layers=layers)], capture_output=True, text=True, check=True
    )
    few, many = map(float, run.stdout.split())
    assert many - few < 40, run.stdout  # MB


def test_nan_names_the_displacement(images):
    def breaks(x):
        return x.flatten(1) if torch.equal(x, images) else x.flatten(1) * math.nan

    with pytest.raises(rs.InputError, match=r"output on images at displacement 0\.7 pixel, cut 3 is not finite"):
        rs.measure(breaks, images, displacement=[0.7])

    def breaks_late(x):
        return x.flatten(1) / (0 if (x - images[: len(x)]).norm() > 55 else 1)

    with pytest.raises(rs.InputError, match=r"images at displacement 1\.5 pixel, cut 3 is not finite"):
        rs.measure(breaks_late, images, displacement=[0.5, 1.5], batch_size=12)
    with pytest.raises(rs.InputError, match="output on the unchanged images is not finite"):
        rs.measure(lambda x: x * math.inf, images, displacement=[1])


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
        ({"displacement": []}, "of at least one, is needed"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(net, images, options, sentence):
    with pytest.raises(rs.InputError, match=sentence):
        rs.measure(net, images, **{"displacement": [1], **options})


def test_images_that_are_not_square_are_refused():
    with pytest.raises(rs.InputError, match="images of 8×9 pixels cannot take a diffeomorphism: square images"):
        rs.measure(nn.Flatten(), torch.randn(4, 1, 8, 9))


def test_a_net_that_overwrites_its_input_gets_a_copy(images):
    before = images.clone()
    weight = torch.randn(512, 3, generator=torch.Generator().manual_seed(0))

    def careless(x):
        x -= 0.5
        return torch.relu_(x).flatten(1) @ weight

    def careful(x):
        return torch.relu(x - 0.5).flatten(1) @ weight

    for size in (500, 5):
        a, b = (rs.measure(net, images, displacement=[0.5, 1], batch_size=size) for net in (careless, careful))
        assert a.equals(b)
    assert torch.equal(images, before)


def test_draws_of_an_image_do_not_depend_on_how_many_images_there_are(images):
    """With one image more, the others are changed as before, in every draw."""
    seen = [[], []]
    for record, count in zip(seen, (12, 11), strict=True):
        net = lambda x, record=record: record.append(x.clone()) or x  # noqa: E731
        rs.measure(net, images[:count], displacement=[1], draws=2)
    first = [x for x in seen[0] if len(x) == 12][1:3]  # after the clean ones, the two draws
    second = [x for x in seen[1] if len(x) == 11][1:3]
    assert all(torch.equal(a[:11], b) for a, b in zip(first, second, strict=True))
    assert not torch.allclose(first[0], first[1])


def test_noise_as_a_family_is_independent_of_the_noise_that_it_is_compared_with(net, images):
    ratio = rs.measure(net, images.repeat(10, 1, 1, 1), "noise", magnitude=[1.0]).R
    assert float(ratio.squeeze()) != 1 and float(ratio.squeeze()) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("bad", [{"cut": []}, {"displacement": "1"}, {"perturbation": "rotation", "magnitude": [None]}])
def test_what_is_no_number_is_refused(net, images, bad):
    with pytest.raises(rs.InputError, match="is refused: a number, or a list of at least one, is needed"):
        rs.measure(net, images, **bad)


def test_images_that_the_net_cannot_take_are_refused_with_what_it_says():
    net = rs.build_net("cnn", 3, 10, 28, seed=0).train()
    with pytest.raises(rs.InputError, match=r"the net cannot take images of 1×28×28 \(Given groups=1.* 3 channels"):
        rs.measure(net, torch.randn(10, 1, 28, 28), displacement=[1])
    assert net.training

    def strict(x):
        assert x.shape[-1] == 32, "32 pixels are needed"
        return x.flatten(1)

    with pytest.raises(rs.InputError, match=r"the net cannot take images of 1×28×28 \(32 pixels are needed\)"):
        rs.measure(strict, torch.randn(10, 1, 28, 28), displacement=[1])
