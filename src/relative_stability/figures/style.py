"""One look for all figures: seaborn's theme, and for every net a colour, a marker and dashes that are its own."""

from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any
from zlib import crc32

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# size: seaborn's context and scale of its fonts, inches of a panel; three panels of a column are a page's text wide
SIZES = {"slide": ("notebook", 1.05, 4.0, 3.4), "column": ("paper", 0.82, 2.25, 2.0)}
DARK, PALE = "0.15", "0.5"  # greys of text and of lines that only guide the eye
# Degrees of hue of a family, by what its architectures' names have in them: the first that fits.
HUES = {
    "fc": 250, "one_hidden": 250, "lenet": 30, "cnn": 135, "alexnet": 75, "vgg": 295, "resnext": 345, "resnet": 5,
    "regnet": 345, "efficientnet": 185, "mobilenet": 185, "densenet": 320, "convnext": 105, "googlenet": 55, "vit": 215,
    "feature": 250, "lazy": 30,
    "diffeomorphism": 250, "translation": 30, "rotation": 135, "scaling": 345,
}  # fmt: skip
# In this order their markers and shades go round, so that no two of them look alike without colour.
KNOWN = (
    "fc", "lenet", "cnn", "one_hidden", "fc2", "fc4", "fc6", "alexnet", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn",
    "resnet18", "resnet34", "resnet50", "efficientnet_b0", "mobilenet_v2", "densenet121", "convnext_tiny", "vit_small",
    "vgg19", "vgg19_bn", "resnet101", "resnext29", "regnet", "googlenet",
    "rotation", "feature", "lazy", "diffeomorphism", "translation", "scaling",
)  # fmt: skip
MARKERS = "osD^vPX<p>*h"
SHADES = (0.6, 0.53, 0.46, 0.4, 0.34, 0.28)  # lightness; the palest has a contrast of 3.2 to white
DASHES = ("-", (0, (7, 2)), (0, (7, 2, 2, 2)))  # after training; at initialisation every net's line is dotted
DOTTED = (0, (1, 1.6))


def apply_style(size: str = "slide") -> None:
    """Set fonts, lines and panels to a size, one of SIZES."""
    context, scale, width, height = SIZES[size]
    mpl.use("Agg")
    mpl.rcdefaults()
    small = sns.plotting_context(context, scale)["xtick.labelsize"]  # of all text
    own = {"axes.spines.right": False, "axes.spines.top": False, "legend.frameon": False, "pdf.fonttype": 42,
           "axes.labelsize": small, "axes.titlesize": small, "figure.figsize": (width, height),
           "lines.markersize": 5 if size == "slide" else 3.5}  # fmt: skip
    sns.set_theme(context, "ticks", "colorblind", font_scale=scale, rc=own)


def look(name: str, architecture: str = "") -> dict[str, Any]:
    """Colour, marker and dashes of a net, from its name and family alone: the same in every figure of every config.

    A family has a hue, of which its nets have shades. Nets of one known name and other endings share a marker.

    >>> look("resnet18_narrow")["marker"] == look("resnet18")["marker"]
    True
    """
    base = max((known for known in KNOWN if name.startswith(known)), key=len, default="")
    ending = crc32(name.removeprefix(base).encode()) if name != base else 0
    place = KNOWN.index(base) if base else ending % len(MARKERS)
    family = next((family for of in (architecture, name) for family in HUES if family in of), "")
    hue = HUES[family] if family else crc32((architecture or name).encode()) % 360
    shade = SHADES[(place + place // len(MARKERS) + ending // 12) % 3 * 2 + bool(ending)]
    (color,) = sns.husl_palette(1, h=hue / 360, s=0.9, l=shade)
    return {
        "color": color,
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[(place + ending // 36) % 3],
    }


def looks(numbers: "xr.Dataset") -> dict[str, dict[str, Any]]:
    """`look` of every net of a dataset, by its name as it is written in figures."""
    nets = [str(net) for net in numbers["net"].values]
    families = numbers["architecture"].values if "architecture" in numbers.coords else [""] * len(nets)
    return {plain(net): look(net, str(family)) for net, family in zip(nets, families, strict=True)}


def plain(name: object) -> str:
    """A name that was given by someone, as text in which a dollar is a dollar."""
    return str(name).replace("$", r"\$")


def new_figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure of panels of so many panels' widths and heights; returns it and its axes, (rows, columns)."""
    panel = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width * columns * panel[0], height * rows * panel[1]))
    return figure, figure.subplots(rows, columns, squeeze=False)


def finish(
    figure: Figure, note: str, legend: Mapping[str, Line2D] | None = None, letters: bool = True, passes: int = 1
) -> Figure:
    """A letter on every panel, one legend above all of them, one note below; the figure grows by what these take.

    Everything has its place then. passes: that it takes at most to find it.
    """
    import matplotlib.pyplot as plt

    em = mpl.rcParams["legend.fontsize"] / 72  # inches
    width = figure.get_figwidth()
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=em, h_pad=em / 2))
    text = "\n".join(fill(line, int(width / em / 0.56)) for line in note.split("\n") if line)
    figure.supxlabel(text, fontsize=mpl.rcParams["legend.fontsize"], color=DARK)
    lines = 1.3 * (text.count("\n") + 1)
    if legend:
        columns = min(len(legend), max(1, int(width / em / (4 + 0.5 * max(map(len, legend))))))
        figure.legend(list(legend.values()), list(legend), loc="outside upper center", ncols=columns)
        lines += 1.5 * -(-len(legend) // columns)
    figure.set_figheight(figure.get_figheight() + em * (lines + 0.5))
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    if letters and len(panels) > 1:
        for letter, axes in zip("abcdefghijklmnopqrstuvwxyz" * 9, panels, strict=False):
            title = axes.get_title(loc="left")
            axes.set_title(f"({letter})  {title}".rstrip(), loc="left")
    plt.close(figure)  # pyplot, in which seaborn makes figures, need not keep it
    for _ in range(passes):
        before = [axes.get_position().bounds for axes in panels]
        figure.draw_without_rendering()
        if np.allclose(before, [axes.get_position().bounds for axes in panels], atol=1e-3):
            break
    figure.set_layout_engine("none")  # or each file that is written would find it anew
    return figure


def legend_line(label: str, **style: Any) -> dict[str, Line2D]:
    """An entry of a legend."""
    return {label: Line2D([], [], **{"color": DARK, "linewidth": mpl.rcParams["lines.linewidth"], **style})}


def log_axis(axes: "Axes", which: str, ticks: Iterable[float] | None = None) -> None:
    """A logarithmic axis whose ticks read as plain numbers; `ticks` puts them at the values measured."""
    axis = getattr(axes, f"{which}axis")
    getattr(axes, f"set_{which}scale")("log")
    axis.set_minor_formatter(NullFormatter())
    low, high = sorted(getattr(axes, f"get_{which}lim")())
    if ticks is not None:
        values = list(ticks)
        room = 36 * mpl.rcParams["figure.figsize"][0] / mpl.rcParams["legend.fontsize"]  # half a panel's width
        every = -(-int(sum(0.62 * (len(f"{value:g}") + 1) for value in values)) // int(room))
        getattr(axes, f"set_{which}ticks")(values[::-every] if which == "x" else values)
        axis.set_minor_locator(NullLocator())
    elif high / low < 1.8:  # so close together, a logarithmic axis has no round numbers
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_minor_locator(NullLocator())
    elif high / low < 100:  # at least two numbers on every axis, and no crowd of them
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low > 5 else (1, 1.5, 2, 3, 4, 5, 6, 8)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e+0", "e").replace("e-0", "e-")))


def label_ends(axes: "Axes", names: Iterable[str]) -> None:
    """Names at the ends of lines that have them as labels, right of the axes, as near as they do not touch."""
    from scipy.optimize import isotonic_regression

    axes.autoscale_view()
    lines = [line for line in axes.get_lines() if line.get_label() in set(names)]
    to_axes, size = axes.transScale + axes.transLimits, mpl.rcParams["legend.fontsize"]
    found = sorted((to_axes.transform(np.asarray(line.get_xydata())[-1])[1], k) for k, line in enumerate(lines))
    gap = np.arange(len(found)) * 1.35 * size / 72 / mpl.rcParams["figure.figsize"][1]
    heights = isotonic_regression([height for height, _ in found] - gap).x + gap  # least squares in their order
    for (_, k), height in zip(found, heights, strict=True):
        color, (x, y) = lines[k].get_color(), np.asarray(lines[k].get_xydata())[-1]
        axes.annotate(str(lines[k].get_label()), (x, y), (1.04, height), "data", axes.transAxes, color=color, size=size,
                      va="center", arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "shrinkA": 0})  # fmt: skip
