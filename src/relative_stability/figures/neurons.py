"""Weights of the linear model's hidden neurons before and after training: do they turn to the informative input?"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.errors import InputError
from relative_stability.figures.style import legend_below, net_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {"init": "at initialisation", "trained": "after training"}


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """w_∥ and ‖w_⊥‖ of every neuron of the first seed, dataset and net, for the smallest and the largest P."""
    if "hidden_weight" not in sweep:
        raise InputError(
            "figure neurons needs a sweep of nets with one hidden layer on a linear dataset (stripe, interface)"
        )
    cells = sweep[["hidden_weight", "compression"]].isel(P=[0, -1])
    # The first dataset, net and seed that have weights both before and after training.
    whole = cells["compression"].notnull().all(("P", "state")).transpose("dataset", "net", "seed")
    if not whole.any():
        raise InputError("figure neurons: every run of the sweep diverged or collapsed, there are no weights to draw")
    place = {dim: int(i) for dim, i in zip(whole.dims, np.argwhere(whole.values)[0], strict=True)}
    cell = cells.isel(place).dropna("neuron", how="all").dropna("feature", how="all")
    weight = cell["hidden_weight"]
    drawn = xr.Dataset(
        {
            "parallel": weight.isel(feature=0).assign_attrs(long_name="weight of the informative input", units="1"),
            "perpendicular": ((weight.isel(feature=slice(1, None)) ** 2).sum("feature") ** 0.5).assign_attrs(
                long_name="norm of the weights of the other inputs", units="1"
            ),
            "compression": cell["compression"],
        }
    )
    drawn.attrs = {"sweep": sweep.attrs.get("sweep", "")}
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Initialisation, then after training at the smallest and at the largest P; a point is a neuron."""
    panels = [("init", 0), ("trained", 0), ("trained", -1)]
    figure, axes_grid = new_figure(1, len(panels))
    style = net_style(str(numbers["net"].values), [str(numbers["net"].values)])
    reach = float(abs(numbers["parallel"]).max()) * 1.05
    height = float(numbers["perpendicular"].max()) * 1.05
    for axes, (state, index) in zip(axes_grid[0], panels, strict=True):
        part = numbers.sel(state=state).isel(P=index)
        axes.scatter(part["parallel"], part["perpendicular"], s=9, alpha=0.5, linewidth=0, color=style["color"])
        size = "" if state == "init" else f", $P$ = {int(part['P'])}"
        axes.set_title(f"{TITLES[state]}{size}\n$\\lambda$ = {float(part['compression']):.2f}")
        axes.set_xlabel(r"$w_\parallel$, informative input")
        axes.set_ylabel(r"$\|w_\perp\|$, other inputs")
        axes.set_xlim(-reach, reach)
        axes.set_ylim(0, height)
    note = f"{numbers['dataset'].item()}, {numbers['net'].item()}, seed {int(numbers['seed'])}: a point is a neuron"
    legend_below(figure, axes_grid[0, 0], note)
    return figure
