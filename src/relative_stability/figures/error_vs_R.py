"""Test error against R, and against D and G: every net, P and seed a point."""

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import seaborn as sns
import xarray as xr

from relative_stability.analysis.statistics import geometric_mean, log_correlation, power_law
from relative_stability.analysis.sweep import at_reference, left_out
from relative_stability.figures.series import between, meanings
from relative_stability.figures.style import PALE, finish, legend_line, log_axis, looks, plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

ORDER = ("R", "D", "G")
AREAS = 120, 20  # of a point of the largest and the smallest P, in points squared
PREFACTOR = 0.2  # of √R, the test error on CIFAR-10 at P = 50,000 (Petrini et al. 2021, Fig. 1)


def numbers(sweep: xr.Dataset) -> xr.Dataset:
    """Test error, D, G, R after training at the reference displacement; by dataset and quantity the correlation of its
    logarithm with that of the error, as the claims have it, and the power law of the error in R.
    """
    point, where = at_reference(sweep)
    point = point.sel(state="trained").transpose("dataset", "net", "P", "seed", ...)
    drawn = point[[*ORDER, "test_error"]].assign_coords(of=["value", "low", "high"])
    cells = [point.sel(dataset=dataset) for dataset in point["dataset"].values]
    for quantity in ORDER:
        means = [[geometric_mean(cell[name].values, axis=-1).T for name in (quantity, "test_error")] for cell in cells]
        found = [log_correlation(*pair)[:3] for pair in means]
        words = f"correlation of log test error and log {quantity}, with its 95 % interval from resampling nets"
        drawn[f"correlation_{quantity}"] = ("dataset", "of"), found, {"long_name": words, "units": "1"}
    laws = [power_law(cell["R"].values, cell["test_error"].values) for cell in cells]
    for k, word in enumerate(("exponent", "prefactor")):
        words = f"{word} of the test error as a power of R, with its 95 % interval over seeds"
        drawn[word] = ("dataset", "of"), [law[k][:3] for law in laws], {"long_name": words, "units": "1"}
    zeros = int((drawn["test_error"] == 0).sum())
    said = [left_out(point), f"test error is 0 in {zeros}, which are not drawn" if zeros else ""]
    told = {key: sweep.attrs.get(key, "") for key in ("sweep", "perturbation")}
    drawn.attrs = {**told, "where": where, "left_out": "; ".join(filter(None, said))}
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Datasets in rows; R, D and G in columns. Nets are named at their points, which are the larger, the larger P."""
    sizes, styles, labels = numbers["P"].values, looks(numbers), meanings(numbers)
    table = numbers[[*ORDER, "test_error"]].reset_coords(drop=True).to_dataframe().reset_index()
    table = table.melt([column for column in table if column not in ORDER], list(ORDER), var_name="quantity")
    table = table.assign(**{axis: table[axis].map(plain) for axis in ("dataset", "net")})
    table = table[(table["test_error"] > 0) & table["value"].notna()]
    datasets, (width, height) = (
        [plain(dataset) for dataset in numbers["dataset"].values],
        mpl.rcParams["figure.figsize"],
    )
    places = {"row": "dataset", "row_order": datasets, "col": "quantity", "col_order": ORDER}
    ratios = {"width_ratios": [1.5, 1, 1], "wspace": 0}
    grid = sns.FacetGrid(table, **places, sharex=False, sharey="row", gridspec_kws=ratios,
                         height=1.15 * height, aspect=width / height / 1.15)  # fmt: skip
    unit = mpl.rcParams["lines.markersize"] ** 2 / 25
    areas = dict(zip(sizes, unit * np.linspace(*AREAS, len(sizes))[::-1], strict=True))
    keys = {"palette": "color", "markers": "marker"}
    looked = {key: {net: style[part] for net, style in styles.items()} for key, part in keys.items()}
    grid.map_dataframe(sns.scatterplot, x="value", y="test_error", hue="net", style="net", size="P", sizes=areas,
                       alpha=0.8, legend=False, **looked)  # fmt: skip
    grid.set_titles(row_template="", col_template="", template="").set_axis_labels("", "test error")
    legend: dict[str, Line2D] = {}
    for (row, column), axes in np.ndenumerate(grid.axes):
        part, name = numbers.isel(dataset=row), f"{datasets[row]}: " if len(datasets) > 1 else ""
        axes.set_xlabel(labels[ORDER[column]].replace(":\n", ": "))
        axes.set_title(f"{name}r = {between(part[f'correlation_{ORDER[column]}'])}", loc="left")
        if not axes.collections:
            axes.text(0.5, 0.5, "no value above 0 to draw", transform=axes.transAxes, ha="center")
            continue
        axes.set_xscale("log")
        axes.margins(x=0.05 if column else 0.15)  # the first has names
        log_axis(axes, "x")
        log_axis(axes, "y")
        if column == 0:
            legend |= _laws(axes, part, name)
    for size in dict.fromkeys((sizes[0], sizes[-1])) if len(sizes) > 1 else ():
        legend |= legend_line(f"P = {size}", color=PALE, marker="o", linestyle="", markersize=areas[size] ** 0.5)
    one = [datasets[0]] * (len(datasets) == 1) + [f"P = {sizes[0]}"] * (len(sizes) == 1)
    said = "a point is one seed; r: correlation of logarithms of means over seeds [95 % interval, resampling nets]"
    text = [*one, numbers.attrs["where"], said, numbers.attrs["left_out"]]
    figure = finish(grid.figure, "; ".join(filter(None, text)), legend)
    for dataset, axes in zip(datasets, grid.axes[:, 0], strict=True):
        name_points(axes, table[(table["dataset"] == dataset) & (table["quantity"] == "R")], looked["palette"])
    return figure


def _laws(axes: "Axes", part: xr.Dataset, name: str) -> "dict[str, Line2D]":
    """The law fitted to what is drawn, and that of the paper where it is claimed; returns what they are called."""
    slope, factor = (float(part[word].sel(of="value")) for word in ("exponent", "prefactor"))
    R = np.array(axes.get_xlim())
    legend: dict[str, Line2D] = {}
    laws = [(f"{name}error ∝ $R$ to the power {between(part['exponent'])}", factor * R**slope, "-")]
    if str(part["dataset"].item()).startswith("cifar10"):
        words = f"{PREFACTOR}√R: Petrini et al. 2021, on CIFAR-10 at P = 50,000"
        laws.append((words, PREFACTOR * R**0.5, "--"))
    for words, law, dashes in laws:
        if np.isfinite(law).all():
            axes.plot(R, law, color=PALE, linestyle=dashes, linewidth=1.2, scalex=False, scaley=False, zorder=1)
            legend |= legend_line(words, color=PALE, linestyle=dashes, linewidth=1.2)
    return legend


def name_points(axes: "Axes", points: "pd.DataFrame", colors: dict[str, str]) -> None:
    """Every net's name beside its rightmost point of the largest P, where it is on no other point or name."""
    from adjustText import adjust_text

    largest = points[points["P"] == points.groupby("net")["P"].transform("max")]
    named = largest.loc[largest.groupby("net")["value"].idxmax(), ["net", "value", "test_error"]]
    small = mpl.rcParams["legend.fontsize"]
    texts = [axes.text(x, y, net, color=colors[net], size=small) for net, x, y in named.itertuples(index=False)]
    if texts:
        arrow = {"arrowstyle": "-", "color": PALE, "linewidth": 0.6}
        adjust_text(texts, objects=axes.collections[0], target_x=named["value"].tolist(),
                    target_y=named["test_error"].tolist(), ax=axes, iter_lim=500, expand=(1.05, 1.2),
                    force_text=(0.3, 0.5), force_static=(0.2, 0.4), arrowprops=arrow)  # fmt: skip
