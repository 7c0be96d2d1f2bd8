"""R to diffeomorphisms, translations, rotations and scalings side by side: which invariances each net has learnt."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import left_out, magnitude_axis
from relative_stability.figures.series import LABELS, over_seeds
from relative_stability.figures.style import STATES, legend_below, line_style, log_axis, new_figure, scaled, unit_line

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
    words = "relative stability R: geometric mean over seeds"
    drawn["mean"].attrs = {"long_name": words, "units": "1"}
    drawn["spread"].attrs = {"long_name": "R: factor of one standard deviation over seeds", "units": "1"}
    drawn["runs"].attrs = {"long_name": "R: runs behind the mean", "units": "1"}
    gaps = [f"{sweep.attrs.get('sweep', '')}: {left_out(sweep)}" for sweep in sweeps if left_out(sweep)]
    drawn.attrs = {
        "seeds": max(sweep.sizes["seed"] for sweep in sweeps),
        "P": ", ".join(dict.fromkeys(str(int(sweep["P"][-1])) for sweep in sweeps)),
        "left_out": "\n".join(gaps),
    }
    return drawn


def _family(sweep: xr.Dataset) -> tuple[xr.Dataset, str]:
    """R of one sweep, where it moves the image by about a pixel, and what was done to it, in words."""
    part = sweep[["R", *(["rms_displacement"] if "rms_displacement" in sweep else [])]].isel(P=-1, drop=True)
    cut = ""
    if "cut" in part.dims:
        part = part.sel(cut=part["cut"].values.min())
        cut = f", cut {int(part['cut'])}"
    axis = magnitude_axis(part)
    moved = part["rms_displacement"].mean("dataset").values if "rms_displacement" in part else part[axis].values
    part = part.isel({axis: int(np.nanargmin(np.abs(np.log(moved / MOVED))))})
    units = {"displacement": "{} pixel", "angle": "{} degrees"}.get(axis, axis.replace("_", " ") + " {}")
    size = units.format(f"{float(part[axis]):.3g}")
    found = over_seeds(part["R"].reset_coords(drop=True))
    if "rms_displacement" in part:
        found["rms_displacement"] = part["rms_displacement"].reset_coords(drop=True)
        found["rms_displacement"].attrs = {"long_name": "root mean square displacement", "units": "pixel"}
    return found, f"{sweep.attrs.get('perturbation', '')}{cut}, {size}"


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in columns, nets side by side, families in colour; hollow at initialisation, full after training."""
    nets, families = [str(net) for net in numbers["net"].values], numbers["family"].values
    figure, panels = new_figure(1, numbers.sizes["dataset"])
    figure.set_figwidth(max(scaled(8), figure.get_figwidth() * max(1.4, len(nets) / 4)))
    for axes, dataset in zip(panels[0], numbers["dataset"].values, strict=True):
        for k, family in enumerate(families):
            part, style = numbers.sel(dataset=dataset).isel(family=k), line_style(k)
            x = np.arange(len(nets)) + (k - (len(families) - 1) / 2) * 0.7 / len(families)
            for state in STATES:
                mean, spread = part["mean"].sel(state=state).values, part["spread"].sel(state=state).values
                trained = state == "trained"
                full = {"markerfacecolor": style["color"] if trained else "white", "label": family if trained else None}
                bars = [mean - mean / spread, mean * spread - mean]
                full |= {"color": style["color"], "marker": style["marker"]}
                axes.errorbar(x, mean, bars, linestyle="", markersize=6, elinewidth=1.2, **full)
        axes.set_xticks(np.arange(len(nets)), nets, rotation=30 if len(nets) > 5 else 0)
        axes.set_title(str(dataset))
        axes.set_xlabel("net")
        axes.set_ylabel(LABELS["R"])
        axes.set_xlim(-0.6, len(nets) - 0.4)
        log_axis(axes, "y")
        unit_line(axes)
    seeds = numbers.attrs["seeds"]
    band = f"geometric mean over {seeds} seeds, bar ± 1 standard deviation" if seeds > 1 else "one seed, no bar"
    text = f"P = {numbers.attrs['P']}; each where it moves pixels by about {MOVED:g} (root mean square)\n{band}"
    text += "\nhollow: at initialisation, full: after training"
    legend_below(figure, panels[0, 0], "\n".join(filter(None, (text, numbers.attrs["left_out"]))), columns=2)
    return figure
