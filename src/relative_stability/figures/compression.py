"""The linear model's compression λ: against the flow's time for every P, and against P at its end and its largest."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap

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

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Other measures of compression, where features are learnt.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "height": ("largest", {"marker": "^", "linestyle": (0, (4, 2))}),
    "median": ("median neuron", {"marker": "v", "linestyle": (0, (1, 1.5))}),
}


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds of λ against time, at the end and at its largest, and their exponents in P."""
    expect_flows(sweep, "compression")
    end, curve = sweep["compression"].sel(state="trained", drop=True), sweep["compression_curve"]
    height = curve.max("time").where(end.notnull())
    median = sweep["neuron_compression"].sel(state="trained", drop=True)
    words = {
        "end": "compression λ at the end of the flow",
        "height": "largest compression λ of the flow",
        "median": "compression of the median neuron at the end of the flow",
    }
    named = {"end": end, "height": height, "median": median}
    whole = sweep.assign({n: v.assign_attrs(long_name=words[n], units="1") for n, v in named.items()})
    drawn = summary(whole, ("compression_curve", *named))
    for name, values in named.items():
        drawn[f"{name}_exponent"] = exponents(values).assign_attrs(long_name=f"exponent of the {words[name]} in P")
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """A row for each dataset and net: λ against time, feature solid and lazy dashed; λ against P with fitted slopes."""
    rows, sizes, alphas = cells(numbers), numbers["P"].values, numbers["alpha"].values
    figure, panels = new_figure(len(rows), 2)
    shades = colormaps["viridis_r"](np.linspace(0, 1, len(sizes) + 2)[2:])
    learns = [alpha for alpha in alphas if regime(alpha) == "feature"]
    for (left, right), (title, part) in zip(panels, rows, strict=True):
        for alpha in {alphas[0], alphas[-1]}:
            for shade, size in zip(shades, sizes, strict=True):
                line = part.sel(alpha=alpha, P=size)
                dashes = {"linestyle": "-"} if alpha == alphas[0] else {"linestyle": (0, (3, 2)), "linewidth": 1.2}
                later = line.isel(time=line["time"] > 0)
                left.plot(later["time"], later["compression_curve_mean"], color=shade, **dashes)
        left.set_xscale("log")
        for alpha in alphas:
            style, line = alpha_style(alphas, alpha), part.sel(alpha=alpha)
            slope = slope_words(line["end_exponent"])
            band(right, sizes, line, "end", f"{alpha_label(alpha)}, end{slope}", **style)
            if alpha in learns:
                for name, (label, looks) in OTHERS.items():
                    words = f"{alpha_label(alpha).partition(', ')[2]}, {label}{slope_words(line[f'{name}_exponent'])}"
                    band(right, sizes, line, name, words, **{**style, **looks})
                guide(right, sizes, line["height_mean"].values, 0.5, r"$\sqrt{P}$", color="0.35")
        left.set_title(title)
        left.set_xlabel(r"time $t$ of the flow")
        left.set_ylabel(r"compression $\lambda(t) / \lambda(0)$")
        right.set_xlabel("training-set size $P$ (samples)")
        right.set_ylabel(r"compression $\lambda / \lambda(0)$")
        log_axis(left, "y")
        log_axis(right, "x", sizes)
        log_axis(right, "y")
        bar = figure.colorbar(_shades(shades, sizes), ax=left, ticks=np.arange(len(sizes)), pad=0.02)
        bar.ax.set_yticklabels([str(size) for size in sizes])
        bar.set_label("$P$ (samples)")
    words = rf"left: solid {alpha_label(alphas[0])}; dashed {alpha_label(alphas[-1])}" if len(alphas) > 1 else ""
    legend_below(figure, panels[0, 1], "\n".join(filter(None, (words, note(numbers)))), columns=1)
    return figure


def _shades(shades: np.ndarray, sizes: np.ndarray) -> "ScalarMappable":
    return ScalarMappable(BoundaryNorm(np.arange(len(sizes) + 1) - 0.5, len(sizes)), ListedColormap(shades))
