"""D, G and R after training against the training-set size P, with fitted power laws."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from relative_stability.analysis.sweep import at_reference
from relative_stability.figures.series import LABELS, QUANTITIES, band, exponents, note, slope_words, summary
from relative_stability.figures.style import legend_below, line_height, log_axis, net_style, new_figure, unit_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

NAMED_LAWS = 6  # more exponents than this leave a panel no room; they stand in the numbers drawn, and among the claims


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Means over seeds at the reference displacement, and exponents in P: (dataset, net, P, state)."""
    part, where = at_reference(sweep)
    drawn = summary(part, QUANTITIES).assign_attrs(where=where)
    for quantity in QUANTITIES:
        found = exponents(part[quantity].sel(state="trained", drop=True))
        words = f"exponent of {quantity} in P after training, with its 95 % interval over seeds"
        drawn[f"{quantity}_exponent"] = found.assign_attrs(long_name=words, units="1")
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows, D, G and R in columns, nets in colour; dashed at initialisation, dotted a fitted power law."""
    nets = [str(net) for net in numbers["net"].values]
    sizes = numbers["P"].values
    figure, panels = new_figure(numbers.sizes["dataset"], len(QUANTITIES))
    if len(nets) <= NAMED_LAWS:
        figure.set_figheight(figure.get_figheight() + line_height() * len(nets) * numbers.sizes["dataset"])
    for row, dataset in zip(panels, numbers["dataset"].values, strict=True):
        for axes, quantity in zip(row, QUANTITIES, strict=True):
            laws: dict[str, Line2D] = {}
            for net in nets:
                style, part = net_style(net, nets), numbers.sel(dataset=dataset, net=net)
                band(axes, sizes, part.sel(state="trained"), quantity, f"{net}, after training", **style)
                initial = part.sel(state="init")[f"{quantity}_mean"].values
                axes.plot(
                    sizes,
                    initial,
                    color=style["color"],
                    linestyle=(0, (5, 3)),
                    linewidth=1.2,
                    label=f"{net}, at initialisation",
                )
                laws |= _law(axes, sizes, part.sel(state="trained"), quantity, style["color"])
            axes.set_xlabel("training-set size $P$ (samples)")
            axes.set_ylabel(LABELS[quantity])
            log_axis(axes, "x", sizes)
            log_axis(axes, "y")
            if quantity == "R":
                unit_line(axes)
            _title(axes, str(dataset), laws)
    fitted = np.isfinite(numbers["R_exponent"].sel(of="value")).any()
    dotted = "\ndotted: fitted power law, its exponent with the 95 % interval over seeds" if fitted else ""
    legend_below(figure, panels[0, 0], note(numbers, numbers.attrs["where"]) + dotted, columns=3)
    return figure


def _law(
    axes: "Axes", sizes: np.ndarray, part: xr.Dataset, quantity: str, color: tuple[float, ...]
) -> dict[str, "Line2D"]:
    """The power law fitted to the means of one net: its line by the net and its exponent, or nothing."""
    means, beta = part[f"{quantity}_mean"].values, part[f"{quantity}_exponent"]
    there, slope = np.isfinite(means), float(beta.sel(of="value"))
    if not np.isfinite(slope):
        return {}
    x = sizes[there].astype(float)
    law = np.exp(np.mean(np.log(means[there]) - slope * np.log(x))) * x**slope
    (line,) = axes.plot(x, law, color=color, linestyle=(0, (1, 1.5)), linewidth=1.8)
    return {f"{part['net'].values}{slope_words(beta)}": line}


def _title(axes: "Axes", dataset: str, laws: Mapping[str, "Line2D"]) -> None:
    """The dataset above the panel and, as each panel has its own, the exponents."""
    if not 0 < len(laws) <= NAMED_LAWS:
        axes.set_title(dataset)
        return
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.03), "borderaxespad": 0}
    axes.legend(list(laws.values()), list(laws), title=dataset, fontsize="x-small", labelspacing=0.3, **place)
