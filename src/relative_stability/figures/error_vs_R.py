"""Test error against R, and against D and G: every net, P and seed a point."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.figures.series import LABELS
from relative_stability.figures.style import legend_below, log_axis, net_style, new_figure
from relative_stability.statistics import log_correlation
from relative_stability.sweep import at_reference, failed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = ("R", "D", "G")


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Test error, D, G, R after training at the reference displacement, and the correlation of their logarithms."""
    point, where = at_reference(sweep)
    point = point.sel(state="trained").transpose("dataset", "net", "P", "seed", ...)
    drawn = point[[*ORDER, "test_error"]]
    for quantity in ORDER:
        found = [
            log_correlation(point[quantity].sel(dataset=d).values, point["test_error"].sel(dataset=d).values)
            for d in point["dataset"].values
        ]
        words = {
            "long_name": f"correlation of log error and log {quantity}, with its 95 % interval over seeds",
            "units": "1",
        }
        drawn[f"correlation_{quantity}"] = ("dataset", "estimate"), [e[:3] for e in found], words
    drawn = drawn.assign_coords(estimate=["value", "lower", "upper"])
    drawn.attrs = {
        "sweep": sweep.attrs.get("sweep", ""),
        "where": where,
        "failed": int(failed(point).sum()),
    }
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows; R, D and G in columns; nets in colour; the larger the point, the larger P."""
    nets, sizes = [str(net) for net in numbers["net"].values], numbers["P"].values
    figure, panels = new_figure(numbers.sizes["dataset"], len(ORDER))
    areas = np.linspace(20, 120, len(sizes))
    for row, dataset in zip(panels, numbers["dataset"].values, strict=True):
        part = numbers.sel(dataset=dataset)
        for axes, quantity in zip(row, ORDER, strict=True):
            for net in nets:
                cell = part.sel(net=net)
                area = np.broadcast_to(areas[:, None], cell[quantity].shape)
                axes.scatter(
                    cell[quantity].values.ravel(),
                    cell["test_error"].values.ravel(),
                    area.ravel(),
                    label=net,
                    alpha=0.75,
                    edgecolor="white",
                    linewidth=0.5,
                    **net_style(net, nets),
                )
            value, low, high = part[f"correlation_{quantity}"].values
            words = f"r = {value:.2f}" + (f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else "")
            axes.set_title(f"{dataset}: {words}" if np.isfinite(value) else str(dataset))
            axes.set_xlabel(f"{LABELS[quantity]} after training")
            axes.set_ylabel("test error")
            log_axis(axes, "x")
            log_axis(axes, "y")
    left = numbers.attrs["failed"]
    known = any(np.isfinite(numbers[f"correlation_{quantity}"].sel(estimate="lower")).any() for quantity in ORDER)
    interval = " [95 % interval]" if known else ""
    text = f"{numbers.attrs['where']}; a point is one seed, larger for larger P; r: correlation of logs{interval}"
    legend_below(figure, panels[0, 0], text + (f"; {left} diverged or collapsed" if left else ""))
    return figure
