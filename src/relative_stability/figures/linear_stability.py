"""D, G and R of the uninformative directions, feature and lazy, against P and against the flow's time."""

from typing import TYPE_CHECKING

import pandas as pd
import xarray as xr

from relative_stability.analysis.sweep import at_reference
from relative_stability.figures import series
from relative_stability.figures.style import finish

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KERNEL = "kernel_alignment"


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the reference magnitude, by state, and where it was measured by time."""
    series.expect_flows(sweep, "linear_stability")
    part, where = at_reference(sweep)
    shown = list(series.QUANTITIES)
    if {KERNEL, f"{KERNEL}_dynamics"} <= set(part):
        shown.append(KERNEL)
    shown += [f"{q}_dynamics" for q in shown if f"{q}_dynamics" in part]
    # What t* is to λ, the end of the flow is to R.
    return series.summary(part, shown).sel(state=["init", "trained"]).assign_attrs(where=where)


def draw(numbers: xr.Dataset) -> "Figure":
    """For each dataset and net a row against P, dotted at initialisation, and one against time at the largest P."""
    named = series.meanings(numbers)
    if f"{KERNEL}_mean" in numbers:
        named[KERNEL] = "alignment of the\ntangent kernel"
    table = series.long(numbers, named, by="alpha").assign(x=lambda found: found["P"])
    timed = pd.DataFrame({"row": []})
    if "R_dynamics_mean" in numbers:
        names = {f"{quantity}_dynamics": label for quantity, label in named.items()}
        timed = series.long(numbers.isel(P=[-1]), names, by="alpha").assign(
            x=lambda found: found["time"], state="trained"
        )
        timed["row"] += f", $P$ = {int(numbers['P'][-1])}"
    labels = dict.fromkeys(table["row"], series.P_LABEL) | dict.fromkeys(timed["row"], "time $t$ of the flow")
    grid, legend = series.lines(pd.concat([table, timed], ignore_index=True), "x", labels, series.alphas(numbers))
    return finish(grid.figure, series.note(numbers, numbers.attrs["where"]), legend)
