import math

import numpy as np
import pytest
import torch

from relative_stability.training import members, run
from relative_stability.training.engine import Training, variation
from relative_stability.training.members import Alone, Together, make_net
from relative_stability.training.pool import Pool
from relative_stability.training.records import STATES
from relative_stability.training.run import load_net
from tests.training.seen import Seen
from tests.training.small import ADAM, CNN, CPU, FC, HIDDEN, HINGE, LENET, digits, request, same, stripe, train


def test_it_learns_real_digits():
    curves = train(digits(), P=512, steps=300).curves
    assert curves["test_error"].values[0, 0] > 0.7
    assert curves["test_error"].values[0, -1] < 0.15
    assert curves["train_loss"].values[0, -1] < 0.3 * curves["train_loss"].values[0, 0]
    assert np.isnan(curves["diverged_epoch"].values).all()


@pytest.mark.parametrize("net", [CNN, FC, {"architecture": "mobilenet_v2", "width": 0.25}], ids=str)
def test_same_seed_same_bits_other_seed_other_numbers(net):
    changes = {"P": 32, "steps": 6, "learning_rate": 0.01, "snapshots": 2}
    torch.manual_seed(0)
    first = train(digits(), net, seeds=range(2), **changes)
    torch.manual_seed(1)  # nothing may come from torch's global generator
    assert same(first, train(digits(), net, seeds=range(2), **changes))
    losses = first.curves["train_loss"].values
    assert (losses[0] != losses[1]).all()


@pytest.mark.parametrize("net", [CNN, {"architecture": "mobilenet_v2", "width": 0.25}], ids=str)
def test_training_leaves_the_global_generator_alone(net):
    torch.manual_seed(2)
    before = torch.get_rng_state()
    train(digits(), net, P=16, steps=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_is_the_same_in_any_range():
    """Adding a range to a sweep gives what a longer range would have given."""
    long, short = train(digits(), seeds=range(3)), train(digits(), seeds=range(2, 3))
    np.testing.assert_array_equal(long.curves["train_loss"].values[2:], short.curves["train_loss"].values)
    assert all(torch.equal(t[2:], short.weights[name]) for name, t in long.weights.items())


def test_divergence_is_recorded_with_its_epoch_and_is_no_error():
    result = train(digits(), LENET, learning_rate=1e6)
    assert result.curves["diverged_epoch"].values[0] >= 1
    assert math.isnan(result.curves["train_loss"].values[0, -1])
    assert math.isnan(result.curves["test_error"].values[0, -1])
    assert all(torch.isfinite(t).all() for name, t in result.weights.items() if name.startswith("best/"))


@pytest.mark.parametrize("how", ["alone", "together"])
def test_a_diverged_seed_leaves_its_neighbours_alone(monkeypatch, how):
    def poisoned(net, data, loss, seed):
        model = make_net(net, data, loss, seed)
        if seed == 1:
            with torch.no_grad():
                next(model.parameters()).mul_(math.nan)
        return model

    alone = train(digits(), seeds=range(3), P=32, how=how, snapshots=3)
    monkeypatch.setattr(members, "make_net", poisoned)
    beside = train(digits(), seeds=range(3), P=32, how=how, snapshots=3)
    np.testing.assert_array_equal(np.isnan(beside.curves["diverged_epoch"].values), [True, False, True])
    for name in ("test_error", "train_loss", "snapshot_test_error"):
        np.testing.assert_array_equal(beside.curves[name].values[[0, 2]], alone.curves[name].values[[0, 2]])
        assert np.isnan(beside.curves[name].values[1]).all()
    for name, tensor in beside.weights.items():
        assert torch.equal(tensor[[0, 2]], alone.weights[name][[0, 2]])
    assert {name.split("/")[0] for name in beside.weights} == {*STATES, "step1", "step8", "step60"}


def test_a_collapsed_net_is_told_from_one_that_learns_and_one_that_diverged():
    """At this rate LeNet dies at once: its loss stays finite, near that of a constant output."""
    dead = train(digits(), LENET, learning_rate=2.0, steps=300).curves
    assert np.isnan(dead["diverged_epoch"].values).all() and dead["collapsed"].values.all()
    assert dead["train_loss"].values[0, -1] == pytest.approx(math.log(10), rel=0.1)
    assert not train(digits(), P=512, steps=300).curves["collapsed"].values.any()
    assert not train(digits(), LENET, learning_rate=1e6).curves["collapsed"].values.any()


def test_variation_tells_a_constant_output_from_one_that_hardly_varies():
    generator = torch.Generator().manual_seed(0)
    wild = torch.randn(1, 200, 10, generator=generator)
    outputs = torch.cat([100 * wild, 1e-4 * wild + 0.01, torch.ones_like(wild), torch.zeros_like(wild)])
    wide, faint, constant, zero = variation(outputs).tolist()
    assert wide > 0.9 and 1e-3 < faint < 0.1 and constant < 1e-12 and zero == 0


def test_one_class_says_nothing_of_a_collapse():
    one = digits()._replace(labels=torch.zeros_like(digits().labels))
    dead = {"learning_rate": 2.0, "steps": 300}
    assert train(digits(), LENET, **dead).curves["collapsed"].values.all()
    assert not train(one, {"architecture": "lenet"}, **dead).curves["collapsed"].values.any()
    assert not train(digits(), LENET, P=1, **dead).curves["collapsed"].values.any()


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "googlenet"])
def test_statistics_that_have_not_settled_are_no_collapse(architecture):
    """A deep net with batch normalisation seems constant to its running statistics after few steps, and learns."""
    net = {"architecture": architecture, "width": 0.25}
    curves = train(digits(), net, P=32, steps=4, evaluations=1).curves
    assert curves["train_loss"].values.shape == (1, 2) and not curves["collapsed"].values.any()


@pytest.mark.parametrize("changes", [{"steps": 1}, {"steps": 60, "P": 16}, {"steps": 20, "learning_rate": 1e-4}])
@pytest.mark.parametrize("net", [{"architecture": "fc"}, LENET, {"architecture": "cnn"}], ids=str)
def test_a_net_that_has_hardly_learnt_has_not_collapsed(net, changes):
    assert not train(digits(), net, **changes).curves["collapsed"].values.any()


def test_best_weights_are_those_of_the_best_test_error():
    data = digits()
    result = train(data, P=128, steps=200, evaluations=8)
    errors = result.curves["test_error"].values[0]
    column = list(result.curves["epoch"].values).index(result.curves["best_epoch"].values[0])
    assert errors[column] == min(errors[1:])
    net = load_net(request(P=128), data, result.weights, "best", 0, CPU).eval()
    test = torch.nonzero(data.test).flatten()
    with torch.no_grad():
        predicted = net(data.seen(test, CPU)).argmax(1)
    assert float((predicted != data.labels[test]).double().mean()) == pytest.approx(errors[column])


@pytest.mark.parametrize("P", [1, 15, 16, 17, 100])
def test_any_P_trains(P):
    assert np.isfinite(train(digits(), P=P, steps=5).curves["train_loss"].values).all()


def test_hinge_learns_the_stripe():
    errors = train(stripe(), HIDDEN, P=256, steps=400, batch_size=256, **{**HINGE, "learning_rate": 100}).curves
    assert errors["test_error"].values[0, -1] < 0.2 < errors["test_error"].values[0, 0]


@pytest.mark.parametrize("how", ["alone", "together"])
def test_large_alpha_moves_the_weights_less(how):
    moved = []
    for alpha in (0.1, 100.0):
        changes = {**HINGE, "learning_rate": 10, "alpha": alpha, "steps": 200, "batch_size": 64}
        weights = train(stripe(), HIDDEN, seeds=range(2), how=how, **changes).weights
        moved.append(float((weights["last/hidden.weight"] - weights["init/hidden.weight"]).norm()))
    assert moved[1] < 0.1 * moved[0]


def test_training_ends_at_zero_loss_and_later_records_repeat_it():
    """The hinge is exactly zero once every margin is met; the seeds of a range get there at different times."""
    changes = {**HINGE, "learning_rate": 100, "steps": 4000, "batch_size": 16, "evaluations": 10, "snapshots": 6}
    full = train(stripe(), HIDDEN, P=16, seeds=range(3), **changes).curves
    assert np.isnan(full["ended_epoch"].values).all()
    for how in ("alone", "together"):
        result = train(stripe(), HIDDEN, P=16, seeds=range(3), how=how, zero_loss_epochs=3, **changes)
        ended = result.curves["ended_epoch"].values
        assert (ended < 4000).all() and len(set(ended)) > 1
        assert (result.curves["train_loss"].values[:, -1] == 0).all()
        after = result.curves["epoch"].values >= ended[:, None]
        for name in ("train_loss", "test_error"):
            values = result.curves[name].values
            assert np.isfinite(values).all()
            for seed in range(3):
                assert len(set(values[seed][after[seed]])) == 1
        # Without weight decay and at zero loss, nothing moves any more: the end is that of the full training.
        np.testing.assert_allclose(
            result.curves["test_error"].values[:, -1], full["test_error"].values[:, -1], atol=0.01
        )
        assert np.isfinite(result.curves["snapshot_test_error"].values).all()
        stays = load_net(request(HIDDEN, **changes), stripe(), result.weights, "step4000", 0, CPU).state_dict()
        last = result.weights["last/hidden.weight"][0]
        assert (stays["hidden.weight"] - last).abs().max() < 1e-3 * last.abs().max()


def test_a_zero_streak_is_counted_in_epochs():
    first, third = (
        train(stripe(), HIDDEN, P=16, steps=4000, batch_size=16, zero_loss_epochs=k, **{**HINGE, "learning_rate": 100})
        for k in (1, 3)
    )
    assert third.curves["ended_epoch"].values == first.curves["ended_epoch"].values + 2


def test_label_smoothing_keeps_the_outputs_small():
    sharp, smooth = (
        train(digits(), FC, P=32, steps=200, label_smoothing=value, **ADAM).weights["last/5.weight"].norm()
        for value in (0.0, 0.3)
    )
    assert smooth < sharp


def test_snapshots_are_the_net_on_its_way():
    """Log-spaced in steps, from the first to the last; taking them changes nothing."""
    data = digits()
    bare, watched = train(data), train(data, snapshots=4)
    assert "snapshot_step" not in bare.curves
    assert watched.curves["snapshot_step"].values.tolist() == [1, 4, 15, 60]
    assert all(torch.equal(t, watched.weights[name]) for name, t in bare.weights.items())
    last = load_net(request(), data, watched.weights, "step60", 0, CPU).state_dict()
    for name, tensor in last.items():
        torch.testing.assert_close(tensor, watched.weights[f"last/{name}"][0], atol=1e-3, rtol=1e-3)
    losses = watched.curves["snapshot_train_loss"].values[0]
    assert losses[-1] == watched.curves["train_loss"].values[0, -1]
    assert list(losses) == sorted(losses, reverse=True)


def test_a_run_that_diverges_keeps_the_snapshots_before():
    curves = train(digits(), LENET, learning_rate=1e6, snapshots=4).curves
    missing = np.isnan(curves["snapshot_train_loss"].values[0])
    assert len(missing) == 4 and missing[-1]
    np.testing.assert_array_equal(missing, np.isnan(curves["snapshot_test_error"].values[0]))


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_precisions_learn_and_are_recorded(precision):
    exact, rounded = train(digits(), P=256, steps=100), train(digits(), P=256, steps=100, precision=precision)
    assert exact.attributes["precision"] == "float32" and rounded.attributes["precision"] == precision
    assert same(exact, rounded) == (precision == "tf32")  # which only GPUs know
    assert all(t.dtype == exact.weights[name].dtype for name, t in rounded.weights.items())
    errors = rounded.curves["test_error"].values
    assert errors[0, -1] < 0.5 * errors[0, 0]


def test_a_compiled_step_gives_the_same_training():
    from relative_stability.training.run import Execution, train_run

    compiled = train_run(request(FC, steps=12, **ADAM), digits(), range(2), CPU, execution=Execution(compile=True))
    plain = train(digits(), FC, steps=12, seeds=range(2), **ADAM)
    assert compiled.attributes["compiled"] == 1 and compiled.attributes["seeds_together"] == 2
    np.testing.assert_allclose(compiled.curves["train_loss"].values, plain.curves["train_loss"].values, rtol=1e-3)


def test_attributes_say_how_it_was_trained():
    made = train(digits(), FC, seeds=range(3), **ADAM).attributes
    assert made["seeds_together"] == 3 and made["threads"] == torch.get_num_threads() and made["restarts"] == 0
    assert 0 < made["evaluation_time_s"] < made["train_time_s"]
    images = made["images_per_second"] * (made["train_time_s"] - made["evaluation_time_s"])
    assert images == pytest.approx(3 * 60 * 16, rel=0.01)
    assert 100 < made["peak_memory_mb"] < 20_000


class Shy(torch.nn.Module):
    """A net that has memory for so many samples."""

    def __init__(self, net, most):
        super().__init__()
        self.net, self.most = net, most

    def forward(self, x):
        if self.training and len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return self.net(x)


def shy_training(most, **has):
    net = Shy(make_net(FC, digits(), "cross_entropy", 0), most)
    options = {**request(**ADAM, steps=20)["training"]}
    return Training(Alone(net, False, CPU), Pool(digits(), CPU), 64, options, [0], **has)


def test_a_batch_that_does_not_fit_is_cut_and_gives_the_same_result(caplog):
    wide, narrow = shy_training(16), shy_training(5)
    with caplog.at_level("WARNING", "relative_stability"):
        for training in (wide, narrow):
            while not training.finished:
                training.advance()
    assert wide.parts == 1 and narrow.parts == 4 and "cut into 4 parts" in caplog.text
    for name, tensor in wide.records.weights.items():
        torch.testing.assert_close(tensor, narrow.records.weights[name], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(
        wide.records.curves["train_loss"], narrow.records.curves["train_loss"], rtol=1e-4
    )  # fmt: skip


@pytest.mark.parametrize(("most", "has"), [(5, {"batch_norm": True}), (5, {"dropout": True}), (0, {})])
def test_a_batch_that_cannot_be_cut_is_one_sentence(most, has):
    training = shy_training(most, **has)
    with pytest.raises(
        run.OutOfMemory,
        match=r"^out of memory at a batch of 16 samples for 1 seed\(s\) at once; take a smaller batch_size, or give the job more memory$",
    ):
        while not training.finished:
            training.advance()


def test_no_memory_for_an_evaluation_is_one_sentence(monkeypatch):
    def short(self, images):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(members.Alone, "evaluate", short)
    with pytest.raises(run.OutOfMemory, match=r"^out of memory with 1 seed\(s\) at once; give the job more$"):
        train(digits())


@pytest.mark.parametrize("count", [1, 3])
def test_no_step_waits_for_the_device(count):
    """A look at a number (item, bool, float) would; so would a test of which seeds are over."""
    options = {**request(augmentation=["crop", "flip", "diffeomorphism"])["training"]}
    nets = [make_net(CNN, digits(), "cross_entropy", seed) for seed in range(count)]
    together = Alone(nets[0], False, CPU) if count == 1 else Together(nets, False, False, CPU)
    training = Training(together, Pool(digits(), CPU), 64, options, range(count))
    training.advance()
    training.advance()
    with Seen() as seen:
        training.advance()  # nothing is due
        training.advance()
    assert training.taken == 2 and "aten.convolution.default" in seen.names
    assert not [name for name in seen.names if "_local_scalar_dense" in name or "nonzero" in name]
    with Seen() as seen:
        bool(torch.ones(1) > 0)
    assert "aten._local_scalar_dense.default" in seen.names  # what it looks for would be seen


def test_a_stack_that_does_not_fit_goes_on_seed_by_seed(monkeypatch, caplog):
    plain = train(digits(), seeds=range(2), how="alone")
    forward = members.Together._forward

    def short(self, images):
        if torch.is_grad_enabled():
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
        return forward(self, images)

    monkeypatch.setattr(members.Together, "_forward", short)
    with caplog.at_level("WARNING", "relative_stability"):
        result = train(digits(), seeds=range(2), how="together")
    assert "out of memory at a batch of 16 samples for 2 seed(s) at once" in caplog.text
    assert result.attributes["seeds_together"] == 1 and same(result, plain)
