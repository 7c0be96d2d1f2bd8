"""R to diffeomorphisms, translations, rotations and scalings side by side: which invariances each net has learnt."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import seaborn as sns
import xarray as xr

from relative_stability.analysis.sweep import left_out, magnitude_axis
from relative_stability.figures.series import long, summary, two_rules
from relative_stability.figures.style import PALE, finish, legend_line, log_axis, look, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOVED = 1.0  # pixels, root mean square: families are compared where they move the image about as far


def numbers(sweeps: Sequence[xr.Dataset]) -> xr.Dataset:
    """Means over seeds of R at the largest P, (family, dataset, net, state), and of each family its magnitude.

    sweeps: one a family, each read at its lowest cut and the magnitude whose root mean square displacement is nearest
    to one pixel.
    """
    parts = [_family(sweep) for sweep in sweeps]
    drawn = xr.concat([part for part, _ in parts], "family", join="outer", coords="minimal", compat="override")
    drawn = drawn.assign_coords(family=("family", [name for _, name in parts]))
    # Labels in the order of the config, which joining has sorted.
    for axis in ("dataset", "net"):
        order = dict.fromkeys(str(label) for sweep in sweeps for label in sweep[axis].values)
        drawn = drawn.sel({axis: list(order)})
    gaps = list(dict.fromkeys(filter(None, map(two_rules, sweeps))))
    gaps += [f"{sweep.attrs.get('sweep', '')}: {left_out(sweep)}" for sweep in sweeps if left_out(sweep)]
    drawn.attrs = {
        "seeds": max(sweep.sizes["seed"] for sweep in sweeps),
        "P": ", ".join(dict.fromkeys(str(int(sweep["P"][-1])) for sweep in sweeps)),
        "left_out": "; ".join(gaps),
    }
    return drawn


def _family(sweep: xr.Dataset) -> tuple[xr.Dataset, str]:
    """R of one sweep, where it moves the image by about a pixel, and what was done to it, in words."""
    kept = [name for name in ("R", "rms_displacement", "diverged", "collapsed") if name in sweep]
    part = sweep[kept].isel(P=-1, drop=True)
    cut = ""
    if "cut" in part.dims:
        part = part.sel(cut=part["cut"].values.min())
        cut = f", cut {int(part['cut'])}"
    axis = magnitude_axis(part)
    moved = part["rms_displacement"].mean("dataset").values if "rms_displacement" in part else part[axis].values
    part = part.isel({axis: int(np.nanargmin(np.abs(np.log(moved / MOVED))))})
    units = {"displacement": "{} pixel", "angle": "{} degrees"}.get(axis, axis.replace("_", " ") + " {}")
    size = units.format(f"{float(part[axis]):.3g}")
    found = summary(part, ["R"]).drop_vars("architecture", errors="ignore").reset_coords(drop=True)
    found = found.rename({f"R_{part}": part for part in ("mean", "spread", "runs")})
    if "rms_displacement" in part:
        found["rms_displacement"] = part["rms_displacement"].reset_coords(drop=True)
        found["rms_displacement"].attrs = {"long_name": "root mean square displacement", "units": "pixel"}
    return found, f"{sweep.attrs.get('perturbation', '')}{cut}, {size}"


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in columns, nets below each other; hollow at initialisation, full after training."""
    families = [str(family) for family in numbers["family"].values]
    styles = [look(family) for family in families]
    table = long(numbers.rename(mean="R_mean", spread="R_spread"), {"R": "R"}).dropna(subset="value")
    nets, datasets = ([plain(label) for label in numbers[axis].values] for axis in ("net", "dataset"))
    width, height = mpl.rcParams["figure.figsize"]
    inches = height * max(0.7, 0.25 + 0.05 * len(nets) * (len(families) + 1))
    grid = sns.FacetGrid(table, col="row", col_order=datasets, height=inches, aspect=1.5 * width / inches)
    shown = {"x": "value", "y": "line", "hue": "family", "hue_order": families, "order": nets, "orient": "h",
             "palette": [style["color"] for style in styles], "markers": [style["marker"] for style in styles],
             "dodge": 0.6 if len(families) > 1 else False, "linestyle": "none", "estimator": "median",
             "errorbar": ("pi", 100), "markersize": 1.2 * mpl.rcParams["lines.markersize"], "markeredgewidth": 1,
             "err_kws": {"linewidth": 1}, "legend": False}  # fmt: skip
    for state, full in (("init", {"markerfacecolor": "white"}), ("trained", {})):
        grid.map_dataframe(_points, state, **shown, **full)
    grid.set_titles(template="")
    for dataset, axes in zip(datasets, grid.axes.flat, strict=True):
        axes.set_title(dataset if len(datasets) > 1 else "", loc="left")
        if not axes.collections and not axes.get_lines():
            axes.text(0.5, 0.5, "no value above 0 to draw", transform=axes.transAxes, ha="center", va="center")
            continue
        log_axis(axes, "x")
        axes.axvline(1, color=PALE, linewidth=1, zorder=0)
    grid.set_axis_labels("$R = D/G$, relative stability", "net")
    legend = legend_line("after training", marker="o", linestyle="")
    legend |= legend_line("at initialisation", marker="o", linestyle="", markerfacecolor="white")
    for family, style in zip(families, styles, strict=True):
        legend |= legend_line(family, **{**style, "linestyle": ""})
    seeds = numbers.attrs["seeds"]
    band = f"geometric mean over {seeds} seeds, bar ± 1 standard deviation" if seeds > 1 else "one seed, no bar"
    text = f"P = {numbers.attrs['P']}; each where it moves pixels by about {MOVED:g} (root mean square); {band}"
    one = datasets[0] if len(datasets) == 1 else ""
    return finish(grid.figure, "; ".join(filter(None, (one, text, numbers.attrs["left_out"]))), legend)


def _points(state: str, data, color=None, **shown) -> None:  # type: ignore[no-untyped-def]
    sns.pointplot(data[data["state"] == state], **shown)
