"""First-layer weights of the linear model's neurons along the flow: do they turn to the informative input?"""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import regime
from relative_stability.figures.series import alpha_label
from relative_stability.figures.style import finish, look, new_figure

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 2000  # neurons; more would hide each other


def numbers(curves: xr.Dataset) -> xr.Dataset:
    """w_∥ (its norm, where several inputs are informative) and ‖w_⊥‖ of every neuron of the first seed, by time."""
    run = curves.isel(seed=0, neuron=slice(SHOWN))
    weight, informative = run["hidden_weight"], int(curves["informative"])
    aligned, other = weight.isel(feature=slice(informative)), weight.isel(feature=slice(informative, None))
    parallel = (
        aligned.isel(feature=0, drop=True) if informative == 1 else (aligned**2).sum("feature", skipna=False) ** 0.5
    )
    words = "weight of the informative input" if informative == 1 else "norm of the weights of the informative inputs"
    perpendicular = (other**2).sum("feature", skipna=False) ** 0.5
    drawn = xr.Dataset(
        {
            "parallel": parallel.assign_attrs(long_name=words, units="1"),
            "perpendicular": perpendicular.assign_attrs(long_name="norm of the weights of the other inputs", units="1"),
            "compression": run["compression"],
            "train_loss": run["train_loss"],
            "informative": curves["informative"],
            "task": curves["task"],
        }
    )
    drawn.attrs = {}
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """A row for each alpha: at initialisation, where the loss has fallen to half, at the end; a point is a neuron."""
    figure, panels = new_figure(numbers.sizes["alpha"], 3, 1, 1.05)
    for row, alpha in zip(panels, numbers["alpha"].values, strict=True):
        part = numbers.sel(alpha=alpha)
        last = _last(part)
        half = int(np.abs(part["train_loss"].values[: last + 1] - 0.5).argmin())
        for axes, time, name in zip(row, (0, half, last), ("initialisation", "half the loss", "end"), strict=True):
            _panel(axes, part.isel(time=time), alpha)
            axes.set_title(f"{name}, $t$ = {float(part['time'][time]):.3g}\n{_words(part.isel(time=time))}", loc="left")
    for row, alpha in zip(panels, numbers["alpha"].values, strict=True):
        row[0].set_ylabel(f"{alpha_label(alpha)}\n{row[0].get_ylabel()}")
    note = f"{numbers['task'].item()}, seed {int(numbers['seed'])}; a point is a neuron; every panel has its own scales"
    return finish(figure, note)


def animate(numbers: xr.Dataset) -> "FuncAnimation":
    """The same as a film over the recorded times, a panel for each alpha; axes follow the weights as they grow."""
    from matplotlib.animation import FuncAnimation

    alphas = numbers["alpha"].values
    figure, panels = new_figure(1, len(alphas), 1, 1.3)
    figure.set_layout_engine("constrained")
    frames = 1 + max(_last(numbers.sel(alpha=alpha)) for alpha in alphas)

    def frame(time: int) -> list[Any]:
        for axes, alpha in zip(panels[0], alphas, strict=True):
            part = numbers.sel(alpha=alpha)
            now = part.isel(time=min(time, _last(part)))
            axes.clear()
            _panel(axes, now, alpha)
            axes.set_title(f"{alpha_label(alpha)}\n{_words(now)}")
        figure.suptitle(f"$t$ = {float(numbers['time'][time]):.3g}")
        return []

    return FuncAnimation(figure, frame, frames=frames)


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
