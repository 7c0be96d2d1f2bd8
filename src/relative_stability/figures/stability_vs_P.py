"""D, G and R after training against the training-set size P."""

from typing import TYPE_CHECKING

import xarray as xr

from relative_stability.figures.series import LABELS, QUANTITIES, band, note, summary
from relative_stability.figures.style import legend_below, log_axis, net_style, new_figure, unit_line
from relative_stability.sweep import at_reference

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the reference displacement: (dataset, net, P, state)."""
    part, where = at_reference(sweep)
    return summary(part, QUANTITIES).assign_attrs(where=where)


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows, D, G and R in columns, nets in colour; a faint dashed line is the value at initialisation."""
    nets = [str(net) for net in numbers["net"].values]
    sizes = numbers["P"].values
    figure, panels = new_figure(numbers.sizes["dataset"], len(QUANTITIES))
    for row, dataset in zip(panels, numbers["dataset"].values, strict=True):
        for axes, quantity in zip(row, QUANTITIES, strict=True):
            for net in nets:
                style, part = net_style(net, nets), numbers.sel(dataset=dataset, net=net)
                band(axes, sizes, part.sel(state="trained"), quantity, f"{net}, after training", **style)
                initial = part.sel(state="init")[f"{quantity}_mean"].values
                axes.plot(
                    sizes,
                    initial,
                    color=style["color"],
                    linestyle=(0, (2, 2)),
                    linewidth=1.2,
                    label=f"{net}, at initialisation",
                )
            axes.set_title(str(dataset))
            axes.set_xlabel("training-set size $P$ (samples)")
            axes.set_ylabel(LABELS[quantity])
            log_axis(axes, "x", sizes)
            log_axis(axes, "y")
            if quantity == "R":
                unit_line(axes)
    legend_below(figure, panels[0, 0], note(numbers, numbers.attrs["where"]), columns=3)
    return figure
