"""D, G and R of the uninformative directions, feature and lazy, against P and against the flow's time."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import at_reference
from relative_stability.figures.regimes import alpha_label, alpha_style, cells, expect_flows
from relative_stability.figures.series import LABELS, QUANTITIES, band, note, summary
from relative_stability.figures.style import legend_below, log_axis, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the reference magnitude, by state, and where it was measured by time."""
    expect_flows(sweep, "linear_stability")
    part, where = at_reference(sweep)
    dynamics = tuple(f"{q}_dynamics" for q in QUANTITIES if f"{q}_dynamics" in part)
    return summary(part, (*QUANTITIES, *dynamics)).assign_attrs(where=where)


def draw(numbers: xr.Dataset) -> "Figure":
    """For each dataset and net a row against P, dashed at initialisation, and one against time at the largest P."""
    found, sizes, alphas = cells(numbers), numbers["P"].values, numbers["alpha"].values
    timed = "R_dynamics_mean" in numbers
    figure, panels = new_figure(len(found) * (2 if timed else 1), len(QUANTITIES))
    for number, (title, part) in enumerate(found):
        row = panels[number * (2 if timed else 1)]
        for axes, quantity in zip(row, QUANTITIES, strict=True):
            for alpha in alphas:
                style, line = alpha_style(alphas, alpha), part.sel(alpha=alpha)
                band(axes, sizes, line.sel(state="trained"), quantity, alpha_label(alpha), **style)
            initial = part.sel(alpha=alphas[0], state="init")[f"{quantity}_mean"].values
            axes.plot(sizes, initial, color="0.5", linestyle=(0, (2, 2)), linewidth=1.2, label="at initialisation")
            axes.set_title(title)
            axes.set_xlabel("training-set size $P$ (samples)")
            axes.set_ylabel(LABELS[quantity])
            log_axis(axes, "x", sizes)
            log_axis(axes, "y")
        if timed:
            _against_time(panels[2 * number + 1], part.isel(P=-1), alphas)
    legend_below(figure, panels[0, 0], note(numbers, numbers.attrs["where"]), columns=3)
    return figure


def _against_time(row: np.ndarray, part: xr.Dataset, alphas: np.ndarray) -> None:
    times = part["time"].values
    later = times > 0
    for axes, quantity in zip(row, QUANTITIES, strict=True):
        for alpha in alphas:
            style, line = alpha_style(alphas, alpha), part.sel(alpha=alpha).isel(time=later)
            band(axes, times[later], line, f"{quantity}_dynamics", alpha_label(alpha), **{**style, "marker": ""})
        axes.set_title(f"$P$ = {int(part['P'])}")
        axes.set_xlabel(r"time $t$ of the flow")
        axes.set_ylabel(LABELS[quantity])
        axes.set_xscale("log")
        log_axis(axes, "y")
