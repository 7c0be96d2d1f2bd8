"""Depth and dynamics through the workflow, on a sweep of their own."""

import numpy as np
import pytest
import xarray as xr

import relative_stability as rs
from tests.workflow.project import CONFIG, copy_project

pytestmark = pytest.mark.workflow

INSIDE = """sweeps:
  inside:
    datasets: [digits]
    nets: [fc, cnn]
    P: [16, 64]
    seeds: 0-1
    observables: [output, depth, dynamics]
    training: {snapshots: 4}
    stability: {displacement: [0.5, 1]}
"""
SWEEP = "results/sweeps/inside.nc"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("inside") / "project")
    config = project.path / CONFIG
    config.write_text(config.read_text().replace("sweeps:\n", INSIDE, 1))
    result = project.snakemake(SWEEP)
    assert result.returncode == 0, result.stdout + result.stderr
    return project


@pytest.fixture(scope="module")
def sweep(project):
    return rs.open_sweep(project.path / SWEEP)


def test_every_layer_of_every_net_is_there_in_order(sweep):
    assert sweep.R_depth.sizes["layer"] == 14  # those of the cnn: the fc has fewer, and is padded
    names = {net: [n for n in sweep.layer_name.sel(net=net).values.tolist() if n] for net in ("fc", "cnn")}
    assert names["fc"] == [str(k) for k in range(6)] and names["cnn"] == [str(k) for k in range(14)]
    assert np.isfinite(sweep.R_depth.sel(net="cnn")).all()
    fc = sweep.R_depth.sel(net="fc")
    assert np.isfinite(fc.isel(layer=slice(6))).all() and np.isnan(fc.isel(layer=slice(6, None))).all()
    # The last layer is the output.
    last = sweep.R_depth.sel(net="cnn", layer=13, drop=True)
    np.testing.assert_allclose(last, sweep.R.sel(net="cnn").transpose(*last.dims), rtol=1e-6)


def test_dynamics_run_from_the_initialisation_to_the_last_weights(sweep):
    steps = sweep.snapshot_step.sel(dataset="digits", net="cnn")
    assert steps.sel(P=16).values.tolist() == [0, 1, 4, 15, 60]
    assert sweep.snapshot_epoch.sel(dataset="digits", net="cnn", P=64).values.tolist() == [0, 0.25, 1, 3.75, 15]
    cell = sweep.sel(dataset="digits", net="cnn")
    np.testing.assert_allclose(
        cell.R_dynamics.isel(snapshot=0, drop=True), cell.R.sel(state="init").transpose(*cell.R_dynamics.dims[:2], ...)
    )
    assert np.isfinite(cell.R_dynamics).all()
    # One rule of batch normalisation for all: after a single step R has hardly moved.
    assert abs(np.log(cell.R_dynamics.isel(snapshot=1) / cell.R_dynamics.isel(snapshot=0))).max() < np.log(2)
    error = cell.snapshot_test_error.mean("seed")
    assert (error.isel(snapshot=-1) < error.isel(snapshot=0)).all()


def test_the_sweep_says_what_other_seeds_would_give(sweep):
    for name in ("R", "G_depth", "D_dynamics"):
        mean, ends = sweep[f"{name}_over_seeds"], sweep[f"{name}_over_seeds_interval"]
        np.testing.assert_allclose(mean, np.exp(np.log(sweep[name]).mean("seed")).transpose(*mean.dims))
        there = mean.notnull()
        assert (ends.sel(bound="lower") <= mean).where(there, True).all()
        assert (ends.sel(bound="upper") >= mean).where(there, True).all()
        assert "for other seeds" in ends.attrs["long_name"]
    assert "of this net alone" in sweep.R_interval.attrs["long_name"]


def test_snapshots_are_stored_with_the_weights(project):
    # Its pack may have trained a run of another sweep too, which keeps no snapshots.
    runs = [xr.load_dataset(path) for path in project.path.glob("results/training/digits/cnn/P16/*.nc")]
    (found,) = [run for run in runs if "snapshot_step" in run]
    assert found.snapshot_step.values.tolist() == [1, 4, 15, 60]
    assert found.snapshot_test_error.dims == ("seed", "snapshot")


def test_an_observable_added_later_trains_nothing(project):
    with project.edited(CONFIG, "observables: [output, depth, dynamics]", "observables: [output]"):
        assert project.jobs(CONFIG, SWEEP) == {"collect": 1}
    with project.edited(CONFIG, "displacement: [0.5, 1]}\n", 'displacement: [0.5, 1], layers: ["*"]}\n'):
        assert project.jobs(CONFIG, SWEEP) == {"pack": 1, "collect": 1}  # depth alone


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("training: {snapshots: 4}", "training: {snapshots: 0}", "dynamics needs snapshots of the training"),
        ("[output, depth, dynamics]", "[depth]", "sweeps.inside.observables: output is missing"),
        ("[output, depth, dynamics]", "[output, dept]", "'dept' is unknown; did you mean 'depth'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_first_job(project, old, new, sentence):
    with project.edited(CONFIG, old, new):
        result = project.snakemake("-n")
    assert result.returncode != 0 and sentence in result.stdout + result.stderr


def test_the_sweep_says_how_it_was_measured(project, sweep):
    expected = {"interpolation": "bilinear", "modes": "disc", "noise_matching": "auto", "estimator": "mean"}
    expected |= {"batch_norm": "auto", "trained_weights": "best", "cut": "[3]", "displacement": "[0.5,1]"}
    assert {key: sweep.attrs[key] for key in expected} == expected
    assert sweep.attrs["stability_seed"] == 0 and sweep.attrs["images"] == 100
