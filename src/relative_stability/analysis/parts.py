"""What one run brings to a sweep: its measurements and its curves, under the sweep's names and dimensions."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from relative_stability.analysis.sweep import AXES, QUANTITIES
from relative_stability.core.store import Variable

Variables = Mapping[str, Variable]
# What belongs to one file, and not to all that is in the sweep.
FILE_ATTRIBUTES = ("request", "digest", "wall_time_s", "stage", "coordinates")
# What made runs, of which a sweep names all: it may be added to for months, and on other machines.
MADE_BY = ("package_version", "commit", "torch_version", "cuda_version", "device", "training_device")
# What depends on the dataset alone, such as the displacement in pixels, by the images' size.
OF_DATASET = ("rms_displacement", "dimension", "task")


class Part(NamedTuple):
    """A run as it lies in a sweep.

    variables: first dimensions are those of AXES that they depend on (dataset, net and P of length 1), then their own.
    attributes: how it was measured.
    """

    variables: dict[str, Variable]
    attributes: dict[str, str | int | float]


def run_part(
    labels: Mapping[str, Any],
    measured: Mapping[str, tuple[Variables, Mapping[str, Any]]],
    curves: Variables,
    training_device: str,
) -> Part:
    """The part of one run.

    labels: dataset, net, architecture, pretrained, P; measured: variables and attributes by observable, "output" with
    dimensions (seed, state, …), perhaps "depth" and "dynamics"; curves: with dimensions (seed, epoch). Test error and
    training loss are those of the state measured: epoch 0 at init, and after training the epoch of the best test
    error, or the last. What runs of different P have at different times lies against a number, `record` or
    `snapshot`, with `epoch` and `snapshot_epoch` beside it; layers lie against theirs, with `layer_name` beside it.
    D, G and R of depth and dynamics are called D_depth, D_dynamics and so on. A net that collapsed to a constant
    output has NaN in all its states but the initial one, whenever it did.
    """
    (output, attributes), collapsed = measured["output"], curves["collapsed"].values
    if "time" in curves:
        found = flow_variables(measured, curves)
    else:
        found = {
            **_without_collapsed(output, collapsed),
            **_scores(curves, str(attributes["trained_weights"])),
            **_records(curves),
        }
    if "depth" in measured:
        found |= _depth(_without_collapsed(measured["depth"][0], collapsed))
    if "dynamics" in measured and "time" not in curves:
        found |= _dynamics(_without_collapsed(measured["dynamics"][0], collapsed), curves)
    # Nets and datasets of other sizes are padded, which takes numbered neurons and features.
    sizes = {dim: n for v in found.values() for dim, n in zip(v.dims, v.values.shape, strict=True)}
    found |= {dim: Variable((dim,), np.arange(sizes[dim]), units="") for dim in ("neuron", "feature") if dim in sizes}
    placed = {**_labels(labels), **{name: _placed(name, variable) for name, variable in found.items()}}
    made = {key: _plain(value) for key, value in attributes.items() if key not in FILE_ATTRIBUTES}
    return Part(placed, {**made, "training_device": training_device})


def _labels(labels: Mapping[str, Any]) -> dict[str, Variable]:
    def one(key: str, dim: str, long_name: str, units: str = "") -> Variable:
        return Variable((dim,), np.array([labels[key]]), long_name, units)

    return {
        "dataset": one("dataset", "dataset", "dataset"),
        "net": one("net", "net", "net"),
        "P": one("P", "P", "training-set size P", "samples"),
        "architecture": one("architecture", "net", "architecture of each net"),
        "pretrained": one("pretrained", "net", "whether a net starts from given weights"),
    }


def _placed(name: str, variable: Variable) -> Variable:
    """The same with its dimensions in the sweep; a coordinate has none but its own."""
    if variable.dims == (name,):
        return variable
    dims = ("net",) if name == "layer_name" else AXES[:1] if name in OF_DATASET else AXES[:3]
    return variable._replace(dims=(*dims, *variable.dims), values=variable.values[(np.newaxis,) * len(dims)])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _without_collapsed(measured: Variables, collapsed: np.ndarray) -> dict[str, Variable]:
    """NaN where a net is no more than a constant; the names of states need no words."""

    def masked(variable: Variable) -> Variable:
        if variable.dims[:2] not in (("seed", "state"), ("seed", "snapshot")):
            return variable
        values = variable.values.copy()
        values[collapsed, 1:] = np.nan
        return variable._replace(values=values)

    found = {name: masked(variable) for name, variable in measured.items()} if collapsed.any() else dict(measured)
    return found | {name: found[name]._replace(long_name="", units="") for name in ("state", "bound") if name in found}


def _scores(curves: Variables, trained_weights: str) -> dict[str, Variable]:
    """Whether a run failed, and its test error and training loss with dimensions (seed, state)."""
    diverged, collapsed = ~np.isnan(curves["diverged_epoch"].values), curves["collapsed"]
    epochs, seeds = curves["epoch"].values, np.arange(len(diverged))
    best = np.searchsorted(epochs, curves["best_epoch"].values)
    chosen = best if trained_weights == "best" else np.full(len(seeds), len(epochs) - 1)
    scores = {
        "diverged": Variable(("seed",), diverged, "whether the loss became infinite or NaN"),
        "diverged_epoch": curves["diverged_epoch"],
        "collapsed": collapsed,
    }
    for name in ("test_error", "train_loss"):
        values = curves[name].values
        trained = np.where(diverged | collapsed.values, np.nan, values[seeds, chosen])
        scores[name] = curves[name]._replace(dims=("seed", "state"), values=np.stack([values[:, 0], trained], 1))
    return scores


def _records(curves: Variables) -> dict[str, Variable]:
    """The curves against the number of the evaluation, with its epoch."""
    epoch, along = curves["epoch"], ("seed", "record")
    return {
        "loss_curve": curves["train_loss"]._replace(dims=along, long_name="training loss at the recorded epochs"),
        "error_curve": curves["test_error"]._replace(dims=along, long_name="test error at the recorded epochs"),
        "epoch": epoch._replace(dims=("record",), values=epoch.values.astype(float)),
        "record": Variable(("record",), np.arange(len(epoch.values)), "number of the evaluation during training"),
    }


def _depth(measured: Variables) -> dict[str, Variable]:
    """D, G and R of every layer under names of their own."""
    names = measured["layer"].values
    return {
        **_renamed(measured, "depth", "each layer"),
        "layer": Variable(("layer",), np.arange(len(names)), "position of the layer in the order of execution"),
        "layer_name": Variable(("layer",), names, "name of each layer", ""),
    }


def _dynamics(measured: Variables, curves: Variables) -> dict[str, Variable]:
    """D, G and R at every snapshot under names of their own, and training there."""
    found = _renamed(measured, "dynamics", "the output at each snapshot")
    found |= {
        name: measured[name]._replace(values=measured[name].values.astype(float))
        for name in ("snapshot_step", "snapshot_epoch")
    }
    for name in ("train_loss", "test_error"):
        later = curves[f"snapshot_{name}"]
        found[f"snapshot_{name}"] = later._replace(values=np.hstack([curves[name].values[:, :1], later.values]))
    return found | {"snapshot": measured["snapshot"]}


def flow_variables(
    measured: Mapping[str, tuple[Variables, Mapping[str, Any]]], curves: Variables
) -> dict[str, Variable]:
    """A run by gradient flow: dimensions (seed, alpha, state, …), and (seed, alpha, time, …) against the flow's time.

    A flow that could not be followed has NaN in all its states but the initial one.
    """
    lost = np.isfinite(curves["diverged_epoch"].values)
    found = {**measured["output"][0], "diverged": curves["collapsed"]._replace(values=lost)}
    found |= {name: curves[name] for name in ("diverged_epoch", "collapsed", "met", "stop_time", "time", "alpha")}
    found |= {name: curves[name] for name in OF_DATASET if name in curves}
    for name in ("test_error", "train_loss", "compression", "neuron_compression", "output_scale"):
        (*along, _), values = curves[name].dims, curves[name].values
        ends = np.stack([values[..., 0], np.where(lost, np.nan, values[..., -1])], -1)
        found[name] = curves[name]._replace(dims=(*along, "state"), values=ends)
        long_name = f"{curves[name].long_name}, at the recorded times"
        found[f"{name}_curve"] = curves[name]._replace(long_name=long_name)
    if "dynamics" in measured:
        found |= _renamed(measured["dynamics"][0], "dynamics", "the output at each recorded time")
    return found | {name: found[name]._replace(long_name="", units="") for name in ("state", "bound") if name in found}


def _renamed(measured: Variables, observable: str, what: str) -> dict[str, Variable]:
    names = [f"{name}{end}" for name in QUANTITIES for end in ("", "_interval") if f"{name}{end}" in measured]
    return {
        f"{name[0]}_{observable}{name[1:]}": measured[name]._replace(
            long_name=f"{measured[name].long_name or name}, of {what}"
        )
        for name in names
    }
