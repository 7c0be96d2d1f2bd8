"""D, G and R against the layer, at initialisation and after training."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import at_reference
from relative_stability.figures.series import LABELS, QUANTITIES, band, expect, note, summary
from relative_stability.figures.style import STATES, legend_below, log_axis, net_style, new_figure, unit_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = tuple(f"{quantity}_depth" for quantity in QUANTITIES)


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the largest P and the reference displacement: (dataset, net, state, layer)."""
    expect(sweep, "depth")
    part, where = at_reference(sweep.isel(P=-1))
    found = summary(part, NAMES).assign_attrs(where=f"P = {int(sweep['P'][-1])}, {where}")
    # A sweep has as many layers as its deepest net, which may be one that is not shown.
    there = np.flatnonzero((found["R_depth_runs"] > 0).any(("dataset", "net", "state")).values)
    return found.isel(layer=slice(there[-1] + 1)) if there.size else found


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows, D, G and R in columns, nets in colour; dashed at initialisation, full after training."""
    nets = [str(net) for net in numbers["net"].values]
    figure, panels = new_figure(numbers.sizes["dataset"], len(QUANTITIES))
    for row, dataset in zip(panels, numbers["dataset"].values, strict=True):
        for axes, quantity, name in zip(row, QUANTITIES, NAMES, strict=True):
            for net in nets:
                for state, (words, dashes) in STATES.items():
                    part = numbers.sel(dataset=dataset, net=net, state=state)
                    style = net_style(net, nets)
                    band(axes, part["layer"].values + 1, part, name, f"{net}, {words}", linestyle=dashes, **style)
            axes.set_title(str(dataset))
            axes.set_xlabel("layer, in the order of execution")
            axes.set_ylabel(LABELS[quantity])
            log_axis(axes, "y")
            layers = numbers["layer"].values + 1
            axes.set_xticks(layers[:: int(np.ceil(len(layers) / 8))])
            if quantity == "R":
                unit_line(axes)
    legend_below(figure, panels[0, 0], note(numbers, numbers.attrs["where"]), columns=3)
    return figure
