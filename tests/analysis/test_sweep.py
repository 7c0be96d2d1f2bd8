import numpy as np
import pytest

import relative_stability as rs
from relative_stability.analysis.sweep import at_reference
from relative_stability.core.store import write_dataset
from tests.sweeps import collected, made_up


def test_collected_runs_are_found_by_label():
    sweep = made_up(nets=("lenet", "fc"), sizes=(512, 32, 128), seeds=3)
    assert dict(sweep.R.sizes) == {
        "dataset": 1,
        "net": 2,
        "P": 3,
        "seed": 3,
        "state": 2,
        "cut": 1,
        "displacement": 2,
    }
    assert sweep.P.values.tolist() == [32, 128, 512]
    assert sweep.net.values.tolist() == ["lenet", "fc"]  # as in the config
    r = sweep.R.sel(dataset="digits", net="fc", P=128, state="trained", cut=3).mean("seed")
    np.testing.assert_allclose(r, 128**-0.5, rtol=0.05)
    assert sweep.test_error.sel(net="fc", P=512, seed=0, state="init").item() == 0.9


def test_curves_keep_their_own_epochs():
    sweep = made_up()
    assert sweep.epoch.sel(net="fc", P=512).values.ravel().tolist() == [0, 512]
    assert sweep.epoch.sel(net="fc", P=32).values.ravel().tolist() == [0, 32]


def test_collapsed_runs_are_marked_and_leave_no_number():
    sweep = made_up(collapsed={("cnn", 128, 2)})
    cell = sweep.sel(dataset="digits", net="cnn", P=128, seed=2)
    assert bool(cell.collapsed) and not bool(cell.diverged)
    assert np.isnan(cell.R.sel(state="trained")).all() and np.isnan(cell.test_error.sel(state="trained"))
    assert np.isfinite(cell.R.sel(state="init")).all()
    assert int(sweep.collapsed.sum()) == 1
    whole, rest = (s.R_over_seeds.sel(net="cnn", P=128, state="trained") for s in (made_up(), sweep))
    assert np.isfinite(rest).all() and (rest != whole).all()


def test_diverged_runs_are_marked_and_leave_no_number():
    sweep = made_up(diverged={("cnn", 128, 2)})
    cell = sweep.sel(net="cnn", P=128, seed=2).squeeze()
    assert bool(cell.diverged) and float(cell.diverged_epoch) == 7
    assert np.isnan(cell.R.sel(state="trained")).all() and np.isfinite(cell.R.sel(state="init")).all()
    assert np.isnan(cell.test_error.sel(state="trained"))
    assert int(sweep.diverged.sum()) == 1


def test_seed_ranges_are_joined():
    import xarray as xr

    whole = made_up(nets=("fc",), sizes=(32,), seeds=4)
    assert whole.seed.values.tolist() == [0, 1, 2, 3]
    stability = xr.Dataset(
        {"R": (("seed", "state"), [[1.0, 2.0]])},
        {"seed": [0], "state": ["init", "trained"]},
        {"trained_weights": "last"},
    )
    curves = xr.Dataset(
        {"train_loss": (("seed", "epoch"), [[1.0, 0.5]]), "test_error": (("seed", "epoch"), [[0.9, 0.4]]),
         "best_epoch": ("seed", [0.0]), "diverged_epoch": ("seed", [np.nan]), "collapsed": ("seed", [False])},
        {"seed": [0], "epoch": [0, 3]},
    )  # fmt: skip
    labels = {"dataset": "digits", "net": "fc", "architecture": "fc", "pretrained": False, "P": 32}
    moved = ({"output": stability.assign_coords(seed=[4])}, curves.assign_coords(seed=[4]))
    joined = collected([(labels, *moved), (labels, {"output": stability}, curves)])
    assert joined.seed.values.tolist() == [0, 4]
    assert joined.test_error.sel(state="trained").values.ravel().tolist() == [0.4, 0.4]  # the last, as asked


def test_open_sweep_checks_the_layout(tmp_path):
    sweep = made_up()
    write_dataset(tmp_path / "sweep.nc", sweep)
    opened = rs.open_sweep(tmp_path / "sweep.nc")
    assert opened.R.equals(sweep.R)
    assert opened.diverged.dtype == bool
    write_dataset(tmp_path / "other.nc", sweep[["R"]].isel(P=0))
    with pytest.raises(
        rs.InputError, match=r"other\.nc is no sweep file: it lacks D, G, test_error, diverged, collapsed, P"
    ):
        rs.open_sweep(tmp_path / "other.nc")


def test_the_reference_is_the_lowest_cut_and_one_pixel():
    point, where = at_reference(made_up(cuts=(5, 3)))
    assert where == "cut 3, displacement 1 pixel"
    assert "displacement" not in point.R.dims


def test_nets_and_images_of_other_sizes_are_padded():
    import xarray as xr

    def cell(net, dataset, neurons, rms):
        stability = xr.Dataset(
            {
                "R": (("seed", "state", "displacement"), [[[1.0], [2.0]]]),
                "hidden_weight": (("seed", "state", "neuron", "feature"), np.ones((1, 2, neurons, 3))),
                "rms_displacement": (("displacement",), [rms]),
            },
            {"seed": [0], "state": ["init", "trained"], "displacement": [1.0]},
            {"trained_weights": "last"},
        )
        curves = xr.Dataset(
            {name: (("seed", "epoch"), [[0.9, 0.4]]) for name in ("train_loss", "test_error")}
            | {"best_epoch": ("seed", [0.0]), "diverged_epoch": ("seed", [np.nan]), "collapsed": ("seed", [False])},
            {"seed": [0], "epoch": [0, 3]},
        )
        return (
            {"dataset": dataset, "net": net, "architecture": "one_hidden", "pretrained": False, "P": 32},
            {"output": stability},
            curves,
        )

    cells = [cell(net, data, n, rms) for net, n in (("a", 4), ("b", 6)) for data, rms in (("x", 0.8), ("y", 0.7))]
    sweep = collected(cells)
    assert sweep.hidden_weight.sizes["neuron"] == 6
    assert np.isnan(sweep.hidden_weight.sel(net="a", neuron=5)).all()
    assert sweep.rms_displacement.sel(dataset="y").item() == 0.7
    assert sweep.R.notnull().all()
