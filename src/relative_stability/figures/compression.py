"""The linear model's compression λ: against the flow's time for every P, and at t* and at the end against P."""

from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
import xarray as xr

from relative_stability.analysis.sweep import regime
from relative_stability.figures import series
from relative_stability.figures.style import HUES, finish, label_ends, legend_line, log_axis, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# What is read of λ, and how its line is drawn.
READ: dict[str, tuple[str, dict[str, Any]]] = {
    "fitted": ("at t*", {}),
    "end": ("at the end", {"marker": "v", "linestyle": (0, (1, 1.5))}),
}
LIMIT = {"color": "0.35", "marker": "x", "linestyle": (0, (4, 2))}


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds of λ against time, at t*, at the end and in the limit α → 0, and their exponents in P."""
    series.expect_flows(sweep, "compression")
    found = sweep["compression"]
    named = {"fitted": found.sel(state="fitted", drop=True), "end": found.sel(state="trained", drop=True)}
    named["limit"] = sweep["limit_compression"]
    words = {
        "fitted": "compression λ at t*",
        "end": "compression λ at the end of the flow",
        "limit": "compression λ of the neuron that grows fastest as α → 0",
    }
    # Scalars keep their last value after the end of a flow.
    curve = sweep["compression_curve"]
    sweep = sweep.assign(
        compression_curve=curve.where(curve["time"] <= 2 * sweep["stop_time"].max("seed")).assign_attrs(curve.attrs)
    )
    whole = sweep.assign({n: v.assign_attrs(long_name=words[n], units="1") for n, v in named.items()})
    drawn = series.summary(whole, ("compression_curve", *named))
    for name, values in named.items():
        drawn[f"{name}_exponent"] = series.exponents(values).assign_attrs(
            long_name=f"exponent of the {words[name]} in P"
        )
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """A row for each dataset and net: λ against time, feature solid and lazy dashed; λ against P with √P."""
    found, sizes, styles = series.cells(numbers), numbers["P"].values, series.alphas(numbers)
    hues = [
        sns.husl_palette(1, h=HUES["feature"] / 360, s=0.9, l=shade)[0] for shade in np.linspace(0.6, 0.15, len(sizes))
    ]
    figure, panels = new_figure(len(found), 2, 1.25, 1)
    legend: dict[str, Line2D] = {}
    for (left, right), (title, part) in zip(panels, found, strict=True):
        curves = series.long(part, {"compression_curve": ""}, by="alpha")
        curves = curves[(curves["time"] > 0) & curves["value"].notna() & (curves["end"] == 1)]
        for label, dashes in zip((next(iter(styles)), list(styles)[-1]), ("-", (0, (3, 2))), strict=True):
            for size, color in zip(sizes, hues, strict=True):
                shown = curves[(curves["line"] == label) & (curves["P"] == size)]
                look = {"color": color, "linestyle": dashes, "label": f"$P$ = {size}" if dashes == "-" else "_"}
                sns.lineplot(shown, x="time", y="value", errorbar=None, legend=False, ax=left, **look)
        place = f"{title}: " if len(found) > 1 else ""
        table, read = series.long(part, {name: name for name in READ}, by="alpha"), {}
        for alpha, (label, style) in zip(numbers["alpha"].values, styles.items(), strict=True):
            ends = part.sel(alpha=alpha)
            stopped = bool((ends["end_mean"] == ends["fitted_mean"]).all())  # at t*
            for name in ("fitted",) if stopped else READ if regime(alpha) == "feature" else ("end",):
                words = f"{regime(alpha)}, {READ[name][0]}"
                read[words] = {**style, **READ[name][1]}
                table.loc[(table["line"] == label) & (table["panel"] == name), "line"] = words
                beta = series.between(part[f"{name}_exponent"].sel(alpha=alpha))
                legend |= legend_line(f"{place}{words}: exponent in $P$ {beta}", **read[words])
        series.draw_lines(table[table["value"].notna()], "P", read, ax=right)
        if (limits := part["limit_mean"].squeeze(("dataset", "net"))).notnull().any():
            read["α → 0"] = LIMIT
            right.plot(sizes, limits, label="α → 0", **LIMIT)
            beta = series.between(part["limit_exponent"])
            legend |= legend_line(f"{place}fastest neuron, α → 0: exponent in $P$ {beta}", **LIMIT)
        series.guide(right, sizes, part["fitted_mean"].isel(alpha=0).values, 0.5, "0.35")
        legend |= legend_line(r"$\propto\sqrt{P}$", color="0.35", **series.GUIDE)
        left.set(xlabel=r"time $t$ of the flow", ylabel=r"compression $\lambda(t) / \lambda(0)$")
        left.set_title(title if len(found) > 1 else "", loc="left")
        right.set(xlabel=series.P_LABEL, ylabel=r"compression $\lambda / \lambda(0)$")
        for axes, ticks, names in ((left, None, [f"$P$ = {size}" for size in sizes]), (right, sizes, read)):
            if axes.get_lines():
                log_axis(axes, "x", ticks)
                log_axis(axes, "y")
                label_ends(axes, names)
            else:
                axes.text(0.5, 0.5, "no value above 0 to draw", transform=axes.transAxes, ha="center")
    words = f"left: solid {next(iter(styles))}; dashed {list(styles)[-1]}" if len(styles) > 1 else ""
    return finish(figure, series.note(numbers, words), legend)
