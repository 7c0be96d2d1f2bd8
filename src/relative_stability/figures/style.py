"""One look for all figures: a net has the same colour, marker and dashes everywhere."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Colour-blind safe, and apart in greyscale through markers and dashes as well.
_PALETTE = (
    "#0173b2",
    "#de8f05",
    "#029e73",
    "#d55e00",
    "#cc78bc",
    "#ca9161",
    "#fbafe4",
    "#949494",
    "#ece133",
    "#56b4e9",
)
_MARKERS = "osD^vP*X"
_KNOWN = ("fc", "lenet", "cnn", "one_hidden")
SIZES = ("slide", "column")  # each a style sheet in this folder
SLIDE = 4.0  # inches, width of one panel on a slide


def apply_style(size: str = "slide") -> None:
    """Set fonts, lines and panels, as the style sheet of this size says."""
    mpl.use("Agg")
    mpl.style.use(["default", Path(__file__).with_name(f"{size}.mplstyle")])


def scaled(inches: float) -> float:
    """A length on a slide, in the size that is set."""
    return inches * float(mpl.rcParams["figure.figsize"][0]) / SLIDE


def line_height() -> float:
    """Inches, of a line of a legend."""
    return scaled(0.26)


# What lines stand for, and their dashes.
STATES: dict[str, tuple[str, Any]] = {"init": ("at initialisation", (0, (2, 2))), "trained": ("after training", "-")}


def net_style(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Colour and marker of a net: fixed for known nets, in the order of `names` for others."""
    others = [n for n in names if n not in _KNOWN]
    index = _KNOWN.index(name) if name in _KNOWN else len(_KNOWN) + others.index(name)
    return {"color": _PALETTE[index % len(_PALETTE)], "marker": _MARKERS[index % len(_MARKERS)]}


def line_style(index: int) -> dict[str, Any]:
    """Colour and marker of the line at a position, where lines stand for no net."""
    return {"color": _PALETTE[index % len(_PALETTE)], "marker": _MARKERS[index % len(_MARKERS)], "markersize": 5}


def new_figure(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of panels; returns it and its axes, (rows, columns)."""
    # More air between panels than the default, so that labels of one do not lean on the next.
    width, height = mpl.rcParams["figure.figsize"]
    layout = ConstrainedLayoutEngine(w_pad=scaled(0.12), h_pad=scaled(0.08))
    figure = Figure(figsize=(width * columns, height * rows + scaled(0.7)), layout=layout)
    return figure, figure.subplots(rows, columns, squeeze=False)


def log_axis(axes: "Axes", which: str, ticks: Iterable[float] | None = None) -> None:
    """A logarithmic axis whose ticks read as plain numbers; `ticks` puts them at the values measured."""
    low, high = getattr(axes.dataLim, f"interval{which}")
    if not (np.isfinite([low, high]).all() and high > 0):
        if not axes.texts:  # once for both axes
            axes.text(0.5, 0.5, "no run to draw", transform=axes.transAxes, ha="center", va="center")
        return
    axis = getattr(axes, f"{which}axis")
    getattr(axes, f"set_{which}scale")("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    if ticks is not None:
        getattr(axes, f"set_{which}ticks")(list(ticks))
        axis.set_minor_locator(mpl.ticker.NullLocator())
    else:
        low, high = sorted(getattr(axes, f"get_{which}lim")())
        if low > 0 and high / low < 1.8:
            axis.set_major_locator(
                MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
            )  # so close together, a logarithmic axis has no round numbers
            axis.set_minor_locator(mpl.ticker.NullLocator())
        elif low > 0 and high / low < 100:
            # At least two numbers on every axis, and no crowd of them.
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low > 5 else (1, 1.5, 2, 3, 4, 5, 6, 8)))


def unit_line(axes: "Axes") -> None:
    """Where R is 1, and a net no more stable to the perturbation than to noise."""
    axes.axhline(1, color="0.6", linewidth=1, zorder=0)


def legend_below(figure: Figure, axes: "Axes", note: str, columns: int = 6) -> None:
    """One legend for all panels under them, in at most so many columns, and what lines and bands mean under that."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = _fitting(figure, min(columns, len(handles)), handles, labels)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=note)
    else:
        figure.supxlabel(note, fontsize="small")
    lines = -(-len(handles) // columns) + note.count("\n")
    figure.set_figheight(figure.get_figheight() + line_height() * max(0, lines - 1))  # panels stay as high as they are


def _fitting(figure: Figure, columns: int, handles: Sequence["Artist"], labels: Sequence[str]) -> int:
    """How many columns of a legend the figure is wide enough for."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    for count in range(columns, 1, -1):
        tried = figure.legend(handles, labels, ncols=count)
        width = tried.get_window_extent(renderer).width
        tried.remove()
        if width <= 0.97 * figure.bbox.width:
            return count
    return 1
