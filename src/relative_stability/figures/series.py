"""What figures of a sweep share: averages over seeds, fitted power laws, and lines with bands."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from relative_stability.analysis.statistics import exponent, geometric_mean, geometric_spread
from relative_stability.analysis.sweep import left_out
from relative_stability.core.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = ("D", "G", "R")
LABELS = {"D": "$D$", "G": "$G$", "R": "$R = D/G$"}


def expect(sweep: xr.Dataset, observable: str) -> None:
    """Raise InputError unless this has been measured in the sweep."""
    if f"R_{observable}" not in sweep:
        raise InputError(
            f"figure {observable} needs sweep {sweep.attrs.get('sweep', '')!r} to measure it: add {observable} to its "
            "observables"
        )


def over_seeds(values: xr.DataArray) -> xr.Dataset:
    """Geometric mean over seeds, the factor of one standard deviation, and the runs that are there."""
    axis = values.get_axis_num("seed")
    dims = [dim for dim in values.dims if dim != "seed"]
    coords = {dim: values[dim] for dim in dims if dim in values.coords}
    data = np.asarray(values.values, float)
    parts = {
        "mean": geometric_mean(data, axis),
        "spread": geometric_spread(data, axis),
        "runs": np.isfinite(data).sum(axis),
    }
    return xr.Dataset({name: (dims, part) for name, part in parts.items()}, coords)


def summary(sweep: xr.Dataset, names: tuple[str, ...]) -> xr.Dataset:
    """`over_seeds` of several variables, named `{variable}_mean` and so on, with the sweep's name and seeds."""
    parts = []
    for name in names:
        part = over_seeds(sweep[name])
        parts.append(part.rename({key: f"{name}_{key}" for key in part.data_vars}))
    merged = xr.merge(parts)
    for name in names:
        word, units = sweep[name].attrs.get("long_name", name), sweep[name].attrs.get("units", "1")
        merged[f"{name}_mean"].attrs = {"long_name": f"{word}: geometric mean over seeds", "units": units}
        merged[f"{name}_spread"].attrs = {
            "long_name": f"{name}: factor of one standard deviation over seeds",
            "units": "1",
        }
        merged[f"{name}_runs"].attrs = {"long_name": f"{name}: runs behind the mean", "units": "1"}
    for axis in merged.coords:
        merged[axis].attrs = dict(sweep[axis].attrs) if axis in sweep.coords else {}
    merged.attrs = {
        "sweep": sweep.attrs.get("sweep", ""),
        "perturbation": sweep.attrs.get("perturbation", ""),
        "seeds": int(sweep.sizes["seed"]),
        "left_out": left_out(sweep),
    }
    return merged


def exponents(values: xr.DataArray) -> xr.DataArray:
    """β of y ∝ P^β over all P, with its 95 % interval: the same without P and seed, with `of` (value, low, high)."""
    rest = [dim for dim in values.dims if dim not in ("P", "seed")]
    stacked = values.transpose(*rest, "P", "seed")
    sizes, flat = values["P"].values.astype(float), stacked.values.reshape(-1, *stacked.shape[-2:])
    found = np.array([exponent(sizes, cell)[:3] for cell in flat]).reshape(*stacked.shape[:-2], 3)
    coords = {dim: values[dim] for dim in rest if dim in values.coords}
    return xr.DataArray(found, {**coords, "of": ["value", "low", "high"]}, (*rest, "of"))


def slope_words(beta: xr.DataArray) -> str:
    """A fitted exponent with half its interval, in words."""
    value, low, high = (float(beta.sel(of=of)) for of in ("value", "low", "high"))
    if not np.isfinite(value):
        return ""
    return rf": $P^{{{value:.2f}}}$" + (f" ({low:.2f} to {high:.2f})" if np.isfinite(low) else "")


def band(axes: "Axes", x: np.ndarray, part: xr.Dataset, name: str, label: str, **style: Any) -> None:
    """A line through the means, and a band of one standard deviation over seeds on either side."""
    mean, spread = part[f"{name}_mean"].values, part[f"{name}_spread"].values
    axes.plot(x, mean, label=label, markersize=6, markeredgecolor="white", markeredgewidth=0.6, **style)
    axes.fill_between(x, mean / spread, mean * spread, color=style["color"], alpha=0.18, linewidth=0)


def note(numbers: xr.Dataset, first: str = "") -> str:
    """What lines and bands are, and what is not drawn."""
    seeds = numbers.attrs["seeds"]
    text = f"geometric mean over {seeds} seeds, band ± 1 standard deviation" if seeds > 1 else "one seed, no band"
    return "; ".join(part for part in (first, text, numbers.attrs["left_out"]) if part)
