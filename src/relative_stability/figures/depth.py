"""D, G and R, and what else was measured of layers, against depth in the net, at initialisation and after training."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import at_reference
from relative_stability.figures import series
from relative_stability.figures.style import finish, looks, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALSO = {
    "intrinsic_dimension": "intrinsic\ndimension",
    "alignment": "alignment\nwith the labels",
}  # where they were measured
NAMED = 20  # more layers than this cannot be named along an axis


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the largest P and the reference displacement: (dataset, net, state, layer)."""
    series.expect(sweep, "depth")
    part, where = at_reference(sweep.isel(P=-1))
    names = [*(f"{q}_depth" for q in series.QUANTITIES), *(name for name in ALSO if name in part)]
    found = series.summary(part, names).assign_attrs(where=f"P = {int(sweep['P'][-1])}, {where}")
    if "layer_name" in part:
        found = found.assign_coords(layer_name=part["layer_name"])
    # A sweep has as many layers as its deepest net, which may be one that is not shown.
    there = np.flatnonzero((found["R_depth_runs"] > 0).any(("dataset", "net", "state")).values)
    return found.isel(layer=slice(there[-1] + 1)) if there.size else found


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows, D, G and R in columns. The layers of a single net are named."""
    layers = numbers["R_depth_runs"].any(("dataset", "state")).sum("layer")
    names = numbers["layer_name"].values[0] if numbers.sizes["net"] == 1 and "layer_name" in numbers.coords else []
    panels = {f"{q}_depth": label for q, label in series.meanings(numbers, "a layer's output").items()}
    table = series.long(numbers, panels | {name: word for name, word in ALSO.items() if f"{name}_mean" in numbers})
    depth = dict(zip(map(plain, numbers["net"].values), layers.values, strict=True))
    table["depth"] = (table["layer"] + 1) / table["line"].map(depth)
    if 0 < len(names) <= NAMED:
        grid, legend = series.lines(table.assign(depth=table["layer"]), "depth", "layer", looks(numbers), log=False)
        for axes in grid.axes[-1]:
            axes.set_xticks(range(len(names)), map(plain, names), rotation=90)
    else:
        grid, legend = series.lines(table, "depth", "relative depth (1: the output)", looks(numbers), log=False)
        grid.set(xlim=(0, None))
    return finish(grid.figure, series.note(numbers, numbers.attrs["where"]), legend)
