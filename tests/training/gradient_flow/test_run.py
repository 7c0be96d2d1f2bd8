"""A run by gradient flow: what it keeps, that it goes on where it was stopped, and what is measured on it."""

import numpy as np
import pytest
import torch

from relative_stability.core.errors import Stopped
from relative_stability.training.checkpoints import Checkpoints
from relative_stability.training.gradient_flow.linear_model import compression
from relative_stability.training.gradient_flow.records import record_times
from relative_stability.training.gradient_flow.run import flow_run
from relative_stability.training.members import make_net
from tests.training.gradient_flow.flows import CPU, OPTIONS, follow, linear, measured, request, swept

pytestmark = pytest.mark.slow


def same(a, b):
    """Whether two runs made the same numbers, bit by bit, NaN included."""
    curves = all(a.curves[name].values.tobytes() == b.curves[name].values.tobytes() for name in a.curves)
    return curves and all(t.numpy().tobytes() == b.weights[name].numpy().tobytes() for name, t in a.weights.items())


@pytest.fixture(scope="module")
def trained():
    return follow()


def test_what_is_recorded_has_its_labels(trained):
    curves = trained.curves
    assert curves["hidden_weight"].dims == ("seed", "alpha", "time", "neuron", "feature")
    assert curves["hidden_weight"].values.shape == (2, 2, 9, 60, 4)
    for name in ("train_loss", "test_error", "compression", "neuron_compression", "output_scale"):
        assert curves[name].dims == ("seed", "alpha", "time") and np.isfinite(curves[name].values).all()
    assert curves["time"].values.tolist() == record_times(OPTIONS) == [0, *(10.0**k for k in range(8))]
    assert curves["alpha"].values.tolist() == [0.01, 100] and curves["met"].values.all()
    assert int(curves["dimension"].values) == 4 and int(curves["informative"].values) == 1
    assert trained.attributes["nets_together"] == 1 and trained.attributes["steps_per_second"] > 0


def test_curves_are_those_of_the_weights(trained):
    curves, data = trained.curves, linear()
    weights = curves["hidden_weight"].values
    np.testing.assert_array_equal(weights[:, 0, 0], weights[:, 1, 0])  # a seed starts from the same net
    first = make_net(request()["net"], data, "hinge", 1).get_parameter("hidden.weight").detach()
    np.testing.assert_array_equal(weights[1, 0, 0], first.numpy())
    at = (1, 0, 2)
    expected = compression(torch.from_numpy(weights[at]), range(1, 4)) / compression(first, range(1, 4))
    assert curves["compression"].values[at] == pytest.approx(float(expected), rel=1e-6)
    assert (curves["compression"].values[..., 0] == 1).all()
    ratios = [np.abs(w[:, 0]) / np.sqrt((w[:, 1:] ** 2).mean(1)) for w in (weights[at], first.numpy())]
    expected = np.median(ratios[0]) / np.median(ratios[1])
    assert curves["neuron_compression"].values[at] == pytest.approx(expected, rel=1e-6)
    # At the start the output is 0 everywhere, at the end it is that of the net with the weights that were kept.
    assert (curves["output_scale"].values[..., 0] == 0).all() and (curves["train_loss"].values[..., 0] == 1).all()
    end = int(np.isfinite(weights[1, 0, :, 0, 0]).sum()) - 1
    net, start = (make_net(request()["net"], data, "hinge", 1) for _ in range(2))
    rest = {n.removeprefix("time/"): t[1, 0, end] for n, t in trained.weights.items() if n.startswith("time/")}
    net.load_state_dict({"hidden.weight": torch.from_numpy(weights[1, 0, end]), **rest})
    test = data.images[data.test]
    with torch.no_grad():
        outputs = 0.01 * (net(test) - start(test))[:, 0]
    assert curves["output_scale"].values[1, 0, -1] == pytest.approx(float(outputs.square().mean().sqrt()), rel=1e-4)
    wrong = ((outputs > 0) != (data.labels[data.test] == 1)).double().mean()
    assert curves["test_error"].values[1, 0, -1] == pytest.approx(float(wrong), abs=0.004)


def test_after_the_end_scalars_stay_and_weights_are_not_there(trained):
    curves = trained.curves
    for index in np.ndindex(2, 2):
        times, stop = curves["time"].values, curves["stop_time"].values[index]
        there = np.isfinite(curves["hidden_weight"].values[index][:, 0, 0])
        assert there.sum() == (times < stop).sum() + 1
        assert len(set(curves["train_loss"].values[index][there.sum() - 1 :])) == 1


def test_features_are_learnt_at_small_alpha_alone(trained):
    feature, lazy = trained.curves["compression"].values[..., -1].mean(0)
    assert feature > 3 and lazy < 1.5


@pytest.mark.parametrize("source", ["interface", "stripe", "cylinder"])
def test_every_linear_dataset_is_fitted(source):
    curves = follow(seeds=range(1), source=source, P=32).curves
    assert curves["met"].values.all() and (curves["test_error"].values[..., -1] < 0.45).all()
    assert int(curves["informative"].values) == (2 if source == "cylinder" else 1)


def test_a_time_limit_leaves_margins_unmet_and_says_so():
    curves = follow(seeds=range(1), max_time=30.0, snapshots=3).curves
    assert not curves["met"].values[0, 1] and curves["stop_time"].values[0, 1] == 30
    assert np.isfinite(curves["hidden_weight"].values[0, 1]).all()


def test_a_flow_that_gets_nowhere_is_marked_and_the_others_go_on(caplog):
    data = linear()
    usual, images = request(), data.images.clone()
    first, second = (set(data.training_subset(usual["P"], seed).tolist()) for seed in range(2))
    images[min(second - first)] = torch.nan
    curves = flow_run(usual, data._replace(images=images), range(2), CPU).curves
    assert np.isnan(curves["diverged_epoch"].values[0]).all() and curves["met"].values[0].all()
    assert (curves["diverged_epoch"].values[1] == 0).all() and not curves["met"].values[1].any()
    assert "seed 1, alpha 0.01: no step is short enough at t = 0; it enters no average" in caplog.text


def test_same_seed_same_bits_and_stacks_agree_with_single_nets(trained):
    assert same(follow(), trained)
    together = follow(how="together")
    assert together.attributes["nets_together"] == 4
    for name in ("compression", "train_loss", "output_scale"):
        np.testing.assert_allclose(together.curves[name].values, trained.curves[name].values, rtol=0.05, atol=0.01)


def test_large_alpha_takes_double_precision():
    assert follow(seeds=range(1), alpha=[1e6], P=16).attributes["precision"] == "float64"


def test_deeper_nets_keep_their_first_layer():
    found = follow(seeds=range(1), architecture="fc", net={"depth": 2}, width=20, P=16)
    assert found.curves["hidden_weight"].values.shape == (1, 2, 9, 20, 4) and found.curves["met"].values.all()
    assert "time/3.weight" in found.weights and "time/1.weight" not in found.weights


class Interrupted(Checkpoints):
    """Asked to leave at the `calls`-th look."""

    calls = 60

    def check_stopped(self):
        self.calls -= 1
        if self.calls == 0:
            self.asked = "SIGTERM"
        super().check_stopped()


@pytest.mark.parametrize("how", ["alone", "together"])
@pytest.mark.parametrize("minutes", [0, 10])
def test_it_goes_on_to_the_same_bits(tmp_path, how, minutes):
    whole = follow(how=how)
    with pytest.raises(Stopped):
        follow(how=how, checkpoints=Interrupted(tmp_path, "x", minutes))
    kept = Checkpoints(tmp_path, "x", minutes)
    assert kept.groups()
    resumed = follow(how=how, checkpoints=kept)
    assert same(whole, resumed) and resumed.attributes["restarts"] == 1


def test_what_is_recorded_of_t_star_is_that_of_the_moment(trained):
    curves, data = trained.curves, linear()
    first = make_net(request()["net"], data, "hinge", 1).get_parameter("hidden.weight").detach()
    for k in range(2):
        at = {"seed": 1, "alpha": curves["alpha"].values[k]}
        time, share = (float(curves[name].sel(at)) for name in ("fitted_time", "fitted_share"))
        assert 0.1 < share <= 0.1 + 1 / 48 + 1e-9 and 0 < time < float(curves["stop_time"].sel(at))
        weights = torch.from_numpy(curves["fitted_weight"].sel(at).values)
        expected = compression(weights, range(1, 4)) / compression(first, range(1, 4))
        assert float(curves["fitted_compression"].sel(at)) == pytest.approx(float(expected), rel=1e-6)
        # Between what was recorded before and after it.
        loss, times = curves["train_loss"].sel(at).values, curves["time"].values
        later = int(np.searchsorted(times, time))
        assert loss[later] - 1e-6 <= float(curves["fitted_train_loss"].sel(at)) <= loss[later - 1] + 1e-6
    assert (curves["limit_compression"].values > 1).all()


def test_a_flow_may_end_at_t_star(trained):
    left = follow(flow_end="fitted").curves
    for name in ("fitted_time", "fitted_share", "fitted_compression"):
        np.testing.assert_allclose(left[name].values, trained.curves[name].values, rtol=0.02)
    np.testing.assert_array_equal(left["stop_time"].values, left["fitted_time"].values)
    np.testing.assert_array_equal(left["compression"].values[..., -1], left["fitted_compression"].values)
    assert not left["met"].values.any()


def test_the_state_at_t_star_is_measured_between_the_two_others(trained):
    output = measured(request(), linear(), trained, "output")
    assert output["state"].values.tolist() == ["init", "fitted", "trained"]
    left = measured(request(), linear(), follow(flow_end="fitted"), "output")
    np.testing.assert_array_equal(left["R"].sel(state="fitted").values, left["R"].sel(state="trained").values)
    np.testing.assert_allclose(left["R"].sel(state="fitted").values, output["R"].sel(state="fitted").values, rtol=0.1)


def test_what_is_measured_has_alpha_and_time_as_dimensions(trained):
    output = measured(request(), linear(), trained, "output")
    assert output["R"].dims == ("seed", "alpha", "state", "magnitude") and np.isfinite(output["R"].values).all()
    dynamics = measured(request(), linear(), trained, "dynamics")
    assert dynamics["R"].dims == ("seed", "alpha", "time", "magnitude")
    np.testing.assert_array_equal(dynamics["R"].values[:, :, -1], output["R"].sel(state="trained").values)
    np.testing.assert_array_equal(dynamics["R"].values[:, :, 0], output["R"].sel(state="init").values)


def test_r_is_that_of_the_difference_from_the_initial_net(trained):
    """By hand, from the definition, with fresh noise: within what 60 samples leave open."""
    found = measured(request(), linear(), trained, "output")["R"].sel(state="trained").values[0, :, 1]
    data, generator = linear(), torch.Generator().manual_seed(5)
    x = data.images[data.test][:, :, 0, 0]
    for k in range(2):
        weights = trained.curves["hidden_weight"].values[0, k]
        end = int(np.isfinite(weights[:, 0, 0]).sum()) - 1

        def f(x, k=k, end=end, weights=weights):
            net = make_net(request()["net"], data, "hinge", 0)
            outputs = []
            for column in (end, 0):
                kept = {n: t[0, k, column] for n, t in trained.weights.items() if n.startswith("time/")}
                rest = {n.removeprefix("time/"): t for n, t in kept.items()}
                net.load_state_dict({"hidden.weight": torch.from_numpy(weights[column]), **rest})
                outputs.append(net(x[..., None, None])[:, 0].detach())
            return outputs[0] - outputs[1]

        along = torch.randn(x.shape, generator=generator)
        along[:, 0] = 0
        noise = torch.randn(x.shape, generator=generator)
        noise *= along.norm(dim=1).mean() / noise.norm(dim=1, keepdim=True)
        expected = float(((f(x + along) - f(x)) ** 2).mean() / ((f(x + noise) - f(x)) ** 2).mean())
        assert found[k] == pytest.approx(expected, rel=0.6)


def test_a_sweep_has_alpha_as_a_labelled_dimension():
    sweep, _ = swept()
    assert sweep.R.dims == ("dataset", "net", "P", "seed", "alpha", "state", "magnitude")
    assert sweep.compression_curve.dims == ("dataset", "net", "P", "seed", "alpha", "time")
    assert sweep.R_dynamics.sel(alpha=0.01, P=48, seed=0).dims == ("dataset", "net", "time", "magnitude")
    assert sweep.dimension.sel(dataset="stripe") == 4 and str(sweep.task.sel(dataset="stripe").values) == "stripe"
    assert sweep.met.all() and not sweep.diverged.any()
    assert "hidden_weight" not in sweep  # those of ten thousand neurons would not fit
    one, curve = sweep.compression.sel(state="trained"), sweep.compression_curve.isel(time=-1)
    np.testing.assert_array_equal(one.values, curve.values)
