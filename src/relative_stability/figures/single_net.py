"""One measurement of one net: D, G and R against magnitude, or against depth."""

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.figures.series import LABELS, QUANTITIES
from relative_stability.figures.style import legend_below, line_style, log_axis, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BANDED = 4  # more bands than this hide each other
NAMED_LAYERS = 30  # more names than this cannot be read along an axis


def draw(result: xr.Dataset) -> "Figure":
    """D, G and R in columns; a line for each cut (and each magnitude, where depth is the axis) and estimator.

    result: from `relative_stability.measure`. Bands are the 95 % intervals over images.
    """
    deep = result.R.sizes.get("layer", 1) > 1
    axis = "layer" if deep else str(result.R.dims[-1])
    others = [str(dim) for dim in result.R.dims if dim != axis and result.sizes[dim] > 1]
    places = list(product(*(range(result.sizes[dim]) for dim in others)))
    banded = len(places) <= BANDED
    figure, panels = new_figure(1, len(QUANTITIES))
    x = np.arange(result.sizes["layer"]) if deep else result[axis].values
    for axes, quantity in zip(panels[0], QUANTITIES, strict=True):
        for index, place in enumerate(places):
            line = result.isel(dict(zip(others, place, strict=True)))
            label = ", ".join(_words(dim, line[dim].item()) for dim in others) or None
            low, high = line[f"{quantity}_interval"].transpose("bound", ...).values.reshape(2, -1)
            style = line_style(index)
            axes.plot(x, line[quantity].values.ravel(), label=label, markeredgecolor="white", **style)
            if banded:
                axes.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)
        if deep:
            names = result["layer"].values if len(x) <= NAMED_LAYERS else x
            axes.set_xticks(x, names, rotation=90, fontsize="xx-small")
            axes.set_xlabel("layer, in the order of execution")
        else:
            axes.set_xlabel(f"{axis} ({result[axis].attrs['units']})")
            log_axis(axes, "x", x if len(x) < 8 else None)
        axes.set_ylabel(LABELS[quantity])
        log_axis(axes, "y")
        if quantity == "R":
            axes.axhline(1, color="0.6", linewidth=1, zorder=0)
            axes.annotate("1", (1, 1), (3, 0), axes.get_yaxis_transform(), "offset points", va="center", color="0.4")
    fixed = [_words(dim, result[dim].values.ravel()[0]) for dim in result.R.dims if dim != axis and dim not in others]
    told = result.attrs
    net = f"{told['net']} ({told['weights']})" if "net" in told else ""
    rule = "" if told["batch_norm"] == "running" else f"batch-norm statistics: {told['batch_norm']}"
    note = [net, told["perturbation"], *fixed, f"{told['images']} images", rule]
    note += ["band: 95 % interval over images"] if banded else []
    legend_below(figure, panels[0, 0], "; ".join(filter(None, note)), columns=4)
    return figure


def _words(dim: object, value: object) -> str:
    """A value of a dimension, as short as it can be understood."""
    if isinstance(value, float):
        return f"{value:g} pixel" if dim == "displacement" else f"{dim} {value:g}"
    return str(value) if dim == "estimator" else f"{dim} {value}"
