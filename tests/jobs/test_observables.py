"""What is measured of a run, by hand: which rule of batch normalisation, and what collapsed runs leave behind."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import relative_stability as rs
from relative_stability import datasets
from relative_stability.datasets.prepared import open_prepared, write_prepared
from relative_stability.jobs import observables
from relative_stability.training.run import train_run
from tests.sweeps import collected
from tests.training.small import OPTIONS

CPU = torch.device("cpu")
STABILITY = {
    "perturbation": "diffeomorphism", "cut": [3], "displacement": [0.6], "images": 20, "draws": 1, "estimator": "mean",
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
