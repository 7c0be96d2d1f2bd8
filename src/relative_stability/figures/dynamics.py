"""D, G, R and the test error against training time."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import at_reference, failed
from relative_stability.figures.series import LABELS, QUANTITIES, band, expect, note, summary
from relative_stability.figures.style import legend_below, log_axis, net_style, new_figure, unit_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# variable: what stands at its axis
PANELS = {**{f"{quantity}_dynamics": LABELS[quantity] for quantity in QUANTITIES}, "snapshot_test_error": "test error"}


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the largest P and the reference displacement, with the steps: (dataset, net, snapshot)."""
    expect(sweep, "dynamics")
    part, where = at_reference(sweep.isel(P=-1))
    where = f"P = {int(sweep['P'][-1])}, {where}"
    if sweep.attrs.get("batch_norm") == "auto":  # and not the rule of nets after training
        where += "; batch norm, where there is any, with the statistics of each batch"
    errors = part["snapshot_test_error"]
    # A net that collapsed has no D, G and R, and its error enters no average either.
    part["snapshot_test_error"] = errors.where(~failed(part)).transpose(*errors.dims).assign_attrs(errors.attrs)
    drawn = summary(part, tuple(PANELS)).assign_attrs(where=where)
    drawn["snapshot_step"] = part["snapshot_step"]
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows, D, G, R and test error in columns, nets in colour; dotted: at initialisation."""
    nets = [str(net) for net in numbers["net"].values]
    figure, panels = new_figure(numbers.sizes["dataset"], len(PANELS))
    for row, dataset in zip(panels, numbers["dataset"].values, strict=True):
        for axes, (name, label) in zip(row, PANELS.items(), strict=True):
            for net in nets:
                part, style = numbers.sel(dataset=dataset, net=net), net_style(net, nets)
                later = part.isel(snapshot=np.flatnonzero(part["snapshot_step"].values > 0))  # a log axis has no 0
                band(axes, later["snapshot_step"].values, later, name, net, **style)
                initial = float(part[f"{name}_mean"].isel(snapshot=0))
                axes.axhline(initial, color=style["color"], linestyle=(0, (1, 1.5)), linewidth=1.2, zorder=1)
            axes.set_title(str(dataset))
            axes.set_xlabel("training time (steps)")
            axes.set_ylabel(label)
            log_axis(axes, "x")
            log_axis(axes, "y")
            if label == LABELS["R"]:
                unit_line(axes)
    legend_below(figure, panels[0, 0], note(numbers, f"{numbers.attrs['where']}\ndotted: at initialisation"))
    return figure
