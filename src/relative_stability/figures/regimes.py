"""What figures of the linear model share: its two regimes, cells of dataset and net, and slopes of the theory."""

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import regime
from relative_stability.core.errors import InputError
from relative_stability.figures.style import line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def expect_flows(sweep: xr.Dataset, kind: str) -> None:
    """Raise InputError unless the sweep is one of gradient flows."""
    if "alpha" not in sweep.dims:
        raise InputError(f"figure {kind} needs a sweep of gradient flows (training.optimizer: gradient_flow)")


def alpha_label(alpha: float) -> str:
    """The regime with its alpha, as it stands in legends."""
    power = f"{alpha:.0e}".split("e")
    number = f"10^{{{int(power[1])}}}" if power[0] == "1" else f"{alpha:g}"
    return rf"{regime(alpha)}, $\alpha = {number}$"


def alpha_style(alphas: np.ndarray, alpha: float) -> dict[str, Any]:
    """Colour and marker of the line of an alpha."""
    style = line_style(int(np.flatnonzero(alphas == alpha)[0]))
    return {key: style[key] for key in ("color", "marker")}


def cells(numbers: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Every dataset with every net, and a title."""
    pairs = product(numbers["dataset"].values, numbers["net"].values)
    return [(f"{dataset}, {net}", numbers.sel(dataset=dataset, net=net)) for dataset, net in pairs]


def guide(axes: "Axes", sizes: np.ndarray, values: np.ndarray, beta: float, label: str, **style: Any) -> None:
    """A line of the theory's slope through the middle of some points, beside them: its height means nothing."""
    present = np.isfinite(values) & (values > 0)
    if present.any():
        x = np.asarray(sizes, float)
        shift = np.exp(np.mean(np.log(values[present]) - beta * np.log(x[present])))
        axes.plot(x, shift * x**beta, linestyle=(0, (1, 1.5)), linewidth=1.8, label=label, zorder=1, **style)
