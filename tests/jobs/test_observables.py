"""What is measured of a run, by hand: which rule of batch normalisation, and what collapsed runs leave behind."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import relative_stability as rs
from relative_stability import datasets
from relative_stability.analysis.claims.diffeomorphisms import check_all
from relative_stability.analysis.explaining import explanations
from relative_stability.datasets.prepared import open_prepared, write_prepared
from relative_stability.figures import explaining
from relative_stability.jobs import observables
from relative_stability.representations.alignment import alignment
from relative_stability.representations.gram import layer_grams
from relative_stability.training.run import train_run
from tests.sweeps import collected
from tests.training.small import OPTIONS

CPU = torch.device("cpu")
STABILITY = {
    "perturbation": "diffeomorphism", "cut": [3], "displacement": [0.6], "images": 60, "draws": 1, "estimator": "mean",
    "trained_weights": "best", "batch_norm": "auto", "seed": 0, "layers": "blocks",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.nc"
    write_prepared(path, datasets.load("digits", image_size=12), datasets.facts("digits", image_size=12), {})
    return open_prepared(path)


def run(net, **training):
    return {"net": net, "training": {**OPTIONS, "steps": 6, "snapshots": 3, **training}, "P": 32}


def measure(request, data, observable, curves, weights):
    whole = {"run": request, "stability": STABILITY, "observable": observable}
    return observables.measure_run(whole, data, curves, weights, CPU)


@pytest.mark.parametrize("pretrained", [False, True])
def test_given_weights_are_measured_with_the_statistics_that_they_bring(data, tmp_path, monkeypatch, pretrained):
    """Or R would seem to change in the first step, when only the rule does."""
    net, rules = {"architecture": "cnn", "width": 0.25}, []
    if pretrained:
        start = rs.build_net("cnn", 1, 10, 12, width=0.25)
        start.train()(torch.randn(64, 1, 12, 12))
        save_file(start.state_dict(), tmp_path / "start.safetensors")
        net["pretrained"] = "start.safetensors"
    request = run(net)
    curves, weights, _ = train_run(request, data, range(1), CPU, tmp_path)
    if pretrained:
        assert torch.equal(weights["init/0.weight"][0], start.state_dict()["0.weight"])
    measured = observables.stability_dataset

    def spied(*arguments, batch_norm, **options):
        rules.append(batch_norm)
        return measured(*arguments, batch_norm=batch_norm, **options)

    monkeypatch.setattr(observables, "stability_dataset", spied)
    measure(request, data, "output", curves, weights)
    assert rules == (["running", "running"] if pretrained else ["batch", "running"])
    rules.clear()
    measure(request, data, "dynamics", curves, weights)
    assert set(rules) == ({"running"} if pretrained else {"batch"})


def test_a_collapsed_seed_leaves_no_number_in_any_observable(data):
    request = run({"architecture": "lenet"}, learning_rate=2.0, steps=300)
    curves, weights, _ = train_run(request, data, range(2), CPU)
    assert curves["collapsed"].values.all()
    attributes = {"trained_weights": "best", "perturbation": "diffeomorphism"}
    measured = {
        name: measure(request, data, name, curves, weights).assign_attrs(attributes) for name in observables.OBSERVABLES
    }
    labels = {"dataset": "digits", "net": "lenet", "architecture": "lenet", "pretrained": False, "P": 32}
    sweep = collected([(labels, measured, curves)])
    assert sweep.collapsed.all() and not sweep.diverged.any()
    for name in ("R", "D", "G", "R_depth", "R_over_seeds", "R_depth_over_seeds"):
        assert np.isnan(sweep[name].sel(state="trained")).all(), name
        assert np.isfinite(sweep[name].sel(state="init")).any(), name
    for name in ("R_dynamics", "R_dynamics_over_seeds"):
        assert np.isnan(sweep[name].isel(snapshot=slice(1, None))).all(), name
        assert np.isfinite(sweep[name].isel(snapshot=0)).all(), name
    assert np.isnan(sweep.test_error.sel(state="trained")).all()


@pytest.mark.slow
def test_dimension_and_alignment_of_layers_stand_in_the_sweep_and_explain_or_not(data):
    cells = []
    for net, P in (("fc", 16), ("fc", 64), ("cnn", 16), ("cnn", 64), ("lenet", 16), ("lenet", 64)):
        request = {**run({"architecture": net, **({"width": 16, "depth": 1} if net == "fc" else {})}), "P": P}
        curves, weights, _ = train_run(request, data, range(2), CPU)
        attributes = {"trained_weights": "best", "perturbation": "diffeomorphism"}
        measured = {
            name: measure(request, data, name, curves, weights).assign_attrs(attributes)
            for name in ("output", "dimension", "alignment")
        }
        labels = {"dataset": "digits", "net": net, "architecture": net, "pretrained": False, "P": P}
        cells.append((labels, measured, curves))
    sweep = collected(cells).assign_attrs(sweep="default")
    assert sweep.intrinsic_dimension.dims == ("dataset", "net", "P", "seed", "state", "layer")
    assert sweep.layer_name.sel(net="fc").values[0] == "0" and (sweep.alignment.max() <= 1).item()
    low, high = (sweep.intrinsic_dimension_interval.sel(bound=end) for end in ("lower", "upper"))
    there = sweep.intrinsic_dimension.notnull()
    assert ((low < sweep.intrinsic_dimension) & (sweep.intrinsic_dimension < high)).values[there.values].all()
    one = sweep.sel(dataset="digits", net="cnn", P=64, seed=1)
    net = observables.load_net({**run({"architecture": "cnn"}), "P": 64}, data, weights_of(cells, data), "best", 1, CPU)
    images = data.test_subset(60, 0)
    grams = layer_grams(net, data.seen(images, CPU), "blocks", "running")
    expected = [alignment(gram, data.labels[images].long(), 10) for gram in grams.values()]
    np.testing.assert_allclose(one.alignment.sel(state="trained").values[: len(expected)], expected, rtol=1e-6)
    found = explanations([sweep])
    assert found["intrinsic dimension of the output"].value.dims == ("dataset", "net", "P", "seed")
    last = sweep.intrinsic_dimension.sel(state="trained", net="fc").dropna("layer", how="all").isel(layer=-1)
    np.testing.assert_array_equal(found["intrinsic dimension of the output"].value.sel(net="fc"), last)
    rows = [row for row in check_all([sweep]) if row.claim.startswith("8.")]
    assert len(rows) == 7 and {row.verdict for row in rows} == {"open"}
    drawn = explaining.numbers([sweep])
    for row in rows:
        name = row.quantity.removeprefix("rank correlation with ").partition(", nets at")[0]
        value = drawn.correlation.sel(dataset="digits", quantity=name, over="nets at the largest P", of="value").item()
        assert value == row.value or (np.isnan(value) and np.isnan(row.value))


def test_dimension_and_alignment_are_followed_through_training(data):
    """From what they are at initialisation, as all snapshots are measured by the same rule of batch normalisation."""
    request = run({"architecture": "fc", "width": 16, "depth": 1})
    curves, weights, _ = train_run(request, data, range(2), CPU)
    attributes = {"trained_weights": "last", "perturbation": "diffeomorphism"}
    names = ("output", "dimension", "dimension_dynamics", "alignment", "alignment_dynamics")
    measured = {name: measure(request, data, name, curves, weights).assign_attrs(attributes) for name in names}
    labels = {"dataset": "digits", "net": "fc", "architecture": "fc", "pretrained": False, "P": 32}
    sweep = collected([(labels, measured, curves)])
    steps = sweep.snapshot_step.values.ravel().astype(int).tolist()
    assert steps[0] == 0 and steps[-1] == 6
    for name in ("intrinsic_dimension", "alignment", "kernel_alignment"):
        moving, before = sweep[f"{name}_dynamics"], sweep[name].sel(state="init")
        assert moving.dims == ("dataset", "net", "P", "seed", "snapshot") and np.isfinite(moving).all()
        before = before.isel(layer=-1) if "layer" in before.dims else before
        np.testing.assert_allclose(moving.isel(snapshot=0), before, rtol=1e-6)
    assert "at each snapshot" in sweep.kernel_alignment_dynamics.attrs["long_name"]
    images = data.test_subset(60, 0)
    net = observables.load_net(request, data, weights, "step6", 1, CPU)
    (gram,) = layer_grams(net, data.seen(images, CPU)).values()
    expected = alignment(gram, data.labels[images].long(), 10)
    assert sweep.alignment_dynamics.isel(seed=1, snapshot=-1).item() == pytest.approx(expected)


def weights_of(cells, data):
    """Those of cnn at P = 64, trained again."""
    return train_run({**run({"architecture": "cnn"}), "P": 64}, data, range(2), CPU).weights
