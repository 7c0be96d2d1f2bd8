"""Several nets measured on the same images: test error against R, or R in depth."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from relative_stability.figures.error_vs_R import name_points
from relative_stability.figures.series import lines, meanings
from relative_stability.figures.style import PALE, finish, log_axis, look, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(result: xr.Dataset) -> "Figure":
    """Error against R, every net named; without labels R alone; D, G and R against relative depth where layers are.

    result: of `cli.measure.combined`. Bars are the 95 % intervals over images, at the magnitude nearest to 1 and the
    first cut and estimator.
    """
    axis = str(result.R.dims[-1])
    nearest = int(np.abs(np.log(result[axis].values / 1.0)).argmin())
    first = {dim: 0 for dim in ("cut", "estimator") if dim in result.dims}
    part = result.isel({axis: nearest, **first})
    units = result[axis].attrs.get("units", "")
    where = [f"{axis} {float(part[axis]):g} {units}", *(f"{dim} {part[dim].item()}" for dim in first)]
    mark = "bands" if "layer" in part.dims else "bars"
    note = "; ".join([*where, f"{result.attrs['images']} images, {mark}: 95 % intervals over them"])
    styles = {plain(net): look(str(net)) for net in result["net"].values}
    if "layer" in part.dims:
        return _in_depth(part, styles, note)
    low, R, high = _ends(part, "R")
    figure, ((axes,),) = new_figure(1, 1, 1.6, 1.2)
    if "test_error" in part:
        below, error, above = _ends(part, "test_error")
    else:
        error = np.arange(len(R), dtype=float)
        below = above = error
    axes.scatter(R, error, alpha=0)  # what names keep away from
    for k, style in enumerate(styles.values()):
        bars = {"xerr": [[R[k] - low[k]], [high[k] - R[k]]], "yerr": [[error[k] - below[k]], [above[k] - error[k]]]}
        axes.errorbar(R[k], error[k], **bars, **{**style, "linestyle": ""}, elinewidth=1)
    axes.set_xlabel(meanings(part)["R"].replace(":\n", ": "))
    log_axis(axes, "x")
    axes.axvline(1, color=PALE, linewidth=1, zorder=0)
    if "test_error" not in part:
        axes.set_yticks(error, list(styles))
        return finish(figure, note)
    if (error > 0).all():
        log_axis(axes, "y")
    axes.margins(0.2)
    axes.set_ylabel("test error")
    figure = finish(figure, note)
    points = pd.DataFrame({"net": list(styles), "P": 1, "value": R, "test_error": error})
    name_points(axes, points, {name: style["color"] for name, style in styles.items()})
    return figure


def _ends(part: xr.Dataset, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    interval = part[f"{name}_interval"]
    return interval.isel(bound=0).values, part[name].values, interval.isel(bound=1).values


def _in_depth(part: xr.Dataset, styles: dict[str, dict[str, object]], note: str) -> "Figure":
    parts = []
    for quantity, panel in meanings(part, "a layer's output").items():
        low, value, high = _ends(part, quantity)
        for k, name in enumerate(styles):
            there = np.isfinite(value[k])
            depth = np.arange(1, there.sum() + 1) / max(1, there.sum())
            cells = {"depth": depth, "line": name, "panel": panel, "row": ""}
            parts += [pd.DataFrame({**cells, "value": ends[there]}) for ends in (low[k], value[k], high[k])]
    table = pd.concat(parts, ignore_index=True)
    grid, legend = lines(table, "depth", "relative depth (1: the output)", styles, log=False)
    return finish(grid.figure, note, legend)
