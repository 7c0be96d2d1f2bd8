"""A sweep as one labelled dataset: opened, with its layout checked, and looked at where nets are compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relative_stability.core.errors import InputError
from relative_stability.core.store import open_dataset
from relative_stability.perturbations import MAGNITUDES

if TYPE_CHECKING:
    import xarray as xr

AXES = ("dataset", "net", "P", "seed")
QUANTITIES = ("D", "G", "R")


def failed(sweep: "xr.Dataset") -> "xr.DataArray":
    """Which runs enter no average, as they diverged or collapsed."""
    return sweep["diverged"].astype(bool) | sweep["collapsed"].astype(bool)


def open_sweep(path: str | Path) -> "xr.Dataset":
    """A sweep file as an xarray Dataset in memory, checked against the layout.

    Dimensions dataset, net, P, seed, state, then cut and displacement (or magnitude); variables D, G, R, their
    intervals, test_error, train_loss, diverged, collapsed. Raises InputError, naming the file, if it is broken or no
    sweep.

    >>> sweep = open_sweep("docs/reproduction/sweeps/curves.nc")
    >>> R = sweep.R.sel(dataset="mnist", net="lenet", state="trained", cut=3, displacement=1).mean("seed")
    >>> R.sel(P=[128, 8192]).round(1).values
    array([11.1,  7. ])
    """
    dataset = open_dataset(path, remade_by="collect")
    missing = [name for name in ("D", "G", "R", "test_error", "diverged", "collapsed") if name not in dataset]
    missing += [axis for axis in (*AXES, "state") if axis not in dataset.dims]
    if missing:
        raise InputError(f"{path} is no sweep file: it lacks {', '.join(missing)}; give one of results/sweeps/*.nc")
    return dataset


def selected(sweep: "xr.Dataset", select: Mapping[str, Sequence[Any]]) -> "xr.Dataset":
    """A sweep with some values alone along some dimensions; those that are not there, and other dimensions, are passed
    over. Raises InputError where nothing is left.
    """
    for axis, values in select.items():
        if axis in sweep.dims:
            kept = np.flatnonzero(np.isin(sweep[axis].values, list(values)))
            if not len(kept):
                name = sweep.attrs.get("sweep", "")
                raise InputError(f"select.{axis}: sweep {name!r} has none of {', '.join(map(str, values))} yet")
            sweep = sweep.isel({axis: kept})
    return sweep


def left_out(sweep: "xr.Dataset") -> str:
    """What is missing where a sweep is drawn, in words; "" where nothing is."""
    lost, missing, planned = int(failed(sweep).sum()), *(int(sweep.attrs.get(k, 0)) for k in ("missing", "planned"))
    gaps = f"{missing} of {planned} nets are not there yet" if missing else ""
    return "; ".join(part for part in (f"{lost} diverged or collapsed" if lost else "", gaps) if part)


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


def regime(alpha: float) -> str:
    """What a net does at this scale of its output: it learns features where alpha < 1, and is lazy from there on."""
    return "feature" if alpha < 1 else "lazy"
