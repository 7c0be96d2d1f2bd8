"""D, G and R after training against the training-set size P, with the exponents of fitted power laws."""

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import at_reference
from relative_stability.figures import series
from relative_stability.figures.style import finish, looks, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAWS = 16  # rows of exponents at most; where there are more, they stand in the numbers drawn and among the claims


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the reference displacement, and exponents in P: (dataset, net, P, state)."""
    part, where = at_reference(sweep)
    drawn = series.summary(part, series.QUANTITIES).assign_attrs(where=where)
    for quantity in series.QUANTITIES:
        found = series.exponents(part[quantity].sel(state="trained", drop=True))
        words = f"exponent of {quantity} in P after training, with its 95 % interval over seeds"
        drawn[f"{quantity}_exponent"] = found.assign_attrs(long_name=words, units="1")
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows, D, G and R in columns, and below these a table of their exponents."""
    styles, pairs = looks(numbers), numbers["R_exponent"].stack(line=("dataset", "net"))["line"].values
    table = series.long(numbers, series.meanings(numbers))
    grid, legend = series.lines(table, "P", series.P_LABEL, styles, ticks=numbers["P"].values)
    words = ""
    if len(pairs) <= LAWS and np.isfinite(numbers["R_exponent"].sel(of="value")).any():
        size, height = mpl.rcParams["legend.fontsize"], mpl.rcParams["figure.figsize"][1]
        share = 1.7 * size / 72 / height * (len(pairs) + 1)  # of the height of a panel
        several = numbers.sizes["dataset"] > 1
        names = [plain(f"{dataset}, {net}" if several else net) for dataset, net in pairs]
        for quantity, axes in zip(series.QUANTITIES, grid.axes[-1], strict=True):
            beta = numbers[f"{quantity}_exponent"]
            cells = axes.table(
                [[series.between(beta.sel(dataset=dataset, net=net))] for dataset, net in pairs],
                colLabels=[f"exponent of ${quantity}$ in $P$"],
                bbox=[0, -0.36 - share, 1, share], edges="horizontal", cellLoc="center",
            )  # fmt: skip
            cells.set_clip_on(False)
            cells.auto_set_font_size(False)
            cells.set_fontsize(size)
            for (row, _), cell in cells.get_celld().items():
                cell.set(edgecolor="0.8", linewidth=0.6)
                cell.get_text().set_color(styles[plain(pairs[row - 1][1])]["color"] if row else "0.15")
        for row, ((_, net), name) in enumerate(zip(pairs, names, strict=True)):  # as texts, for which room is made
            place = -0.36 - share * (row + 1.5) / (len(pairs) + 1)
            grid.axes[-1, 0].text(-0.04, place, name, color=styles[plain(net)]["color"], size=size, ha="right",
                                  va="center", transform=grid.axes[-1, 0].transAxes)  # fmt: skip
        grid.figure.set_figheight(grid.figure.get_figheight() + share * height)
        words = "\nexponents: least squares of logarithms, with 95 % intervals over seeds"
    # A table is as high as its panel, whose height is found step by step.
    note = series.note(numbers, numbers.attrs["where"]) + words
    return finish(grid.figure, note, legend, passes=12 if words else 1)
