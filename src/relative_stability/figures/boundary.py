"""The linear model's data in the plane of x_∥ and one uninformative input, and what the trained net makes of it."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.figures.regimes import alpha_label
from relative_stability.figures.style import legend_below, new_figure, scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def numbers(curves: xr.Dataset) -> xr.Dataset:
    """Output of the first seed's nets on the plane, the true boundary, and its training samples, up to 500."""
    drawn = curves[["output_plane", "sample_position", "sample_class", "boundary", "test_error"]].isel(seed=0)
    drawn = drawn.assign(test_error=drawn["test_error"].isel(time=-1, drop=True), task=curves["task"])
    drawn.attrs = {}
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """A panel for each alpha: the output as background, its zero as a line, the boundary dashed, samples as points."""
    alphas = numbers["alpha"].values
    figure, panels = new_figure(1, len(alphas))
    figure.set_size_inches(scaled(4.0 * max(len(alphas), 2)), scaled(4.6))
    x, y = numbers["x_parallel"].values, numbers["x_perpendicular"].values
    position, classes = numbers["sample_position"].values, numbers["sample_class"].values
    for axes, alpha in zip(panels[0], alphas, strict=True):
        part = numbers.sel(alpha=alpha)
        output = np.clip(part["output_plane"].values.T, -2, 2)
        background = axes.pcolormesh(x, y, output, cmap="PuOr", vmin=-2, vmax=2, shading="gouraud", rasterized=True)
        axes.contour(x, y, output, levels=[0], colors="black", linewidths=1.6)
        axes.plot([], [], color="black", linewidth=1.6, label="output 0")
        for number, edge in enumerate(numbers["boundary"].values):
            axes.axvline(
                edge, color="black", linestyle=(0, (3, 2)), linewidth=1.2, label="" if number else "true boundary"
            )
        for label, marker, face in ((0, "o", "white"), (1, "s", "0.25")):
            chosen = position[classes == label]
            axes.scatter(*chosen.T, s=11, marker=marker, facecolor=face, edgecolor="black", linewidth=0.5,
                         label=f"$y = {'+' if label else '-'}1$")  # fmt: skip
        axes.set_xlim(x[0], x[-1])
        axes.set_ylim(y[0], y[-1])
        axes.set_title(f"{alpha_label(alpha)}\ntest error {float(part['test_error']):.3g}")
        axes.set_xlabel(r"$x_\parallel$, informative input")
        axes.set_ylabel(r"$x_{\perp 1}$, uninformative input")
    bar = figure.colorbar(background, ax=list(panels[0]), pad=0.02)
    bar.set_label(r"output $\alpha (f - f_0)$, other inputs 0")
    note = f"{numbers['task'].item()}, seed {int(numbers['seed'])}: training samples, seen along all other inputs"
    legend_below(figure, panels[0, 0], note)
    return figure
