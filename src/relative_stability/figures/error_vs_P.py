"""Learning curves: test error after training against the training-set size P."""

from typing import TYPE_CHECKING

import xarray as xr

from relative_stability.figures import series
from relative_stability.figures.style import finish, looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Mean test error over seeds after training: (dataset, net, P)."""
    return series.summary(sweep.sel(state="trained"), ["test_error"])


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in columns, their lines named."""
    several = numbers.sizes["dataset"] > 1
    table = series.long(numbers, {"test_error": "test error"})
    grid, legend = series.lines(table, "P", series.P_LABEL, looks(numbers), ticks=numbers["P"].values)
    return finish(grid.figure, series.note(numbers), legend, letters=several)
