"""Published sweeps, taken apart into what the files of their runs held and collected again, are what they were."""

import json
from pathlib import Path

import numpy as np
import pytest

import relative_stability as rs
from relative_stability.analysis.collect import combine, run_dataset
from relative_stability.plan.seeds import parse_seeds

FOLDER = Path(__file__).parents[2] / "docs/reproduction/sweeps"
SWEEPS = sorted(file.stem for file in FOLDER.glob("*.nc"))
DGR = [f"{q}{end}" for q in "DGR" for end in ("", "_interval")]
SCORES = ["train_loss", "test_error"]


def quantities(run, observable):
    return run[[f"{q[0]}_{observable}{q[1:]}" for q in DGR]].rename({f"{q[0]}_{observable}{q[1:]}": q for q in DGR})


def taken_apart(sweep, place):
    """Labels, measurements by observable, and curves of the run at this place."""
    dataset, net, P, seeds = place.split("/")
    run = sweep.reset_coords().sel(dataset=dataset, net=net, P=int(P[1:]), seed=list(parse_seeds(seeds[5:])))
    labels = {"dataset": dataset, "net": net, "P": int(P[1:])}
    labels |= {name: run[name].item() for name in ("architecture", "pretrained")}
    moved = [name for name in ("rms_displacement",) if name in run]
    measured = {"output": run[[*DGR, "noise_norm", *moved]].assign_attrs(sweep.attrs)}
    curves = run[["collapsed", "diverged_epoch"]]
    if "time" in run.dims:
        scores = [*SCORES, "compression", "neuron_compression", "output_scale"]
        curves = curves.assign({name: run[f"{name}_curve"] for name in scores})
        curves = curves.assign({f"fitted_{name}": run[name].sel(state="fitted", drop=True) for name in scores})
        also = ("met", "stop_time", "fitted_time", "fitted_share", "limit_compression", "dimension", "task")
        curves = curves.assign({name: run[name] for name in also})
        if "D_dynamics" in run:
            measured["dynamics"] = quantities(run, "dynamics")
        return labels, measured, curves
    recorded = run["epoch"].notnull().values
    for name, curve in zip(SCORES, ("loss_curve", "error_curve"), strict=True):
        curves[name] = ("seed", "epoch"), run[curve].values[:, recorded]
    curves = curves.assign_coords(epoch=run["epoch"].values[recorded].astype(int))
    is_trained = np.logical_and.reduce([curves[name] == run[name].sel(state="trained") for name in SCORES])
    assert is_trained.any(1).all()
    # A net that did not get better may look in a later epoch as it does in the first.
    curves["best_epoch"] = "seed", curves["epoch"].values[is_trained.argmax(1)].astype(float)
    if "layer" in run.dims:
        layers = run["layer_name"].values != ""
        measured["depth"] = (
            quantities(run, "depth").isel(layer=layers).assign_coords(layer=run["layer_name"][layers].values)
        )
    if "snapshot" in run.dims:
        steps = ["snapshot_step", "snapshot_epoch"]
        measured["dynamics"] = quantities(run, "dynamics").assign({name: run[name] for name in steps})
        later = run[[f"snapshot_{name}" for name in SCORES]].isel(snapshot=slice(1, None))
        curves = curves.assign(later.drop_vars("snapshot"))
    return labels, measured, curves


@pytest.mark.parametrize("name", SWEEPS)
def test_a_published_sweep_is_collected_again_exactly(name):
    published = rs.open_sweep(FOLDER / f"{name}.nc")
    places = list(dict.fromkeys(place for place, *_ in json.loads(published.attrs["request"])["measurements"]))
    parts = [run_dataset(*taken_apart(published, place)) for place in places]
    sweep = combine(parts, {axis: published[axis].values.tolist() for axis in ("dataset", "net")})
    assert set(sweep.variables) == set(published.variables) and set(sweep.coords) == set(published.coords)
    for variable in published.variables:
        found, expected = sweep[variable], published[variable]
        assert found.dims == expected.dims and found.dtype.kind == expected.dtype.kind, variable
        if "_over_seeds" in variable:  # logarithms of another processor may round otherwise
            np.testing.assert_allclose(found.values, expected.values, rtol=1e-13, err_msg=variable)
        else:
            np.testing.assert_array_equal(found.values, expected.values, variable)
