"""First-layer weights of the linear model's neurons along the flow: do they turn to the informative input?"""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from relative_stability.figures.regimes import alpha_label, alpha_style
from relative_stability.figures.style import legend_below, new_figure, scaled

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
    alphas = numbers["alpha"].values
    figure, panels = new_figure(len(alphas), 3)
    for row, alpha in zip(panels, alphas, strict=True):
        part = numbers.sel(alpha=alpha)
        last = _last(part)
        half = int(np.abs(part["train_loss"].values[: last + 1] - 0.5).argmin())
        for axes, time, name in zip(row, (0, half, last), ("initialisation", "half the loss", "end"), strict=True):
            _panel(axes, part.isel(time=time), alpha_style(alphas, alpha)["color"])
            axes.set_title(f"{name}, $t$ = {float(part['time'][time]):.3g}\n{_words(part.isel(time=time))}")
        row[0].annotate(
            alpha_label(alpha),
            (-0.3, 0.5),
            xycoords="axes fraction",
            rotation=90,
            va="center",
            ha="right",
            fontsize="large",
        )
    legend_below(figure, panels[0, 0], f"{numbers['task'].item()}, seed {int(numbers['seed'])}: a point is a neuron")
    return figure


def animate(numbers: xr.Dataset) -> "FuncAnimation":
    """The same as a film over the recorded times, a panel for each alpha; axes follow the weights as they grow."""
    from matplotlib.animation import FuncAnimation

    alphas = numbers["alpha"].values
    figure, panels = new_figure(1, len(alphas))
    figure.set_size_inches(scaled(4.0 * len(alphas)), scaled(4.4))
    frames = 1 + max(_last(numbers.sel(alpha=alpha)) for alpha in alphas)

    def frame(time: int) -> list[Any]:
        for axes, alpha in zip(panels[0], alphas, strict=True):
            part = numbers.sel(alpha=alpha)
            now = part.isel(time=min(time, _last(part)))
            axes.clear()
            _panel(axes, now, alpha_style(alphas, alpha)["color"])
            axes.set_title(f"{alpha_label(alpha)}\n{_words(now)}")
        figure.suptitle(f"$t$ = {float(numbers['time'][time]):.3g}")
        return []

    return FuncAnimation(figure, frame, frames=frames)


def _panel(axes: "Axes", now: xr.Dataset, color: Any) -> None:
    parallel, perpendicular = now["parallel"].values, now["perpendicular"].values
    axes.scatter(parallel, perpendicular, s=9, alpha=0.5, linewidth=0, color=color)
    reach = 1.05 * max(np.abs(parallel).max(), perpendicular.max())
    axes.set_xlim(-reach if int(now["informative"]) == 1 else 0, reach)
    axes.set_ylim(0, reach)
    several = int(now["informative"]) > 1
    axes.set_xlabel(r"$\|w_\parallel\|$, informative inputs" if several else r"$w_\parallel$, informative input")
    axes.set_ylabel(r"$\|w_\perp\|$, other inputs")


def _words(now: xr.Dataset) -> str:
    return rf"$\lambda / \lambda_0$ = {float(now['compression']):.3g}, loss {float(now['train_loss']):.2g}"


def _last(part: xr.Dataset) -> int:
    """The last time at which there are weights."""
    return int(np.flatnonzero(np.isfinite(part["parallel"].values[:, 0]))[-1])
