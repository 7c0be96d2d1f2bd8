"""D, G and R against displacement (or magnitude) at the largest P, at initialisation and after training."""

from typing import TYPE_CHECKING

import xarray as xr

from relative_stability.analysis.sweep import magnitude_axis
from relative_stability.figures.series import LABELS, QUANTITIES, band, note, summary
from relative_stability.figures.style import STATES, legend_below, log_axis, net_style, new_figure, unit_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the largest P and the lowest cut: (dataset, net, state, displacement)."""
    part = sweep.isel(P=-1)
    if "cut" in part.dims:
        part = part.sel(cut=part["cut"].values.min())
    return summary(part, QUANTITIES)


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in columns, D, G and R in rows (one dataset: side by side), nets in colour; dashed at initialisation."""
    axis = magnitude_axis(numbers)
    nets = [str(net) for net in numbers["net"].values]
    several = numbers.sizes["dataset"] > 1
    figure, panels = new_figure(*((len(QUANTITIES), numbers.sizes["dataset"]) if several else (1, len(QUANTITIES))))
    for column, dataset in zip(panels.T if several else panels, numbers["dataset"].values, strict=True):
        for axes, quantity in zip(column, QUANTITIES, strict=True):
            for net in nets:
                for state, (words, dashes) in STATES.items():
                    part = numbers.sel(dataset=dataset, net=net, state=state)
                    band(
                        axes,
                        part[axis].values,
                        part,
                        quantity,
                        f"{net}, {words}",
                        linestyle=dashes,
                        **net_style(net, nets),
                    )
            axes.set_title(str(dataset))
            axes.set_xlabel(f"{axis} ({numbers[axis].attrs['units']})")
            axes.set_ylabel(LABELS[quantity])
            log_axis(axes, "x", numbers[axis].values)
            log_axis(axes, "y")
            if quantity == "R":
                unit_line(axes)
    at = f"P = {int(numbers['P'])}" + (f", cut {int(numbers['cut'])}" if "cut" in numbers.coords else "")
    legend_below(figure, panels[0, 0], note(numbers, at), columns=3)
    return figure
