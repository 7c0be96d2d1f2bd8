"""What goes with the test error: the rank correlation of R, and of what was proposed before it, with the error."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import seaborn as sns
import xarray as xr

from relative_stability.analysis.explaining import datasets_and_sizes, explanations, rank_correlations
from relative_stability.analysis.sweep import left_out
from relative_stability.core.errors import InputError
from relative_stability.figures.style import PALE, finish, legend_line, look, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WRAPPED = 30  # characters of a line
OVER = ("nets at the largest P", "nets and P")


def numbers(sweeps: Sequence[xr.Dataset]) -> xr.Dataset:
    """Rank correlations with the test error and their intervals: (dataset, quantity, over, of)."""
    found = explanations(sweeps)
    quantities = list(found)
    if not quantities:
        raise InputError("figure explaining needs a sweep of diffeomorphisms, or one with dimension or alignment")
    datasets, sizes = datasets_and_sizes(found)
    over = OVER[: len(sizes)]  # of one P they are the same
    values = np.full((len(datasets), len(quantities), len(over), 3), np.nan)
    for d, dataset in enumerate(datasets):
        for o, P in enumerate((sizes[-1], None)[: len(over)]):
            for name, estimate in rank_correlations(found, dataset, P).items():
                values[d, quantities.index(name), o] = estimate[:3]
    words = "rank correlation with the test error, with its 95 % interval from resampling nets"
    drawn = xr.Dataset(
        {"correlation": (("dataset", "quantity", "over", "of"), values, {"long_name": words, "units": "1"})},
        {"dataset": datasets, "quantity": quantities, "over": list(over), "of": ["value", "low", "high"]},
    )
    gaps = [f"{sweep.attrs.get('sweep', '')}: {left_out(sweep)}" for sweep in sweeps if left_out(sweep)]
    nets = {str(net) for part in found.values() for net in part["net"].values}
    return drawn.assign_attrs(P=sizes[-1], nets=len(nets), left_out="; ".join(gaps))


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in columns, quantities below each other; full over nets at the largest P, hollow over nets and P."""
    table = numbers["correlation"].to_dataframe().reset_index().dropna(subset="correlation")
    datasets, quantities = list(numbers["dataset"].values), list(dict.fromkeys(table["quantity"]))
    looks = dict(zip(OVER, ((look("diffeomorphism")["color"], "o"), (PALE, "s")), strict=True))
    looks = {name: looks[name] for name in numbers["over"].values}
    width, height = mpl.rcParams["figure.figsize"]
    inches = height * max(0.8, 0.3 + 0.16 * len(quantities))
    grid = sns.FacetGrid(table, col="dataset", col_order=datasets, height=inches, aspect=2.1 * width / inches)
    shown = {"x": "correlation", "y": "quantity", "order": quantities, "hue": "over", "hue_order": list(looks),
             "orient": "h", "palette": [color for color, _ in looks.values()],
             "markers": [marker for _, marker in looks.values()], "dodge": 0.3 if len(looks) > 1 else False,
             "linestyle": "none", "estimator": "median", "errorbar": ("pi", 100), "err_kws": {"linewidth": 1.2},
             "legend": False}  # fmt: skip
    grid.map_dataframe(sns.pointplot, **shown)
    grid.set_titles(template="")
    for dataset, axes in zip(datasets, grid.axes.flat, strict=True):
        axes.set_title(plain(dataset) if len(datasets) > 1 else "", loc="left")
        axes.set(xlim=(-1.05, 1.05))
        axes.set_yticks(range(len(quantities)), [fill(name, WRAPPED) for name in quantities])
        axes.axvline(0, color=PALE, linewidth=1, zorder=0)
    grid.set_axis_labels("rank correlation with the test error", "measured of the nets")
    legend: dict[str, Line2D] = {}
    for name, (color, marker) in looks.items():
        legend |= legend_line(name, marker=marker, linestyle="", color=color)
    told = [plain(datasets[0])] if len(datasets) == 1 else []
    told += [f"{numbers.attrs['nets']} nets, largest P = {numbers.attrs['P']}", "bar: 95 % interval, resampling nets"]
    return finish(grid.figure, "; ".join(filter(None, [*told, numbers.attrs["left_out"]])), legend)
