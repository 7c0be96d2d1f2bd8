"""A sweep as one labelled dataset: collected from its runs, and opened with its layout checked."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relative_stability.errors import InputError
from relative_stability.perturbations import MAGNITUDES
from relative_stability.statistics import geometric_interval
from relative_stability.store import open_dataset

if TYPE_CHECKING:
    import xarray as xr

AXES = ("dataset", "net", "P", "seed")
QUANTITIES = ("D", "G", "R")
# What belongs to one run and not to the whole file.
RUN_ATTRIBUTES = ("request", "digest", "wall_time_s", "device", "stage")


def collect(cells: Iterable[tuple[dict[str, Any], "Mapping[str, xr.Dataset]", "xr.Dataset"]]) -> "xr.Dataset":
    """Merge runs into dimensions dataset, net, P, seed, state, …

    cells: for each run its labels (dataset, net, architecture, pretrained, P), its stability by observable ("output"
    with dimensions (seed, state, …), perhaps "depth" and "dynamics") and its curves with (seed, epoch). Test error and
    training loss are those of the state measured: epoch 0 at init, and after training the epoch of the best test
    error, or the last. What runs of different P have at different times lies against a number, `record` or
    `snapshot`, with `epoch` and `snapshot_epoch` beside it; layers lie against theirs, with `layer_name` beside it.
    D, G and R of depth and dynamics are called D_depth, D_dynamics and so on; each also stands as its geometric mean
    over the seeds, R_over_seeds, with an interval that says what other seeds would give.
    """
    import xarray as xr

    parts, architectures, pretrained, layers = [], {}, {}, {}
    for labels, measured, curves in cells:
        stability = measured["output"]
        part = _without_collapsed(stability, curves).assign(_scores(curves, stability.attrs["trained_weights"]))
        records = curves[["train_loss", "test_error"]].rename(train_loss="loss_curve", test_error="error_curve")
        part = part.assign(records.assign_coords(epoch=np.arange(curves.sizes["epoch"])).rename(epoch="record"))
        part["epoch"] = ("record", curves["epoch"].values.astype(float), curves["epoch"].attrs)
        part["error_curve"].attrs["long_name"] = "test error at the recorded epochs"
        part["loss_curve"].attrs["long_name"] = "training loss at the recorded epochs"
        part = part.merge(_beside_output(measured, curves))
        # Nets and datasets of other sizes are padded with NaN, which takes numbered neurons and features.
        part = part.assign_coords(
            {dim: np.arange(part.sizes[dim]) for dim in ("neuron", "feature") if dim in part.dims}
        )
        # The displacement in pixels depends on the images' size alone.
        shared = [name for name in ("rms_displacement",) if name in part]
        companion = part[shared].expand_dims(dataset=[labels["dataset"]])
        part = part.drop_vars(shared).expand_dims({axis: [labels[axis]] for axis in AXES[:3]}).merge(companion)
        part.attrs = {key: value for key, value in stability.attrs.items() if key not in RUN_ATTRIBUTES}
        parts.append(part)
        architectures[labels["net"]], pretrained[labels["net"]] = labels["architecture"], labels["pretrained"]
        if "depth" in measured:
            layers[labels["net"]] = [str(name) for name in measured["depth"]["layer"].values]
    merged = xr.combine_by_coords(
        parts,
        combine_attrs="drop_conflicts",
        join="outer",
        coords="minimal",
        data_vars="minimal",
        compat="no_conflicts",
    )
    assert isinstance(merged, xr.Dataset)
    merged = _ordered(merged, parts)
    nets = [str(net) for net in merged["net"].values]
    merged = merged.assign_coords(
        architecture=("net", [architectures[net] for net in nets], {"long_name": "architecture of each net"}),
        pretrained=("net", [pretrained[net] for net in nets], {"long_name": "whether a net starts from given weights"}),
    )
    if layers:
        names = [[*layers.get(net, []), *[""] * merged.sizes["layer"]][: merged.sizes["layer"]] for net in nets]
        merged = merged.assign_coords(layer_name=(("net", "layer"), names, {"long_name": "name of each layer"}))
    return merged.assign(_over_seeds(merged))


def _beside_output(measured: "Mapping[str, xr.Dataset]", curves: "xr.Dataset") -> "xr.Dataset":
    """D, G and R of depth and dynamics under names of their own, and training at the snapshots."""
    import xarray as xr

    parts = []
    if "depth" in measured:
        found = _renamed(_without_collapsed(measured["depth"], curves), "depth", "each layer")
        words = {"long_name": "position of the layer in the order of execution", "units": "1"}
        parts.append(found.assign_coords(layer=("layer", np.arange(found.sizes["layer"]), words)))
    if "dynamics" in measured:
        found = _without_collapsed(measured["dynamics"], curves)
        parts.append(_renamed(found, "dynamics", "the output at each snapshot"))
        parts.append(measured["dynamics"][["snapshot_step", "snapshot_epoch"]].astype(float))
        start = curves[["train_loss", "test_error"]].sel(epoch=0, drop=True)
        for name in ("train_loss", "test_error"):
            later = curves[f"snapshot_{name}"]
            both = xr.concat([start[name].rename(later.name), later], "snapshot").transpose("seed", "snapshot")
            both = both.assign_coords(snapshot=measured["dynamics"]["snapshot"]).assign_attrs(later.attrs)
            parts.append(both.to_dataset(name=later.name))
    return xr.merge(parts)


def _renamed(found: "xr.Dataset", observable: str, what: str) -> "xr.Dataset":
    names = [f"{name}{end}" for name in QUANTITIES for end in ("", "_interval") if f"{name}{end}" in found]
    renamed = found[names].rename({name: f"{name[0]}_{observable}{name[1:]}" for name in names})
    for name in renamed.data_vars:
        renamed[name].attrs["long_name"] = f"{renamed[name].attrs.get('long_name', name)}, of {what}"
    return renamed


def _over_seeds(merged: "xr.Dataset") -> dict[str, "xr.DataArray"]:
    import xarray as xr

    found = {}
    for name in (f"{quantity}{end}" for quantity in QUANTITIES for end in ("", "_depth", "_dynamics")):
        if name not in merged:
            continue
        values = merged[name].transpose("seed", ...)
        mean, low, high = geometric_interval(values.values)
        rest = values.isel(seed=0, drop=True)
        words = values.attrs.get("long_name", name)
        attributes = {"long_name": f"{words}: geometric mean over seeds", "units": "1"}
        found[f"{name}_over_seeds"] = rest.copy(data=mean).assign_attrs(attributes)
        ends = xr.concat([rest.copy(data=low), rest.copy(data=high)], xr.Variable("bound", ["lower", "upper"]))
        attributes = {"long_name": f"{words}: 95 % interval of the geometric mean, for other seeds", "units": "1"}
        found[f"{name}_over_seeds_interval"] = ends.assign_attrs(attributes)
    return found


def _without_collapsed(stability: "xr.Dataset", curves: "xr.Dataset") -> "xr.Dataset":
    """NaN where a net collapsed to a constant output, in all its states but the initial one, whenever it did."""
    axis = "state" if "state" in stability.dims else "snapshot"
    gone = curves["collapsed"] & (stability[axis] != stability[axis][0])
    return stability.map(lambda v: v.where(~gone) if {"seed", axis} <= set(v.dims) else v, keep_attrs=True)


def failed(sweep: "xr.Dataset") -> "xr.DataArray":
    """Which runs enter no average, as they diverged or collapsed."""
    return sweep["diverged"].astype(bool) | sweep["collapsed"].astype(bool)


def _scores(curves: "xr.Dataset", trained_weights: str) -> dict[str, "xr.DataArray"]:
    import xarray as xr

    diverged = curves["diverged_epoch"].notnull()
    last = curves["epoch"].values[-1]
    epoch = curves["best_epoch"] if trained_weights == "best" else xr.full_like(curves["best_epoch"], last)
    scores = {
        "diverged": diverged.assign_attrs(long_name="whether the loss became infinite or NaN", units="1"),
        "diverged_epoch": curves["diverged_epoch"],
        "collapsed": curves["collapsed"],
    }
    for name in ("test_error", "train_loss"):
        trained = curves[name].sel(epoch=epoch).drop_vars("epoch").where(~(diverged | curves["collapsed"]))
        both = xr.concat([curves[name].sel(epoch=0, drop=True), trained], xr.Variable("state", ["init", "trained"]))
        scores[name] = both.transpose("seed", "state").assign_attrs(curves[name].attrs)
    return scores


def _ordered(merged: "xr.Dataset", parts: list["xr.Dataset"]) -> "xr.Dataset":
    """Names in the order of the config, numbers ascending."""
    for axis in ("dataset", "net"):
        order = list(dict.fromkeys(str(part[axis].values[0]) for part in parts))
        merged = merged.sel({axis: order})
    words = {
        "dataset": ("dataset", ""),
        "net": ("net", ""),
        "P": ("training-set size P", "samples"),
        "record": ("number of the evaluation during training", "1"),
    }
    for axis, (long_name, units) in words.items():
        merged[axis].attrs = {"long_name": long_name, **({"units": units} if units else {})}
    return merged.sortby(["P", "seed"])


def open_sweep(path: str | Path) -> "xr.Dataset":
    """A sweep file as an xarray Dataset in memory, checked against the layout.

    Dimensions dataset, net, P, seed, state, then cut and displacement (or magnitude); variables D, G, R, their
    intervals, test_error, train_loss, diverged, collapsed. Raises InputError, naming the file, if it is broken or no
    sweep.

    `ds.R.sel(dataset="digits", net="cnn", state="trained", cut=3).mean("seed")`
    """
    dataset = open_dataset(path, remade_by="collect")
    missing = [name for name in ("D", "G", "R", "test_error", "diverged", "collapsed") if name not in dataset]
    missing += [axis for axis in (*AXES, "state") if axis not in dataset.dims]
    if missing:
        raise InputError(f"{path} is no sweep file: it lacks {', '.join(missing)}; give one of results/sweeps/*.nc")
    return dataset


def at_reference(sweep: "xr.Dataset") -> tuple["xr.Dataset", str]:
    """A sweep at its lowest cut and the displacement (or magnitude) nearest to 1, and these in words.

    One pixel is the displacement at which Petrini et al. 2021 compare nets.
    """
    words = []
    if "cut" in sweep.dims:
        sweep = sweep.isel(cut=int(np.argmin(sweep["cut"].values)))
        words.append(f"cut {int(sweep['cut'])}")
    axis = magnitude_axis(sweep)
    units = {"displacement": " pixel", "angle": " degrees"}.get(axis, "")
    sweep = sweep.isel({axis: int(np.argmin(np.abs(np.log(sweep[axis].values))))})
    words.append(f"{axis} {float(sweep[axis]):g}{units}")
    return sweep, ", ".join(words)


def magnitude_axis(sweep: "xr.Dataset") -> str:
    """The dimension along which the perturbation grows, one of MAGNITUDES."""
    return next(axis for axis in MAGNITUDES if axis in sweep.dims)
