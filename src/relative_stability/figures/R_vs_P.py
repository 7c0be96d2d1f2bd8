"""Relative stability R against the training-set size P: do nets learn the invariance from more examples?"""

from typing import TYPE_CHECKING

import xarray as xr

from relative_stability.analysis.sweep import at_reference
from relative_stability.figures import series
from relative_stability.figures.style import finish, looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds of R at the reference displacement: (dataset, net, P, state)."""
    part, where = at_reference(sweep)
    return series.summary(part, ["R"]).assign_attrs(where=where)


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in columns; below 1 the perturbation changes a net's output less than noise of equal norm does."""
    family = numbers.attrs["perturbation"]
    label = f"$R$, relative stability\nto a {family}"
    grid, legend = series.lines(
        series.long(numbers, {"R": label}), "P", series.P_LABEL, looks(numbers), ticks=numbers["P"].values
    )
    if grid.axes.size == 1:
        grid.figure.set_figwidth(1.5 * grid.figure.get_figwidth())
    note = f"below 1: a {family} changes the output less than noise of equal norm does"
    return finish(grid.figure, f"{note}\n{series.note(numbers, numbers.attrs['where'])}", legend)
