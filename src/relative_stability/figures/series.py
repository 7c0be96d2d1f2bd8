"""What figures of a sweep share: averages over seeds, fitted power laws, and panels of lines with bands."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
import xarray as xr

from relative_stability.analysis.statistics import exponent, geometric_mean, geometric_spread
from relative_stability.analysis.sweep import left_out, regime
from relative_stability.core.errors import InputError
from relative_stability.figures.style import DOTTED, PALE, label_ends, legend_line, log_axis, look, plain
from relative_stability.nets import ARCHITECTURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

QUANTITIES = ("D", "G", "R")
P_LABEL = "training samples $P$"
GUIDE: dict[str, Any] = {"linestyle": (0, (3, 2)), "linewidth": 1}
LABELLED = 12, 22  # more nets, or longer names, than can stand at the ends of lines are told apart in a legend


def expect(sweep: xr.Dataset, observable: str) -> None:
    """Raise InputError unless this has been measured in the sweep."""
    if f"R_{observable}" not in sweep:
        raise InputError(
            f"figure {observable} needs sweep {sweep.attrs.get('sweep', '')!r} to measure it: add {observable} to its "
            "observables"
        )


def expect_flows(sweep: xr.Dataset, kind: str) -> None:
    """Raise InputError unless the sweep is one of gradient flows."""
    if "alpha" not in sweep.dims:
        raise InputError(f"figure {kind} needs a sweep of gradient flows (training.optimizer: gradient_flow)")


def over_seeds(values: xr.DataArray) -> xr.Dataset:
    """Geometric mean over seeds, the factor of one standard deviation, and the runs behind them.

    Zeros have no logarithm: they are in no mean, and `zeros` counts them.
    """
    axis, dims = values.get_axis_num("seed"), [dim for dim in values.dims if dim != "seed"]
    data = np.asarray(values.values, float)
    parts = {
        "mean": geometric_mean(data, axis),
        "spread": geometric_spread(data, axis),
        "runs": (data > 0).sum(axis),
        "zeros": (data == 0).sum(axis),
    }
    return xr.Dataset(
        {name: (dims, part) for name, part in parts.items()}, {dim: values[dim] for dim in dims if dim in values.coords}
    )


def summary(sweep: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """`over_seeds` of several variables, named `{variable}_mean` and so on, and what notes say of the sweep."""
    parts, said = [], [left_out(sweep)]
    for name in names:
        part, word = over_seeds(sweep[name]), sweep[name].attrs.get("long_name", name)
        part["mean"].attrs = {
            "long_name": f"{word}: geometric mean over seeds",
            "units": sweep[name].attrs.get("units", "1"),
        }
        part["spread"].attrs = {"long_name": f"{name}: factor of one standard deviation over seeds", "units": "1"}
        part["runs"].attrs = {"long_name": f"{name}: runs behind the mean", "units": "1"}
        zeros = int(part["zeros"].sum())
        said += [f"{word} is 0 in {zeros}, which are in no mean"] if zeros else []
        parts.append(part.drop_vars("zeros").rename({key: f"{name}_{key}" for key in part.data_vars if key != "zeros"}))
    merged = xr.merge(parts)
    for axis in merged.coords:
        merged[axis].attrs = dict(sweep[axis].attrs) if axis in sweep.coords else {}
    merged = merged.assign_coords(
        {k: sweep[k] for k in ("architecture",) if k in sweep.coords and "net" in merged.dims}
    )
    told = {key: sweep.attrs.get(key, "") for key in ("sweep", "perturbation", "batch_norm")}
    return merged.assign_attrs(told, seeds=int(sweep.sizes["seed"]), left_out="; ".join(filter(None, said)))


def exponents(values: xr.DataArray) -> xr.DataArray:
    """β of y ∝ P^β over all P, with its 95 % interval: the same without P and seed, with `of` (value, low, high)."""
    sizes = values["P"].values.astype(float)
    found: xr.DataArray = xr.apply_ufunc(
        lambda cell: np.array(exponent(sizes, cell)[:3]),
        values,
        input_core_dims=[["P", "seed"]],
        output_core_dims=[["of"]],
        vectorize=True,
    )
    return found.assign_coords(of=["value", "low", "high"])


def between(estimate: xr.DataArray) -> str:
    """A number along `of` and its interval, in words."""
    value, low, high = (estimate.sel(of=of).item() for of in ("value", "low", "high"))
    words = f"{value:z.2f}" + (f" [{low:z.2f}, {high:z.2f}]" if np.isfinite(low) else "")
    return words.replace("-", "\N{MINUS SIGN}") if np.isfinite(value) else "\N{EN DASH}"


def meanings(numbers: xr.Dataset, of: str = "output") -> dict[str, str]:
    """D, G and R as axes have them."""
    family = numbers.attrs.get("perturbation") or "perturbation"
    family = {"subspace": "change of other inputs"}.get(family, family)
    return {
        "D": f"$D$: change of {of}\nby {family}",
        "G": f"$G$: change of {of}\nby noise of equal norm",
        "R": "$R = D/G$:\nrelative stability",
    }


def long(numbers: xr.Dataset, names: Mapping[str, str], by: str = "net") -> pd.DataFrame:
    """A row for each mean and each end of its band, in the column `value`; `panel` is what `names` has for a variable.

    The median of the three is the mean and their range the band: seaborn then draws what the numbers say. Columns are
    all dimensions, and `line`, the values of `by` as they are written.
    """
    parts = []
    for name, panel in names.items():
        mean, spread = numbers[f"{name}_mean"], numbers[f"{name}_spread"]
        ends = xr.concat([mean / spread, mean, mean * spread], "end").rename("value").reset_coords(drop=True)
        parts.append(ends.to_dataframe().reset_index().assign(panel=panel))
    table = pd.concat(parts, ignore_index=True)
    rows = table["dataset"] if by == "net" else table["dataset"] + ", " + table["net"]
    return table.assign(row=rows.map(plain), line=table[by].map(plain if by == "net" else alpha_label))


def lines(
    table: pd.DataFrame,
    x: str,
    x_labels: str | Mapping[str, str],
    styles: Mapping[str, Mapping[str, Any]],
    ticks: Iterable[float] | None = None,
    log: bool = True,
) -> tuple[sns.FacetGrid, dict[str, "Line2D"]]:
    """Lines against x, a panel for each `row` and `panel` of a table from `long`; and what a legend has to say of them.

    x_labels: of all rows, or of each; styles: of each `line`, see `look`; they are named at their ends, or in the
    legend where they are many. Lines of the state `init`, where there is one, are dotted and have no band.
    """
    rows = dict.fromkeys(table["row"], x_labels) if isinstance(x_labels, str) else dict(x_labels)
    width, height = mpl.rcParams["figure.figsize"]
    shared, columns = "col" if isinstance(x_labels, str) else False, list(dict.fromkeys(table["panel"]))
    flat = len(columns) == 1 and shared == "col"  # rows then stand side by side
    table = table[table["value"].gt(0) & ((table[x] > 0) | (not log))]
    places = {"row": None, "col": "row", "col_order": list(rows)}
    if not flat:
        places = {"row": "row", "col": "panel", "row_order": list(rows), "col_order": columns}
    grid = sns.FacetGrid(
        table, sharex=shared, sharey=True if flat else shared, height=height, aspect=width / height, **places
    )
    grid.map_dataframe(draw_lines, x=x, styles=styles)
    grid.set_titles(row_template="", col_template="", template="")
    named = len(styles) <= LABELLED[0] and max(map(len, styles)) <= LABELLED[1]
    for (row, column), axes in np.ndenumerate(grid.axes):
        name, panel = (list(rows)[column], columns[0]) if flat else (list(rows)[row], columns[column])
        axes.set_ylabel(panel if not (flat and column) else "")
        if flat or shared is False or row == len(rows) - 1:
            axes.set_xlabel(rows[name])
        if len(rows) > 1 and (flat or not column):
            axes.set_title(name, loc="left")
        if not axes.get_lines():
            axes.text(0.5, 0.5, "no value above 0 to draw", transform=axes.transAxes, ha="center")
            continue
        log_axis(axes, "y")
        if log:
            log_axis(axes, "x", ticks)
        if panel.startswith("$R"):
            axes.axhline(1, color=PALE, linewidth=1, zorder=0)
        if named and (flat or column == len(columns) - 1):
            label_ends(axes, styles)
    legend: dict[str, Line2D] = {}
    if "state" in table and (table["state"] == "init").any():
        legend = legend_line("after training", marker="o") | legend_line("at initialisation", linestyle=DOTTED)
    if not named:
        for name in dict.fromkeys(table["line"]):
            legend |= legend_line(name, **styles[name])
    return grid, legend


def draw_lines(
    data: pd.DataFrame, x: str, styles: Mapping[str, Mapping[str, Any]], ax: "Axes | None" = None, **_: Any
) -> None:
    """The lines of one panel."""
    for name, style in styles.items():
        part = data[data["line"] == name]
        initial = part.get("state", pd.Series("", part.index)) == "init"
        if (~initial).any():
            sns.lineplot(part[~initial], x=x, y="value", estimator="median", errorbar=("pi", 100), label=name,
                         ax=ax, legend=False, err_kws={"alpha": 0.15, "linewidth": 0}, **style)  # fmt: skip
        if initial.any():
            sns.lineplot(part[initial], x=x, y="value", estimator="median", errorbar=None, ax=ax, legend=False,
                         label=f"{name}, at initialisation", color=style["color"], linestyle=DOTTED)  # fmt: skip


def note(numbers: xr.Dataset, first: str = "") -> str:
    """What lines and bands are, and what is not drawn."""
    seeds = numbers.attrs["seeds"]
    text = f"geometric mean over {seeds} seeds, band ± 1 standard deviation" if seeds > 1 else "one seed, no band"
    datasets = plain(numbers["dataset"].values[0]) if numbers.sizes["dataset"] == 1 else ""
    return "; ".join(filter(None, (datasets, first, text, two_rules(numbers), numbers.attrs["left_out"])))


def two_rules(numbers: xr.Dataset) -> str:
    """What a figure must say that compares nets with batch normalisation at initialisation and after training."""
    nets: Iterable[str] = numbers["architecture"].values.astype(str) if "architecture" in numbers.coords else []
    normed = any(ARCHITECTURES[net].batch_norm for net in nets if net in ARCHITECTURES)
    if not (normed and "state" in numbers.dims and numbers.attrs.get("batch_norm") == "auto"):
        return ""
    return "batch normalisation by each batch at initialisation, by running statistics after training"


def alpha_label(alpha: float) -> str:
    """The regime with its alpha, as it stands in legends."""
    return f"{regime(alpha)}, α = {alpha:g}"


def alphas(numbers: xr.Dataset) -> dict[str, dict[str, Any]]:
    """`look` of every alpha, by its label."""
    return {alpha_label(alpha): look(regime(alpha)) for alpha in numbers["alpha"].values}


def cells(numbers: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Every dataset with every net, and a title."""
    pairs = product(numbers["dataset"].values, numbers["net"].values)
    return [(plain(f"{dataset}, {net}"), numbers.sel(dataset=[dataset], net=[net])) for dataset, net in pairs]


def guide(axes: "Axes", sizes: np.ndarray, values: np.ndarray, beta: float, color: Any) -> None:
    """A dashed line of the theory's slope through the middle of some points: its height means nothing."""
    values = values.squeeze()
    present = np.isfinite(values) & (values > 0)
    if present.any():
        x = np.asarray(sizes, float)
        law = np.exp(np.mean(np.log(values[present]) - beta * np.log(x[present]))) * x**beta
        axes.plot(x, law, color=color, zorder=1, **GUIDE)
