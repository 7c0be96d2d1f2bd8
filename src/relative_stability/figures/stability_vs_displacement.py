"""D, G and R against displacement (or magnitude) at the largest P, at initialisation and after training."""

from typing import TYPE_CHECKING

import xarray as xr

from relative_stability.analysis.sweep import magnitude_axis
from relative_stability.figures import series
from relative_stability.figures.style import finish, looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the largest P and the lowest cut: (dataset, net, state, displacement)."""
    part = sweep.isel(P=-1)
    if "cut" in part.dims:
        part = part.sel(cut=part["cut"].values.min())
    return series.summary(part, series.QUANTITIES)


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows, D, G and R in columns."""
    axis = magnitude_axis(numbers)
    words = f"{axis.replace('_', ' ')} ({numbers[axis].attrs['units']})".replace(" (1)", "")
    grid, legend = series.lines(
        series.long(numbers, series.meanings(numbers)), axis, words, looks(numbers), ticks=numbers[axis].values
    )
    at = f"P = {int(numbers['P'])}" + (f", cut {int(numbers['cut'])}" if "cut" in numbers.coords else "")
    return finish(grid.figure, series.note(numbers, at), legend)
