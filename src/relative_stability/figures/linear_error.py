"""The linear model's learning curves, feature and lazy, with fitted exponents beside those of the theory."""

from typing import TYPE_CHECKING

import xarray as xr

from relative_stability.analysis.sweep import regime
from relative_stability.figures.regimes import (
    alpha_label,
    alpha_style,
    cells,
    expect_flows,
    guide,
)
from relative_stability.figures.series import band, exponents, note, slope_words, summary
from relative_stability.figures.style import legend_below, log_axis, new_figure
from relative_stability.training.gradient_flow.linear_model import error_exponent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMULA = {"feature": r"$\frac{2d-1}{3d-2}$", "lazy": r"$\frac{d}{3d-2}$"}


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Mean test error over seeds at the end of the flow, its exponent in P, and what the theory says of it."""
    expect_flows(sweep, "linear_error")
    trained = sweep.sel(state="trained", drop=True)
    drawn = summary(trained, ("test_error",))
    drawn["exponent"] = exponents(trained["test_error"]).assign_attrs(long_name="exponent of the test error in P")
    return drawn.assign(dimension=sweep["dimension"], task=sweep["task"])


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets and nets in columns, alphas in colour; dotted lines have the slopes that theory gives for the stripe."""
    columns, sizes, alphas = cells(numbers), numbers["P"].values, numbers["alpha"].values
    figure, panels = new_figure(1, len(columns))
    for axes, (title, part) in zip(panels[0], columns, strict=True):
        d = int(part["dimension"])
        for alpha in alphas:
            style, line = alpha_style(alphas, alpha), part.sel(alpha=alpha)
            label = f"{alpha_label(alpha)}{slope_words(line['exponent'])}"
            band(axes, sizes, line, "test_error", label, **style)
            if str(part["task"].values) == "stripe":
                beta, formula = error_exponent(regime(alpha), d), FORMULA[regime(alpha)]
                words = rf"theory, {regime(alpha)}: $\beta = ${formula} = {beta:.2f}"
                guide(axes, sizes, line["test_error_mean"].values, -beta, words, color=style["color"])
        axes.set_title(f"{title}, $d$ = {d}")
        axes.set_xlabel("training-set size $P$ (samples)")
        axes.set_ylabel("test error")
        log_axis(axes, "x", sizes)
        log_axis(axes, "y")
    legend_below(figure, panels[0, 0], note(numbers).replace("; ", "\n").replace(", band", ",\nband"), columns=1)
    return figure
