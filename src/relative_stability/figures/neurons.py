"""First-layer weights of the linear model's neurons along the flow: do they turn to the informative input?"""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import regime
from relative_stability.figures.series import alpha_label
from relative_stability.figures.style import DARK, PALE, finish, look, new_figure

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 2000  # neurons; more would hide each other
MOMENTS = ("initialisation", "$t^*$", "end")


def numbers(curves: xr.Dataset) -> xr.Dataset:
    """w_∥ (its norm, where several inputs are informative) and ‖w_⊥‖ of every neuron of the first seed, by time and at
    t*.
    """
    run, informative = curves.isel(seed=0, neuron=slice(SHOWN)), int(curves["informative"])
    words = "weight of the informative input" if informative == 1 else "norm of the weights of the informative inputs"
    drawn = run[["compression", "train_loss", "fitted_time", "fitted_compression", "fitted_train_loss"]]
    for prefix, weight in (("", run["hidden_weight"]), ("fitted_", run["fitted_weight"])):
        along, across = weight.isel(feature=slice(informative)), weight.isel(feature=slice(informative, None))
        parallel = along.isel(feature=0, drop=True) if informative == 1 else _norm(along)
        drawn[f"{prefix}parallel"] = parallel.assign_attrs(long_name=words, units="1")
        drawn[f"{prefix}perpendicular"] = _norm(across).assign_attrs(
            long_name="norm of the weights of the other inputs", units="1"
        )
    drawn.attrs = {}
    return drawn.assign(informative=curves["informative"], task=curves["task"])


def _norm(weight: xr.DataArray) -> xr.DataArray:
    found: xr.DataArray = (weight**2).sum("feature", skipna=False) ** 0.5
    return found


def draw(numbers: xr.Dataset) -> "Figure":
    """A row for each alpha: at initialisation, at t*, at the end; a point is a neuron."""
    figure, panels = new_figure(numbers.sizes["alpha"], 3, 1, 1.05)
    for row, alpha in zip(panels, numbers["alpha"].values, strict=True):
        part = numbers.sel(alpha=alpha)
        for axes, now, name in zip(
            row, (part.isel(time=0), _fitted(part), part.isel(time=_last(part))), MOMENTS, strict=True
        ):
            if np.isfinite(now["parallel"]).all():
                _panel(axes, now, alpha)
                axes.set_title(f"{name}, $t$ = {float(now['time']):.3g}\n{_words(now)}", loc="left")
            else:
                axes.text(0.5, 0.5, "$t^*$ has not come", transform=axes.transAxes, ha="center")
        row[0].set_ylabel(f"{alpha_label(alpha)}\n{row[0].get_ylabel()}")
    note = f"{numbers['task'].item()}, seed {int(numbers['seed'])}; a point is a neuron; every panel has its own scales"
    return finish(figure, f"{note}\n$t^*$: over a tenth of the training samples meet the margin")


def animate(numbers: xr.Dataset) -> "FuncAnimation":
    """A film over the recorded times: neurons above, λ(t) below with the regime it is in, a column for each alpha."""
    from matplotlib.animation import FuncAnimation

    alphas = numbers["alpha"].values
    figure, panels = new_figure(2, len(alphas), 1, 1.3)
    figure.set_layout_engine("constrained")
    frames = 1 + max(_last(numbers.sel(alpha=alpha)) for alpha in alphas)

    def frame(time: int) -> list[Any]:
        for above, below, alpha in zip(*panels, alphas, strict=True):
            part = numbers.sel(alpha=alpha)
            last = _last(part)
            now, color = part.isel(time=min(time, last)), look(regime(alpha))["color"]
            for axes in (above, below):
                axes.clear()
            _panel(above, now, alpha)
            above.set_title(f"{alpha_label(alpha)}\n{_words(now)}")
            way = part["compression"].isel(time=slice(1, last + 1))
            below.loglog(way["time"], way, color=PALE)
            below.loglog(way["time"][:time], way[:time], color=color)
            below.set_ylim(min(0.5, 0.8 * float(way.min())), max(2, 1.25 * float(way.max())))
            if time:
                below.plot(float(now["time"]), float(now["compression"]), "o", color=color)
            if np.isfinite(part["fitted_time"]):
                below.axvline(float(part["fitted_time"]), color=DARK, linewidth=1, linestyle=(0, (3, 2)))
            below.set(xlabel="time $t$ of the flow (dashed: $t^*$)", ylabel=r"$\lambda(t) / \lambda(0)$",
                      title=_regime(part, now, alpha))  # fmt: skip
        figure.suptitle(f"$t$ = {float(numbers['time'][time]):.3g}")
        return []

    return FuncAnimation(figure, frame, frames=frames)


def _regime(part: xr.Dataset, now: xr.Dataset, alpha: float) -> str:
    """Where a flow is (Paccolat et al. 2020): before t*, up to the largest λ, or beyond it."""
    if regime(alpha) != "feature" or not np.isfinite(part["fitted_time"]):
        return regime(alpha)
    if now["time"] < part["fitted_time"]:
        return "compressing"
    return "fitting" if now["time"] <= part["time"][int(part["compression"].argmax("time"))] else "over-fitting"


def _fitted(part: xr.Dataset) -> xr.Dataset:
    """The moment t*."""
    named = {f"fitted_{name}": name for name in ("parallel", "perpendicular", "compression", "train_loss")}
    return part[list(named)].rename(named).assign(time=part["fitted_time"], informative=part["informative"])


def _panel(axes: "Axes", now: xr.Dataset, alpha: float) -> None:
    parallel, perpendicular = now["parallel"].values, now["perpendicular"].values
    several = int(now["informative"]) > 1
    axes.scatter(parallel, perpendicular, s=9, alpha=0.5, linewidth=0, color=look(regime(alpha))["color"])
    reach = 1.05 * np.abs(parallel).max()
    axes.set(xlim=(0 if several else -reach, reach), ylim=(0, 1.05 * perpendicular.max()))
    axes.set_xlabel("weights of informative inputs" if several else "weight of informative input")
    axes.set_ylabel("norm of other weights")


def _words(now: xr.Dataset) -> str:
    return f"λ/λ(0) = {float(now['compression']):.3g}, loss {float(now['train_loss']):.2g}"


def _last(part: xr.Dataset) -> int:
    """The last time at which there are weights."""
    return int(np.flatnonzero(np.isfinite(part["parallel"].values[:, 0]))[-1])
