"""One measurement of one net: D, G and R against magnitude, or against depth."""

from typing import TYPE_CHECKING

import pandas as pd
import xarray as xr

from relative_stability.figures.series import lines, meanings
from relative_stability.figures.style import finish, look, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED_LAYERS = 30  # more names than this cannot be read along an axis


def draw(result: xr.Dataset) -> "Figure":
    """D, G and R in columns; a line for each cut (and each magnitude, where depth is the axis) and estimator.

    result: from `relative_stability.measure`. Bands are the 95 % intervals over images.
    """
    deep = result.R.sizes.get("layer", 1) > 1
    axis = "layer" if deep else str(result.R.dims[-1])
    others = [str(dim) for dim in result.R.dims if dim != axis and result.sizes[dim] > 1]
    parts = []
    for quantity, panel in meanings(result, "a layer's output" if deep else "output").items():
        bounds = result[f"{quantity}_interval"]
        ends = xr.concat(
            [bounds.isel(bound=0), result[quantity], bounds.isel(bound=1)], "end", coords="minimal", compat="override"
        )
        parts.append(ends.rename("value").to_dataframe().reset_index().assign(panel=panel))
    table = pd.concat(parts, ignore_index=True).assign(row="")
    table["line"] = [", ".join(_words(dim, value) for dim, value in zip(others, line, strict=True)) for line in
                     table[others].itertuples(index=False)] if others else ""  # fmt: skip
    x, names = result[axis].values, list(dict.fromkeys(table["line"]))
    styles = {name: look(name, "diffeomorphism" if len(names) == 1 else name) for name in names}
    if deep:
        table["layer"] = table["layer"].map({layer: k for k, layer in enumerate(x)})
        grid, legend = lines(table, "layer", "layer, in the order of execution", styles, log=False)
        if len(x) <= NAMED_LAYERS:
            for axes in grid.axes.flat:
                axes.set_xticks(range(len(x)), map(plain, x), rotation=90)
    else:
        label = f"{axis} ({result[axis].attrs['units']})"
        grid, legend = lines(table, axis, label, styles, ticks=x if len(x) < 8 else None)
    fixed = [_words(dim, result[dim].values.ravel()[0]) for dim in result.R.dims if dim != axis and dim not in others]
    told = result.attrs
    net = plain(f"{told['net']} ({told['weights']})") if "net" in told else ""
    rule = "" if told["batch_norm"] == "running" else f"batch-norm statistics: {told['batch_norm']}"
    note = [net, *fixed, f"{told['images']} images", rule, "band: 95 % interval over images"]
    return finish(grid.figure, "; ".join(filter(None, note)), legend)


def _words(dim: object, value: object) -> str:
    """A value of a dimension, as short as it can be understood."""
    if isinstance(value, float):
        return f"{value:g} pixel" if dim == "displacement" else f"{dim} {value:g}"
    return str(value) if dim == "estimator" else f"{dim} {value}"
