"""Files of runs, made up but for their layout, words and digests: what the stages before `collect` leave behind."""

from collections.abc import Callable, Iterable

import numpy as np
import xarray as xr

from relative_stability.core.provenance import hardware, software
from relative_stability.core.store import as_json, labelled, write_dataset
from relative_stability.jobs.observables import LATER
from relative_stability.plan.runs import Measurement, Run
from relative_stability.plan.seeds import parse_seeds
from relative_stability.training.schedule import Schedule

NEURONS, FEATURES = "width", "dimension"  # options that say how large the hidden weights are
BOUNDS = np.array(["lower", "upper"])


def make_runs(
    measurements: Iterable[Measurement],
    fails: Callable[[Run, int], str] = lambda run, seed: "",
    torch_version: str = "2.8",
) -> None:
    """Write curves and measurements below the current folder. fails: "diverged", "collapsed" or "" for each seed."""
    drawn = set()
    for m in measurements:
        if m.run.curves not in drawn:
            drawn.add(m.run.curves)
            write_dataset(m.run.curves, _curves(m.run, fails).assign_attrs(_attributes(m.run, torch_version)))
        settings = {**LATER, **m.stability}
        settings = {k: v if isinstance(v, str | int) else as_json(v) for k, v in settings.items()}
        settings["stability_seed"] = settings.pop("seed")
        write_dataset(m.path, _measured(m, fails).assign_attrs({**_attributes(m, torch_version), **settings}))


def _attributes(made: Run | Measurement, torch_version: str) -> dict[str, str | float]:
    stage = {"stage": made.request["stage"], "digest": made.digest, "request": made.json}
    return {**stage, **software(), "wall_time_s": 1.5, **hardware("cpu"), "torch_version": torch_version}


def _numbers(digest: str, *shape: int) -> np.ndarray:
    return np.exp(np.random.default_rng(int(digest, 16)).standard_normal(shape))


def _curves(run: Run, fails: Callable[[Run, int], str]) -> xr.Dataset:
    schedule, seeds = Schedule(run.training, run.P), np.array(parse_seeds(run.seeds))
    epochs, found = np.array(schedule.epochs), [fails(run, seed) for seed in seeds.tolist()]
    diverged, collapsed = (np.array([which == word for which in found]) for word in ("diverged", "collapsed"))
    count, records, snapshots = len(seeds), len(epochs), len(schedule.snapshots)
    curves = _numbers(run.digest, 2, count, records + snapshots)
    curves[:, diverged, 1:] = np.nan
    best = np.where(diverged, 0, np.nan_to_num(curves[1, :, 1:records], nan=9).argmin(1) + 1)
    along = {"epoch": ("seed", "epoch"), "snapshot": ("seed", "snapshot")}
    variables = {
        "seed": labelled(("seed",), seeds, "seed of subset, initialisation and order"),
        "epoch": labelled(("epoch",), epochs, "passes over the training set", "epoch"),
        "train_loss": labelled(along["epoch"], curves[0, :, :records], "training loss"),
        "test_error": labelled(along["epoch"], curves[1, :, :records], "test error"),
        "best_epoch": labelled(("seed",), epochs[best].astype(float), "epoch of the best test error", "epoch"),
        "collapsed": labelled(("seed",), collapsed, "whether the output became a constant"),
        "diverged_epoch": labelled(("seed",), np.where(diverged, 1.0, np.nan), "epoch of infinite loss", "epoch"),
    }
    if snapshots:
        steps = np.array(schedule.snapshots)
        variables |= {
            "snapshot_step": labelled(("snapshot",), steps, "optimisation steps at each snapshot", "step"),
            "snapshot_epoch": labelled(("snapshot",), steps / schedule.steps_an_epoch, "passes", "epoch"),
            "snapshot_train_loss": labelled(along["snapshot"], curves[0, :, records:], "training loss"),
            "snapshot_test_error": labelled(along["snapshot"], curves[1, :, records:], "test error"),
        }
    return xr.Dataset(variables)


def _measured(m: Measurement, fails: Callable[[Run, int], str]) -> xr.Dataset:
    seeds, settings = np.array(parse_seeds(m.run.seeds)), m.stability
    magnitude = "displacement" if "displacement" in settings else "magnitude"
    along, inner = ("seed", "state"), {magnitude: len(settings[magnitude])}
    variables = {
        "seed": labelled(("seed",), seeds, "seed of subset, initialisation and order"),
        "state": labelled(("state",), np.array(["init", "trained"]), "state of the net", ""),
        "bound": labelled(("bound",), BOUNDS, "end of the interval", ""),
        magnitude: labelled((magnitude,), np.array(settings[magnitude], float), f"{magnitude} of x", "pixel"),
    }
    states = 2
    if m.observable == "dynamics":
        schedule = Schedule(m.run.training, m.run.P)
        along, states = ("seed", "snapshot"), len(schedule.snapshots) + 1
        steps = np.array([0, *schedule.snapshots])
        variables |= {
            "snapshot": labelled(("snapshot",), np.arange(states), "number of the snapshot"),
            "snapshot_step": labelled(("snapshot",), steps, "optimisation steps at each snapshot", "step"),
            "snapshot_epoch": labelled(("snapshot",), steps / schedule.steps_an_epoch, "passes", "epoch"),
        }
        del variables["state"]
    if "cut" in settings:
        variables["cut"] = labelled(("cut",), np.array(settings["cut"]), "highest frequency")
        inner = {"cut": len(settings["cut"]), **inner}
        moved = _numbers(m.run.dataset.digest, *inner.values())
        variables["rms_displacement"] = labelled(tuple(inner), moved, "root mean square displacement", "pixel")
    noise = _numbers(m.digest, len(seeds), states, *inner.values())
    variables["noise_norm"] = labelled((*along, *inner), noise, "mean norm", "input units")
    if m.observable == "depth":
        names = np.array([f"block{k}" for k in range(1 + len(m.run.net))])  # nets of longer names are deeper
        variables["layer"] = labelled(("layer",), names, "layer", "")
        inner = {"layer": len(names), **inner}
    gone = np.array([fails(m.run, seed) == "diverged" for seed in seeds.tolist()])
    values = _numbers(m.digest, 3, len(seeds), states, *inner.values())
    values[:, gone, 1:] = np.nan
    for name, value in zip("DGR", values, strict=True):
        interval = np.stack([value * 0.9, value * 1.1], 2)
        variables[name] = labelled((*along, *inner), value, f"stability {name}")
        variables[f"{name}_interval"] = labelled((*along, "bound", *inner), interval, f"95 % interval of {name}")
    if m.run.net_options["architecture"] == "one_hidden" and m.observable == "output":
        size = m.run.net_options[NEURONS], m.run.dataset.options[FEATURES]
        weights = _numbers(m.digest, len(seeds), 2, *size).astype("f4")
        variables["hidden_weight"] = labelled((*along, "neuron", "feature"), weights, "first-layer weights w")
        variables["compression"] = labelled(along, weights.mean((2, 3)).astype(float), "compression λ")
    return xr.Dataset(variables)
