"""The linear model's learning curves, feature and lazy, with fitted exponents beside those of the theory."""

from typing import TYPE_CHECKING

import xarray as xr

from relative_stability.analysis.sweep import regime
from relative_stability.figures import series
from relative_stability.figures.style import finish, legend_line
from relative_stability.training.gradient_flow.linear_model import error_exponent

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

FORMULA = {"feature": "$(2d-1)/(3d-2)$", "lazy": "$d/(3d-2)$"}


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Mean test error over seeds at the end of the flow, its exponent in P, and what the theory says of it."""
    series.expect_flows(sweep, "linear_error")
    trained = sweep.sel(state="trained", drop=True)
    drawn = series.summary(trained, ["test_error"])
    drawn["exponent"] = series.exponents(trained["test_error"]).assign_attrs(
        long_name="exponent of the test error in P"
    )
    return drawn.assign(dimension=sweep["dimension"], task=sweep["task"])


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets and nets in columns, alphas in colour; dashed lines have the slopes that theory gives for the stripe."""
    styles, sizes = series.alphas(numbers), numbers["P"].values
    table = series.long(numbers, {"test_error": "test error"}, by="alpha")
    grid, _ = series.lines(table, "P", series.P_LABEL, styles, ticks=sizes)
    legend: dict[str, Line2D] = {}
    for axes, (title, part) in zip(grid.axes.flat, series.cells(numbers), strict=True):
        d = int(part["dimension"].item())
        for alpha, style in zip(numbers["alpha"].values, styles.values(), strict=True):
            line, words = part.sel(alpha=alpha), f"{title}, " if len(grid.axes.flat) > 1 else ""
            words += f"{regime(alpha)}: exponent {series.between(line['exponent'])}"
            legend |= legend_line(words, **style)
            if str(part["task"].item()) == "stripe":
                beta = error_exponent(regime(alpha), d)
                series.guide(axes, sizes, line["test_error_mean"].values, -beta, style["color"])
                formula = f"\N{MINUS SIGN}{FORMULA[regime(alpha)]} = \N{MINUS SIGN}{beta:.2f} for $d$ = {d}"
                legend |= legend_line(f"theory, {regime(alpha)}: {formula}", color=style["color"], **series.GUIDE)
    grid.figure.set_figwidth(grid.figure.get_figwidth() * (1.4 if grid.axes.size == 1 else 1))
    return finish(grid.figure, series.note(numbers), legend)
