"""Learning curves: test error after training against the training-set size P."""

from typing import TYPE_CHECKING

import xarray as xr

from relative_stability.figures.series import band, note, summary
from relative_stability.figures.style import legend_below, log_axis, net_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Mean test error over seeds after training: (dataset, net, P)."""
    return summary(sweep.sel(state="trained"), ("test_error",))


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in columns, nets in colour."""
    nets, sizes = [str(net) for net in numbers["net"].values], numbers["P"].values
    figure, panels = new_figure(1, numbers.sizes["dataset"])
    for axes, dataset in zip(panels[0], numbers["dataset"].values, strict=True):
        for net in nets:
            band(axes, sizes, numbers.sel(dataset=dataset, net=net), "test_error", net, **net_style(net, nets))
        axes.set_title(str(dataset))
        axes.set_xlabel("training-set size $P$ (samples)")
        axes.set_ylabel("test error")
        log_axis(axes, "x", sizes)
        log_axis(axes, "y")
    legend_below(figure, panels[0, 0], note(numbers).replace("; ", "\n").replace(", band", ",\nband"))
    return figure
