"""The linear model's data in the plane of x_∥ and one uninformative input, and what the trained net makes of it."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.figures.series import alpha_label
from relative_stability.figures.style import finish, legend_line, new_figure

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
    figure, panels = new_figure(1, numbers.sizes["alpha"], 1.1, 1.1)
    x, y = numbers["x_parallel"].values, numbers["x_perpendicular"].values
    position, classes = numbers["sample_position"].values, numbers["sample_class"].values
    kinds = {"$y$ = −1": ("o", "white"), "$y$ = +1": ("s", "0.25")}
    for axes, alpha in zip(panels[0], numbers["alpha"].values, strict=True):
        part = numbers.sel(alpha=alpha)
        output = np.clip(part["output_plane"].values.T, -2, 2)
        background = axes.pcolormesh(x, y, output, cmap="PuOr", vmin=-2, vmax=2, shading="gouraud", rasterized=True)
        axes.contour(x, y, output, levels=[0], colors="black", linewidths=1.6)
        for edge in numbers["boundary"].values:
            axes.axvline(edge, color="black", linestyle=(0, (3, 2)), linewidth=1.2)
        for kind, (marker, face) in enumerate(kinds.values()):
            axes.scatter(*position[classes == kind].T, s=11, marker=marker, facecolor=face, edgecolor="black",
                         linewidth=0.5)  # fmt: skip
        axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xlabel="informative input", ylabel="an uninformative input")
        axes.set_title(f"{alpha_label(alpha)}\ntest error {float(part['test_error']):.3g}", loc="left")
    bar = figure.colorbar(background, ax=list(panels[0]), pad=0.02)
    bar.set_label("output α (f − f₀), other inputs 0")
    legend = legend_line("output 0", color="black")
    legend |= legend_line("true boundary", color="black", linestyle=(0, (3, 2)), linewidth=1.2)
    for label, (marker, face) in kinds.items():
        legend |= legend_line(label, marker=marker, markerfacecolor=face, markeredgecolor="black", linestyle="")
    note = f"{numbers['task'].item()}, seed {int(numbers['seed'])}; training samples, seen along all other inputs"
    return finish(figure, note, legend)
