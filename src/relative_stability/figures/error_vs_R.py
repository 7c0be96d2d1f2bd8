"""Test error against R, and against D and G: every net, P and seed a point."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.analysis.statistics import rank_correlation
from relative_stability.analysis.sweep import at_reference, left_out
from relative_stability.figures.series import LABELS
from relative_stability.figures.style import legend_below, log_axis, net_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORDER = ("R", "D", "G")
AREAS = 20, 120  # of a point of the smallest and the largest P, in points squared
PREFACTOR = 0.2  # of √R, the test error on CIFAR-10 at P = 50,000 (Petrini et al. 2021, Fig. 1)


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Test error, D, G, R after training at the reference displacement, and their rank correlation with the error."""
    point, where = at_reference(sweep)
    point = point.sel(state="trained").transpose("dataset", "net", "P", "seed", ...)
    drawn = point[[*ORDER, "test_error"]]
    for quantity in ORDER:
        found = [
            rank_correlation(point[quantity].sel(dataset=d).values, point["test_error"].sel(dataset=d).values)
            for d in point["dataset"].values
        ]
        words = {
            "long_name": f"rank correlation of test error and {quantity}, with its 95 % interval over seeds",
            "units": "1",
        }
        drawn[f"correlation_{quantity}"] = ("dataset", "estimate"), [e[:3] for e in found], words
    drawn = drawn.assign_coords(estimate=["value", "lower", "upper"])
    drawn.attrs = {
        "sweep": sweep.attrs.get("sweep", ""),
        "where": where,
        "left_out": left_out(point),
    }
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows; R, D and G in columns; nets in colour; the larger the point, the larger P.

    The dashed line is 0.2 √R.
    """
    nets, sizes = [str(net) for net in numbers["net"].values], numbers["P"].values
    figure, panels = new_figure(numbers.sizes["dataset"], len(ORDER))
    areas = np.linspace(*AREAS, len(sizes)) if len(sizes) > 1 else np.array(AREAS[1:])
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
            if quantity == "R":
                _reference(axes, part["R"].values)
            words = f"ρ = {value:.2f}" + (f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else "")
            axes.set_title(f"{dataset}\n{words}" if np.isfinite(value) else str(dataset), fontsize="medium")
            axes.set_xlabel(f"{LABELS[quantity]} after training")
            axes.set_ylabel("test error")
            log_axis(axes, "x")
            log_axis(axes, "y")
    known = any(np.isfinite(numbers[f"correlation_{quantity}"].sel(estimate="lower")).any() for quantity in ORDER)
    interval = " [95 % interval]" if known else ""
    point = "a point is one seed, larger for larger P" if len(sizes) > 1 else f"P = {sizes[0]}; a point is one seed"
    text = f"{numbers.attrs['where']}; {point}; ρ: rank correlation{interval}"
    legend_below(figure, panels[0, 0], "; ".join(filter(None, (text, numbers.attrs["left_out"]))))
    return figure


def _reference(axes: "Axes", found: np.ndarray) -> None:
    present = found[np.isfinite(found) & (found > 0)]
    if present.size:
        x = np.array([present.min(), present.max()])
        label = rf"${PREFACTOR}\,\sqrt{{R}}$"
        axes.plot(x, PREFACTOR * x**0.5, color="0.35", linestyle=(0, (4, 2)), linewidth=1.2, label=label, zorder=1)
