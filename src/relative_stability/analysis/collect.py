"""Runs put together into a sweep: each comes as a dataset of its nets, and all are combined by their labels."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from relative_stability.analysis.statistics import geometric_interval
from relative_stability.analysis.sweep import AXES, QUANTITIES
from relative_stability.core.errors import InputError
from relative_stability.core.store import labelled

NET = "run_net"  # the dimension of all nets of all runs, labelled by dataset, net, P and seed
ROUNDING = 1e-6  # other machines may round otherwise what runs have in common
BATCH = 200  # runs that are combined at once: a dataset takes much more memory than its numbers
# What belongs to one file, and not to all that is in the sweep.
FILE_ATTRIBUTES = ("request", "digest", "code", "wall_time_s", "stage", "coordinates")
# What made runs, of which a sweep names all: it may be added to for months, and on other machines.
MADE_BY = ("package_version", "commit", "torch_version", "cuda_version", "device", "training_device")
# What does not depend on the seed, and the axes that it does depend on.
SHARED = {
    **dict.fromkeys(("architecture", "pretrained", "layer_name"), AXES[1:2]),
    **dict.fromkeys(("rms_displacement", "dimension", "task"), AXES[:1]),
    **dict.fromkeys(("epoch", "snapshot_step", "snapshot_epoch"), AXES[:3]),
}
Measured = Mapping[str, xr.Dataset]
Variables = dict[str, xr.Variable]
REPRESENTED = ("dimension", "alignment", "information")  # observables of layers to which nothing is done
# Observables that are measured at snapshots, and what of.
DYNAMICS = {"dynamics": "of the output ", "dimension_dynamics": "of the output ", "alignment_dynamics": ""}
MOVING = ("intrinsic_dimension", "kernel_alignment", "alignment", *QUANTITIES)  # what is measured at snapshots
SCORES = ("test_error", "train_loss")
FLOW_SCORES = (*SCORES, "compression", "neuron_compression", "output_scale")


def run_dataset(labels: Mapping[str, Any], measured: Mapping[str, xr.Dataset], curves: xr.Dataset) -> xr.Dataset:
    """What one run brings to a sweep, under the sweep's names. Its attributes say how it was measured.

    labels: dataset, net, architecture, pretrained, P; measured: by observable, "output" with dimensions
    (seed, state, …), perhaps "depth" and "dynamics"; curves: with dimensions (seed, epoch), or (seed, alpha, time) of a
    gradient flow. Test error and training loss are those of the state measured: epoch 0 at init, and after training
    the epoch of the best test error, or the last. What runs of different P have at different times lies against a
    number, `record` or `snapshot`, with `epoch` and `snapshot_epoch` beside it; layers lie against theirs, with
    `layer_name` beside it. D, G and R of depth and dynamics are called D_depth, D_dynamics and so on. A net that
    collapsed to a constant output, or a flow that could not be followed, has NaN in all its states but the initial one.
    """
    output, made = measured["output"], (_flow if "time" in curves.dims else _trained)(measured, curves)
    sizes = {dim: size for variable in made.values() for dim, size in variable.sizes.items()}
    # Nets and datasets of other sizes are padded, which takes numbered neurons and features.
    made |= {dim: xr.Variable(dim, np.arange(sizes[dim])) for dim in ("neuron", "feature") if dim in sizes}
    made |= {name: xr.Variable(name, made[name].values) for name in ("state", "bound", "decimation") if name in made}
    made |= {
        "architecture": labelled((), labels["architecture"], "architecture of each net", ""),
        "pretrained": labelled((), labels["pretrained"], "whether a net starts from given weights", ""),
    }
    made = {name: _relabelled(item, {"seed": NET}) for name, item in made.items()}
    words = {"dataset": ("dataset", ""), "net": ("net", ""), "P": ("training-set size P", "samples")}
    made |= {axis: labelled((NET,), [labels[axis]] * sizes["seed"], *words[axis]) for axis in words}
    attributes = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in output.attrs.items()
        if key not in FILE_ATTRIBUTES
    }
    attributes["training_device"] = str(curves.attrs.get("device", "cpu"))
    return xr.Dataset(made, attrs=attributes).set_coords(AXES)


def _trained(measured: Measured, curves: xr.Dataset) -> Variables:
    """Of a run that was trained in epochs."""
    raw = curves.variables
    collapsed, diverged, epoch = raw["collapsed"], raw["diverged_epoch"].notnull(), raw["epoch"]
    best = measured["output"].attrs.get("trained_weights") == "best"  # of a net that is given there is one
    chosen = raw["best_epoch"].copy(data=curves.indexes["epoch"].get_indexer(raw["best_epoch"])) if best else -1
    found = {
        **_without(measured["output"], collapsed, "state"),
        "diverged": labelled(diverged.dims, diverged, "whether the loss became infinite or NaN"),
        "diverged_epoch": raw["diverged_epoch"],
        "collapsed": collapsed,
        "record": labelled(("record",), np.arange(epoch.size), "number of the evaluation during training"),
        "epoch": _relabelled(epoch.astype(float), {"epoch": "record"}),
    }
    for name, curve in (("train_loss", "loss_curve"), ("test_error", "error_curve")):
        found[name] = _ends(raw[name], _where(raw[name].isel(epoch=chosen), ~diverged & ~collapsed), "epoch")
        words = {"long_name": f"{name.replace('train_', 'training ').replace('_', ' ')} at the recorded epochs"}
        found[curve] = _relabelled(raw[name], {"epoch": "record"}, **words)
    if "depth" in measured:
        found |= _renamed(_without(measured["depth"], collapsed, "state"), "depth", "of each layer") | _layers(measured)
    found |= _represented(measured, lambda part: _without(part, collapsed, "state"))
    for observable, of in _measured_at_times(measured):
        dynamics = _without(measured[observable], collapsed, "snapshot")
        found |= _renamed(dynamics, "dynamics", f"{of}at each snapshot")
        found["snapshot"] = dynamics["snapshot"]
        found |= {name: dynamics[name].astype(float) for name in ("snapshot_step", "snapshot_epoch")}
        for name in SCORES:
            later, first = raw[f"snapshot_{name}"], _relabelled(raw[name].isel(epoch=[0]), {"epoch": "snapshot"})
            found[f"snapshot_{name}"] = _relabelled(_concat([first, later], "snapshot"), **later.attrs)
    return found


def _flow(measured: Measured, curves: xr.Dataset) -> Variables:
    """Of a run by gradient flow: dimensions (seed, alpha, state, …), and (seed, alpha, time, …) against its time."""
    raw = curves.variables
    lost = raw["diverged_epoch"].notnull()
    kept = ("diverged_epoch", "collapsed", "met", "stop_time", "fitted_time", "fitted_share", "limit_compression",
            "time", "alpha", "dimension", "task")  # fmt: skip
    found: Variables = {str(name): item for name, item in measured["output"].variables.items()}
    found |= {name: raw[name] for name in kept if name in raw}
    found["diverged"] = raw["collapsed"].copy(data=lost.values)
    for name in FLOW_SCORES:
        states = [raw[name].isel(time=0), raw[f"fitted_{name}"], raw[name].isel(time=-1)]
        found[name] = _concat([states[0], *(_where(state, ~lost) for state in states[1:])], "state")
        found[name] = found[name].transpose(..., "state")
        found[f"{name}_curve"] = _relabelled(
            raw[name], long_name=f"{raw[name].attrs['long_name']}, at the recorded times"
        )
    for name, of in _measured_at_times(measured):
        found |= _renamed(measured[name].variables, "dynamics", f"{of}at each recorded time")
    return found | _represented(measured, lambda part: part.variables)


def _measured_at_times(measured: Measured) -> list[tuple[str, str]]:
    return [(name, of) for name, of in DYNAMICS.items() if name in measured]


def _layers(measured: Measured) -> Variables:
    """Layers by their position, with names beside them."""
    names = next(measured[name]["layer"].values for name in ("depth", *REPRESENTED) if name in measured)
    return {
        "layer": labelled(("layer",), np.arange(len(names)), "position of the layer in the order of execution"),
        "layer_name": labelled(("layer",), names, "name of each layer", ""),
    }


def _represented(measured: Measured, kept: Callable[[xr.Dataset], Mapping[Any, xr.Variable]]) -> Variables:
    """What was measured of representations."""
    there = [measured[name] for name in REPRESENTED if name in measured]
    found = {str(name): item for part in there for name, item in kept(part).items() if name != "layer"}
    return (found | _layers(measured)) if there else {}


def _without(measured: xr.Dataset, collapsed: xr.Variable, states: str) -> Variables:
    """NaN where a net is no more than a constant, in all its states but the first."""
    kept = ~collapsed | xr.Variable(states, np.arange(measured.sizes[states]) == 0)
    return {
        str(name): _where(item, kept) if collapsed.any() and {"seed", states} <= set(item.dims) else item
        for name, item in measured.variables.items()
    }


def _ends(curve: xr.Variable, trained: xr.Variable, along: str) -> xr.Variable:
    """A score at initialisation and after training."""
    return _concat([curve.isel({along: 0}), trained], "state").transpose(..., "state")


def _renamed(measured: Mapping[Any, xr.Variable], observable: str, what: str) -> Variables:
    """D, G and R, or dimension and alignments, under names of their own."""
    return {
        name.replace(base, f"{base}_{observable}", 1): _relabelled(
            measured[name], long_name=f"{measured[name].attrs.get('long_name', name)}, {what}"
        )
        for base in MOVING
        for name in (base, f"{base}_interval", f"{base}_decimated")
        if name in measured
    }


def _where(variable: xr.Variable, kept: xr.Variable) -> xr.Variable:
    found: xr.Variable = variable.where(kept)  # type: ignore[no-untyped-call]
    return found


def _concat(variables: Sequence[xr.Variable], dim: str) -> xr.Variable:
    found: xr.Variable = xr.Variable.concat(variables, dim)  # type: ignore[no-untyped-call]
    return found


def _relabelled(variable: xr.Variable, dims: Mapping[Any, str] = MappingProxyType({}), **words: str) -> xr.Variable:
    """The same under other names of dimensions and in other words."""
    return xr.Variable([dims.get(dim, dim) for dim in variable.dims], variable.values, {**variable.attrs, **words})


def kind(part: xr.Dataset) -> str:
    """What a run holds, but for its numbers and labels, as JSON. Runs that are alike have the same."""
    sizes = {str(dim): size for dim, size in part.sizes.items() if dim != NET}
    return json.dumps({"attributes": part.attrs, "sizes": sizes, "variables": sorted(map(str, part.data_vars))})


def parts_of(sweep: xr.Dataset, labels: Mapping[str, Sequence[Any]], kind: str) -> xr.Dataset:
    """What runs of one kind brought to a sweep. labels: those of their nets along each of AXES."""
    made = json.loads(kind)
    where = {axis: xr.DataArray(np.asarray(values), dims=NET) for axis, values in labels.items()}
    there = {dim: slice(size) for dim, size in made["sizes"].items()}
    found: xr.Dataset = sweep.reset_coords()[made["variables"]].sel(where).isel(there)
    found.attrs = made["attributes"]
    return found


def combine(parts: Iterable[xr.Dataset], order: Mapping[str, Sequence[str]]) -> xr.Dataset:
    """The sweep over datasets, nets, P and seeds, a grid that its runs fill; means over seeds included.

    parts: see `run_dataset`; order: of datasets and nets. Numbers ascend. Smaller runs are padded, with NaN or "".
    D, G and R each stand also as their geometric mean over the seeds, R_over_seeds, with an interval that says what
    other seeds would give. Raises InputError if runs were measured at different settings.
    """
    checked, batches = _same_settings(parts), []
    while batch := list(islice(checked, BATCH)):
        batches.append(_joined(batch))
    nets = _joined(batches).sortby(list(AXES))
    fill = _fill(nets)
    shared = [name for name in SHARED if name in nets]
    grid = nets.drop_vars(shared).set_index({NET: AXES}).unstack(NET, fill_value=fill)
    for name in shared:
        found = _in_common(nets[name], SHARED[name], fill[name])
        grid[name] = found.reindex({axis: grid[axis] for axis in SHARED[name]}, fill_value=fill[name])
    grid = grid.sel({axis: list(names) for axis, names in order.items()}).transpose(*AXES, ..., missing_dims="ignore")
    grid = grid.assign_coords({axis: grid[axis].assign_attrs(nets[axis].attrs) for axis in AXES})
    means = [_over_seeds(f"{q}{end}", grid) for q in QUANTITIES for end in ("", "_depth", "_dynamics")]
    grid = xr.merge([grid, *means], compat="override", join="exact", combine_attrs="override").drop_attrs(deep=False)
    return grid[sorted(map(str, grid.variables))].set_coords([name for name in shared if SHARED[name] == ("net",)])


def attributes(kinds: Iterable[str]) -> dict[str, str | int | float]:
    """What is true of all runs, and all that made them (such as both devices)."""
    found: dict[str, dict[Any, None]] = {}
    for made in dict.fromkeys(kinds):
        for key, value in json.loads(made)["attributes"].items():
            found.setdefault(key, {})[value] = None
    shared = {key: next(iter(values)) for key, values in found.items() if len(values) == 1}
    return shared | {key: ", ".join(sorted(found[key])) for key in MADE_BY if len(found.get(key, ())) > 1}


def _same_settings(parts: Iterable[xr.Dataset]) -> Iterator[xr.Dataset]:
    """The coordinates of the longest run have those of all others."""
    longest: dict[Any, np.ndarray] = {}
    for part in parts:
        for name, index in part.indexes.items():
            short, long = sorted((index.values, longest.get(name, index.values)), key=len)
            if not np.isin(short, long).all():
                raise _conflict(name, long, short)
            longest[name] = long
        yield part


def _joined(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    fill = {name: value for part in parts for name, value in _fill(part).items()}
    joined: xr.Dataset = xr.concat(
        parts, NET, data_vars="all", coords="minimal", compat="override", join="outer", fill_value=fill,
        combine_attrs="drop_conflicts",
    )  # fmt: skip
    return joined


def _fill(dataset: xr.Dataset) -> dict[Any, Any]:
    """What stands where there is nothing."""
    kinds = {name: item.dtype.kind for name, item in dataset.data_vars.items()}
    return {name: np.nan if kind == "f" else "" if kind in "UOT" else 0 for name, kind in kinds.items()}


def _in_common(array: xr.DataArray, axes: Sequence[str], fill: Any) -> xr.DataArray:
    """What nets with the same labels along some axes share, such as the epochs of all seeds."""
    rest = [dim for dim in array.dims if dim != NET]
    there = array.notnull() if array.dtype.kind == "f" else (array != fill) | (fill == 0)
    found = array[there.any(rest) | (not there.any())]
    codes, _ = pd.MultiIndex.from_arrays([found[axis].values for axis in axes]).factorize()
    firsts = np.unique(codes, return_index=True)[1]
    one, other = found.values[firsts][codes], found.values
    numbers = array.dtype.kind == "f"
    same = np.isclose(one, other, rtol=ROUNDING, atol=0, equal_nan=True) if numbers else one == other
    if not same.all():
        at = int(np.argwhere(~same)[0][0])
        raise _conflict(array.name, one[at], other[at])
    found = found[firsts].reset_coords(set(AXES) - set(axes), drop=True).set_index({NET: axes})
    return found.rename({NET: axes[0]}) if len(axes) == 1 else found.unstack(NET, fill_value=fill)


def _conflict(name: Any, one: np.ndarray, other: np.ndarray) -> InputError:
    values = [np.array2string(np.ravel(found), threshold=6, edgeitems=3, separator=", ") for found in (one, other)]
    return InputError(
        f"{name} is {values[0]} in one run of the sweep and {values[1]} in another: their files do not belong together"
    )


def _over_seeds(name: str, sweep: xr.Dataset) -> xr.Dataset:
    if name not in sweep:
        return xr.Dataset()
    array = sweep[name].copy(data=np.ascontiguousarray(sweep[name].values)).transpose("seed", ...)
    mean, low, high = geometric_interval(array.values)
    rest, words = tuple(map(str, array.dims[1:])), array.attrs.get("long_name") or name
    interval = f"{words}: 95 % interval of the geometric mean, for other seeds"
    return xr.Dataset(
        {
            f"{name}_over_seeds": labelled(rest, mean, f"{words}: geometric mean over seeds"),
            f"{name}_over_seeds_interval": labelled(("bound", *rest), np.stack([low, high]), interval),
        },
        {"bound": ["lower", "upper"]},
    )
