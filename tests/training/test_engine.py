import math

import numpy as np
import pytest
import torch

from relative_stability import InputError, datasets
from relative_stability.datasets.prepared import open_prepared, write_prepared
from relative_stability.training.engine import STATES, _Split, recorded_epochs, snapshot_steps, train_seed
from relative_stability.training.objective import Objective, output_count
from relative_stability.training.run import load_net, train_run

CPU = torch.device("cpu")
OPTIONS = {
    "loss": "cross_entropy", "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 5e-4,
    "schedule": "cosine", "batch_size": 16, "steps": 60, "evaluations": 4, "alpha": None,
}  # fmt: skip
NET = {"architecture": "cnn", "width": 0.5}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.nc"
    write_prepared(path, datasets.load("digits", image_size=12), datasets.facts("digits", image_size=12), {})
    return open_prepared(path)


@pytest.fixture(scope="module")
def stripe(tmp_path_factory):
    options = {"dimension": 4, "train_size": 512, "test_size": 500, "seed": 0}
    path = tmp_path_factory.mktemp("data") / "stripe.nc"
    write_prepared(path, datasets.load("stripe", **options), datasets.facts("stripe", **options), {})
    return open_prepared(path)


def train(data, net=NET, P=64, seed=0, **changes):
    return train_seed(net, data, P, {**OPTIONS, **changes}, seed, CPU)


def test_it_learns_real_digits(digits):
    result = train(digits, P=512, steps=300)
    assert result.test_error[0] > 0.7
    assert result.test_error[-1] < 0.15
    assert result.train_loss[-1] < 0.3 * result.train_loss[0]
    assert result.diverged_epoch is None


def test_same_seed_same_bits_other_seed_other_numbers(digits):
    a, b, c = (train(digits, seed=seed) for seed in (0, 0, 1))
    assert a.test_error == b.test_error
    for state in STATES:
        assert all(torch.equal(a.weights[state][key], b.weights[state][key]) for key in a.weights[state])
    assert a.train_loss != c.train_loss


def test_training_leaves_the_global_generator_alone(digits):
    torch.manual_seed(2)
    before = torch.get_rng_state()
    train(digits)
    assert torch.equal(torch.get_rng_state(), before)


def test_divergence_is_recorded_with_its_epoch_and_is_no_error(digits):
    result = train(digits, net={"architecture": "lenet"}, learning_rate=1e6)
    assert result.diverged_epoch is not None and result.diverged_epoch >= 1
    assert math.isnan(result.train_loss[-1]) and math.isnan(result.test_error[-1])
    assert all(torch.isfinite(t).all() for t in result.weights["best"].values())


def test_a_collapsed_net_is_told_from_one_that_learns_and_one_that_diverged(digits):
    """At this rate LeNet dies at once: its loss stays finite, near that of a constant output."""
    dead = train(digits, net={"architecture": "lenet"}, learning_rate=2.0, steps=300)
    assert dead.diverged_epoch is None and dead.collapsed
    assert dead.train_loss[-1] == pytest.approx(math.log(10), rel=0.1)
    assert not train(digits, P=512, steps=300).collapsed
    assert not train(digits, net={"architecture": "lenet"}, learning_rate=1e6).collapsed


def test_an_output_that_hardly_varies_is_no_collapse_and_a_constant_one_is(digits):
    samples = _Split(digits, digits.training_subset(200, 0), CPU)
    wild, faint, constant = (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 10)) for _ in range(3))
    with torch.no_grad():
        wild[1].weight.normal_(std=100, generator=torch.Generator().manual_seed(0))
        faint[1].weight.normal_(std=1e-4, generator=torch.Generator().manual_seed(0))
        constant[1].weight.zero_()
    assert samples.collapsed(constant) and not samples.collapsed(wild) and not samples.collapsed(faint)
    # A single sample says nothing.
    assert not _Split(digits, digits.training_subset(1, 0), CPU).collapsed(constant)


@pytest.mark.parametrize("changes", [{"steps": 1}, {"steps": 60, "P": 16}, {"steps": 20, "learning_rate": 1e-4}])
@pytest.mark.parametrize("name", ["fc", "lenet", "cnn"])
def test_a_net_that_has_hardly_learnt_has_not_collapsed(digits, name, changes):
    assert not train(digits, net={"architecture": name}, **changes).collapsed


def test_dropout_is_drawn_from_the_seed(digits):
    """And not from torch's global generator, whatever stands in it."""
    net, losses = {"architecture": "mobilenet_v2", "width": 0.25}, []
    for state in (1, 2):
        torch.manual_seed(state)
        losses.append(train(digits, net=net, P=32, steps=4, learning_rate=0.01).train_loss)
    assert losses[0] == losses[1]


def test_training_ends_at_max_epochs():
    options = {"steps": 60, "batch_size": 16, "evaluations": 4}
    assert recorded_epochs({**options, "max_epochs": 8}, P=64) == [0, 2, 4, 6, 8]
    assert recorded_epochs({**options, "max_epochs": 800}, P=64)[-1] == 15
    assert recorded_epochs({**options, "max_epochs": None}, P=64)[-1] == 15


def test_a_diverged_seed_leaves_its_neighbours_alone(digits, monkeypatch):
    from relative_stability.training import engine

    make = engine.make_net

    def poisoned(net, data, loss, seed):
        model = make(net, data, loss, seed)
        if seed == 1:
            with torch.no_grad():
                next(model.parameters()).mul_(math.nan)
        return model

    request = {"net": NET, "training": OPTIONS, "P": 32}
    alone, _ = train_run(request, digits, range(3), CPU)
    monkeypatch.setattr(engine, "make_net", poisoned)
    curves, weights = train_run(request, digits, range(3), CPU)
    np.testing.assert_array_equal(np.isnan(curves["diverged_epoch"].values), [True, False, True])
    np.testing.assert_array_equal(curves["test_error"].values[[0, 2]], alone["test_error"].values[[0, 2]])
    assert np.isnan(curves["test_error"].values[1]).all()
    assert {name.split("/")[0] for name in weights} == set(STATES)


def test_best_weights_are_those_of_the_best_test_error(digits):
    result = train(digits, P=128, steps=200, evaluations=8)
    assert result.test_error[result.best] == min(result.test_error[1:])
    request = {"net": NET, "training": {**OPTIONS, "steps": 200, "evaluations": 8}, "P": 128}
    _, weights = train_run(request, digits, range(1), CPU)
    net = load_net(request, digits, weights, "best", 0, CPU).eval()
    test = torch.nonzero(digits.test).flatten()
    with torch.no_grad():
        predicted = net(digits.seen(test, CPU)).argmax(1)
    error = float((predicted != digits.labels[test]).double().mean())
    assert error == pytest.approx(result.test_error[result.best])


@pytest.mark.parametrize("P", [1, 15, 16, 17, 100])
def test_any_P_trains(digits, P):
    assert math.isfinite(train(digits, P=P, steps=5).train_loss[-1])


def test_epochs_cover_the_steps_and_end_with_the_last():
    assert recorded_epochs({"steps": 60, "batch_size": 16, "evaluations": 4}, P=64) == [0, 4, 8, 11, 15]
    assert recorded_epochs({"steps": 1, "batch_size": 128, "evaluations": 20}, P=1000) == [0, 1]
    assert recorded_epochs({"steps": 10, "batch_size": 100, "evaluations": 100}, P=5) == list(range(11))


def test_hinge_learns_the_stripe(stripe):
    net = {"architecture": "one_hidden", "width": 100}
    changes = {
        "loss": "hinge",
        "learning_rate": 100,
        "momentum": 0,
        "weight_decay": 0,
        "schedule": "constant",
    }
    result = train(stripe, net=net, P=256, steps=400, **changes, batch_size=256)
    assert result.test_error[-1] < 0.2 < result.test_error[0]


def test_large_alpha_moves_the_weights_less(stripe):
    net = {"architecture": "one_hidden", "width": 100}
    moved = []
    for alpha in (0.1, 100.0):
        changes = {"loss": "hinge", "learning_rate": 10, "momentum": 0, "weight_decay": 0, "alpha": alpha}
        weights = train(stripe, net=net, P=64, steps=200, **changes, batch_size=64).weights
        moved.append(float((weights["last"]["hidden.weight"] - weights["init"]["hidden.weight"]).norm()))
    assert moved[1] < 0.1 * moved[0]


def test_objective_by_hand():
    outputs, labels = torch.tensor([[0.5], [-2.0], [3.0]]), torch.tensor([1, 0, 0])
    hinge = Objective("hinge", None)
    assert float(hinge.value(outputs, labels)) == pytest.approx((0.5 + 0 + 4) / 3)
    assert hinge.errors(outputs, labels).tolist() == [False, False, True]
    scaled = Objective("hinge", 2.0)
    assert float(scaled.value(scaled.outputs(outputs, outputs - 0.25), labels)) == pytest.approx(
        (0.5 + 1.5 + 1.5) / 3 / 4
    )
    logits = torch.tensor([[2.0, 1.0], [math.nan, 0.0]])
    assert Objective("cross_entropy", None).errors(logits, torch.tensor([0, 1])).tolist() == [False, True]


def test_hinge_on_many_classes_is_refused():
    assert output_count("hinge", 2) == 1
    with pytest.raises(InputError, match="hinge needs a dataset of two classes, and this one has 10"):
        output_count("hinge", 10)


def test_snapshots_are_the_net_on_its_way(digits):
    """Log-spaced in steps, from the first to the last; taking them changes nothing."""
    bare, watched = train(digits), train(digits, snapshots=4)
    assert bare.snapshots == []
    assert [s.step for s in watched.snapshots] == [1, 4, 15, 60]
    for state in STATES:
        assert all(torch.equal(t, watched.weights[state][key]) for key, t in bare.weights[state].items())
    last = watched.snapshots[-1]
    assert all(torch.equal(t, last.weights[key]) for key, t in watched.weights["last"].items())
    assert (last.train_loss, last.test_error) == (watched.train_loss[-1], watched.test_error[-1])
    losses = [s.train_loss for s in watched.snapshots]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize(("total", "count"), [(1, 5), (7, 5), (1000, 20), (50, 1), (50, 0)])
def test_snapshot_steps_end_with_the_last_and_none_stands_twice(total, count):
    steps = snapshot_steps(total, count)
    assert steps == sorted(set(steps)) and len(steps) <= count
    assert not steps or steps[-1] == total
    assert count < 2 or steps[0] == 1


def test_a_run_that_diverges_keeps_the_snapshots_before(digits):
    diverging = train(digits, net={"architecture": "lenet"}, learning_rate=1e6, snapshots=4)
    missing = [s.weights is None for s in diverging.snapshots]
    assert len(missing) == 4 and missing[-1]
    assert all(math.isnan(s.train_loss) and math.isnan(s.test_error) for s in diverging.snapshots if s.weights is None)
