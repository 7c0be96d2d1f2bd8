"""Modes, statistics, precision: the state of a net while it is measured, and that it is restored."""

import warnings

import pytest
import torch
from torch import nn

import relative_stability as rs
from relative_stability import InputError
from relative_stability.perturbations.base import Perturbation
from relative_stability.stability.evaluation_mode import evaluation_mode, statistics_rule, tf32


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 16 * 16, 5), nn.Tanh(), nn.Linear(5, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_agrees_with_single(net, images, dtype):
    """Fields and noise are those of single precision, and only what the net does is rounded."""
    single = rs.measure(net, images.to(dtype).float(), displacement=[1])
    half = rs.measure(net.to(dtype), images.to(dtype), displacement=[1])
    assert half.attrs["dtype"] == str(dtype).removeprefix("torch.")
    assert float(half.R.squeeze()) == pytest.approx(float(single.R.squeeze()), rel=0.05)
    assert float(half.noise_norm.squeeze()) == pytest.approx(float(single.noise_norm.squeeze()), rel=1e-6)


def test_mixed_precision_is_off_unless_asked_for(net, images):
    kinds = []

    def watched(x):
        out = net(x)
        kinds.append(out.dtype)
        return out

    with torch.autocast("cpu", torch.bfloat16):
        reference = rs.measure(watched, images, displacement=[1])
    assert set(kinds) == {torch.float32}
    assert reference.equals(rs.measure(net, images, displacement=[1]))
    kinds.clear()
    mixed = rs.measure(watched, images, displacement=[1], mixed_precision=True)
    assert set(kinds) == {torch.bfloat16} and mixed.attrs["mixed_precision"] == 1


def batch_normed():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(3))


@pytest.mark.parametrize("rule", ["batch", "clean", "running"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_handed_back_as_it_was(images, rule, fails):
    net = batch_normed().train()
    net(images)
    net[2].eval()
    net[1].register_forward_hook(lambda *_: None)
    held = dict(net.named_buffers())
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes, settings = [m.training for m in net.modules()], [net[1].momentum, net[1].track_running_stats]
    torch.manual_seed(3)
    generator = torch.get_rng_state()

    def careless(x):
        if fails and len(x) > 2:
            raise RuntimeError
        return nn.functional.dropout(net(x), training=True)  # draws from the global generator

    wrapped = nn.Module()
    wrapped.net, wrapped.forward = net, careless
    if fails:
        with pytest.raises(RuntimeError):
            rs.measure(wrapped, images, displacement=[1], batch_norm=rule, layers="net.*")
    else:
        rs.measure(wrapped, images, displacement=[1], batch_norm=rule, layers="net.*")
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert all(buffer is held[name] for name, buffer in net.named_buffers())
    assert [net[1].momentum, net[1].track_running_stats] == settings
    assert [len(m._forward_hooks) for m in net] == [0, 1, 0, 0, 0]
    assert torch.equal(torch.get_rng_state(), generator)


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


def test_clean_statistics_are_those_of_the_clean_batch_held_fixed(images):
    """By hand: running values set to those of the clean batch, and then the rule `running`."""
    net = batch_normed().eval()
    with torch.no_grad():
        net(images)
        clean = rs.measure(net, images, displacement=[0.5, 1], batch_norm="clean")
        batch = rs.measure(net, images, displacement=[0.5, 1], batch_norm="batch")
        inside = net[0](images)
        net[1].running_mean, net[1].running_var = inside.mean((0, 2, 3)), inside.var((0, 2, 3))
        by_hand = rs.measure(net, images, displacement=[0.5, 1], batch_norm="running")
    torch.testing.assert_close(torch.tensor(clean.D.values), torch.tensor(by_hand.D.values), rtol=2e-3, atol=0)
    torch.testing.assert_close(torch.tensor(clean.G.values), torch.tensor(by_hand.G.values), rtol=2e-3, atol=0)
    assert not torch.allclose(torch.tensor(clean.R.values), torch.tensor(batch.R.values), rtol=1e-3)


def test_clean_statistics_are_those_of_each_clean_batch(images):
    """In two batches each half is measured with its own, as if the halves were measured one by one."""
    net = batch_normed().eval()
    seen = []
    net[4].register_forward_hook(lambda m, inputs, output: seen.append(output.clone()))
    with torch.no_grad():
        net(images)
        seen.clear()
        rs.measure(net, images, displacement=[1], batch_norm="clean", batch_size=6)
        together = [s for s in seen if len(s) == 6]
        seen.clear()
        rs.measure(net, images[:6], displacement=[1], batch_norm="clean")
    first = [s for s in seen if len(s) == 6]
    assert any(torch.equal(first[1], s) for s in together)  # the deformed first half


def test_the_global_generator_is_left_alone(net, images):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    rs.measure(net, images, displacement=[1])
    assert torch.equal(torch.get_rng_state(), before)


class Unchanged(Perturbation):
    """Changes nothing: whatever moves the output then is the net's own doing."""

    name, magnitude_name, units = "unchanged", "magnitude", "1"

    def draw(self, generator, image_shape):
        return torch.zeros(())

    def apply(self, images, prepared, magnitude):
        return images.clone()


class Shared(nn.Module):
    """One normalisation for two layers."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)

    def forward(self, x):
        return self.norm(self.conv(self.norm(x).relu())).flatten(1)


@pytest.mark.parametrize("size", [500, 5])
@pytest.mark.parametrize(
    "net",
    [
        lambda: Shared(),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(512, 9), nn.BatchNorm1d(9), nn.Linear(9, 2)),
        lambda: nn.Sequential(nn.BatchNorm2d(2, affine=False), nn.Flatten()).double(),
        lambda: nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten()),
    ],
    ids=["shared", "one-dimensional", "without weights", "without running values"],
)
def test_with_clean_statistics_what_does_not_change_does_not_move(net, images, size):
    torch.manual_seed(0)
    net = net()
    images = (
        images.to(torch.float64)
        if net.state_dict() and next(iter(net.state_dict().values())).dtype == torch.float64
        else images
    )
    found = rs.measure(net, images, Unchanged(), magnitude=[1], batch_norm="clean", batch_size=size)
    assert float(found.D.squeeze()) < 1e-10
    noisy = rs.measure(net, images, displacement=[1], batch_norm="clean", batch_size=size)
    assert float(noisy.D.squeeze()) > 1e-3


def test_auto_tells_nets_at_initialisation_from_trained_ones(images):
    fresh = nn.BatchNorm2d(2)
    assert statistics_rule(fresh, "auto") == "batch"
    assert statistics_rule(nn.BatchNorm2d(2, track_running_stats=False), "auto") == "batch"
    assert statistics_rule(nn.Conv2d(2, 2, 3), "auto") == "running"
    fresh(images)
    assert statistics_rule(fresh, "auto") == "running"
    fresh.num_batches_tracked.zero_()  # as in files of older versions, which have no counter
    assert statistics_rule(fresh, "auto") == "running"


def test_rules_that_cannot_be_followed_are_refused(images):
    net = batch_normed()
    with torch.no_grad():
        net(images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scripting is on its way out, and still met
        scripted = torch.jit.trace(net.eval(), images)
    for other in (lambda x: net(x), scripted):
        for rule in ("batch", "clean"):
            with pytest.raises(rs.InputError, match=f"batch_norm = '{rule}' cannot be used: the net is"):
                rs.measure(other, images, displacement=[1], batch_norm=rule)
        assert rs.measure(other, images, displacement=[1]).attrs["batch_norm"] == "running"


def test_no_batch_is_left_with_a_single_image(images):
    """Statistics of one image of one pixel are none: 12 images in batches of 11 go as 6 and 6."""
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(2), nn.Flatten())
    sizes = []
    net.register_forward_hook(lambda m, inputs, output: sizes.append(len(output)))
    assert rs.measure(net, images, displacement=[1], batch_size=11).attrs["batch_norm"] == "batch"
    assert set(sizes[1:]) == {6}


def test_mixed_precision_is_that_of_the_net_alone(net, images):
    """Fields and noise stay as they are."""
    single, mixed = (rs.measure(net, images, displacement=[0.5, 1], mixed_precision=m) for m in (False, True))
    assert (single.noise_norm == mixed.noise_norm).all()
    assert not (single.D == mixed.D).any()


def test_tf32_is_put_back_whichever_names_were_used():
    matmul = torch.backends.cuda.matmul
    name = "fp32_precision" if hasattr(matmul, "fp32_precision") else "allow_tf32"
    before = getattr(matmul, name)
    for wanted in (True, False):
        with tf32(wanted):
            assert getattr(matmul, name) in ({"tf32", True} if wanted else {"ieee", False})
        assert getattr(matmul, name) == before


def test_what_stands_around_a_program_of_one_mode_is_put_into_evaluation_mode():
    """Exported programs refuse to change their mode, at which nn.Module stops half way."""

    class Program(torch.nn.Module):
        def train(self, mode=True):
            raise NotImplementedError("as exported programs do")

        def forward(self, x):
            return x.flatten(1)

    net = torch.nn.Sequential(Program(), torch.nn.Dropout(0.5))
    images = torch.randn(4, 1, 4, 4)
    with evaluation_mode(net, "running", images.device):
        assert torch.equal(net(images), images.flatten(1))
    assert net[1].training


def test_a_compiled_net_is_not_measured_by_a_rule_that_it_does_not_heed(images):
    net = rs.build_net("cnn", in_channels=2, image_size=16, seed=0).eval()
    compiled = torch.compile(net, backend="eager")
    with torch.no_grad():
        compiled(images)
    with pytest.raises(InputError, match="batch_norm = 'clean' cannot be used: the net is compiled"):
        rs.measure(compiled, images, displacement=1, batch_norm="clean")
    for rule in ("running", "batch"):
        plain, other = (rs.measure(n, images, displacement=1, batch_norm=rule, bootstrap=5).R for n in (net, compiled))
        torch.testing.assert_close(torch.tensor(plain.values), torch.tensor(other.values))
