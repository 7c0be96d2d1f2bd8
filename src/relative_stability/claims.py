"""The theory's statements, checked on a sweep: a number, its interval, the runs behind it, and a verdict.

A verdict compares the 95 % interval over seeds with what the statement says. Where a sweep is too small to tell, the
verdict is `undecided`, and the row says why.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from relative_stability.nets import ARCHITECTURES
from relative_stability.statistics import Estimate, exponent, geometric_mean, log_correlation, over_seeds
from relative_stability.sweep import at_reference

if TYPE_CHECKING:
    import xarray as xr

MIN_SIZES = 3  # fewer values of P fix no exponent
MIN_NETS = 5  # fewer nets show no correlation across architectures
RULES = f"""A claim **holds** where the whole interval agrees with it, **fails** where the whole interval contradicts
it, and is **undecided** otherwise, or where there are fewer than two seeds, {MIN_SIZES} values of P (exponents) or
{MIN_NETS} nets (correlations). Intervals are 95 %, from resampling seeds; averages over seeds are geometric. Stability
is read at the cut and displacement (or magnitude) named in each row."""


class Row(NamedTuple):
    """One claim on one subject."""

    claim: str
    sweep: str
    subject: str
    quantity: str
    value: float
    low: float
    high: float
    expected: str
    runs: int
    verdict: str
    why: str


def _verdict(estimate: Estimate, low: float, high: float, obstacle: str) -> tuple[str, str]:
    """The verdict on "the number lies between low and high", and the reason where there is none."""
    if obstacle:
        return "undecided", obstacle
    if not math.isfinite(estimate.value):
        return "undecided", "no run gives the number"
    if not math.isfinite(estimate.low):
        return "undecided", "one seed has no spread"
    if low <= estimate.low and estimate.high <= high:
        return "holds", ""
    if estimate.high < low or high < estimate.low:
        return "fails", ""
    return "undecided", "the interval reaches beyond what is claimed"


def check(sweep: "xr.Dataset") -> list[Row]:
    """Every claim that bears on this sweep. sweep: from `open_sweep`."""
    point, where = at_reference(sweep)
    name = str(sweep.attrs["sweep"])
    rows = []

    def add(claim: str, subject: str, quantity: str, estimate: Estimate, expected: str, bounds: tuple[float, float], obstacle: str = "") -> None:
        verdict, why = _verdict(estimate, *bounds, obstacle)
        rows.append(Row(claim, name, subject, quantity, *estimate[:3], expected, estimate.runs, verdict, why))

    sizes = point["P"].values.astype(float)
    few_sizes = "" if len(sizes) >= MIN_SIZES else f"{len(sizes)} values of P fix no exponent; {MIN_SIZES} are needed"
    linear = "compression" in sweep
    for dataset in point["dataset"].values:
        for net in point["net"].values:
            cell = point.sel(dataset=dataset, net=net)
            subject = f"{dataset}, {net}"
            # A seed starts from the same weights at every P: its runs are one at initialisation.
            start = _typical(cell["R"].sel(state="init").isel(P=-1).values)
            if not linear:
                add("1. R is about 1 at initialisation", subject, f"R at init, {where}", start, "1, within a factor of 2", (0.5, 2))
            end = _typical(cell["R"].sel(state="trained").isel(P=-1).values)
            quantity = f"R after training at P = {sizes[-1]:g}, {where}"
            if linear:
                add("7. Linear model", subject, quantity, end, "below 1", (0, 1))
            elif ARCHITECTURES[str(cell["architecture"].values)].convolutional:
                add("2. Training makes convolutional nets relatively stable", subject, quantity, end, "below 1", (0, 1))
            else:
                add("2. Fully connected nets do not follow", subject, quantity, end, "1 or more", (1, math.inf))
            for quantity, expected, bounds in _TRENDS:
                values = cell[quantity].sel(state="trained")
                claim = "7. Linear model" if linear else "4. With P, R falls, D hardly moves, G grows"
                estimate = exponent(sizes, values.transpose("P", "seed").values)
                if not (linear and quantity in ("D", "G")):
                    add(claim, subject, f"exponent of {quantity} in P, {where}", estimate, expected, bounds, few_sizes)
            estimate = exponent(sizes, cell["test_error"].sel(state="trained").transpose("P", "seed").values)
            add("Learning curve", subject, "exponent of the test error in P", estimate, "below 0", (-math.inf, 0), few_sizes)
            if linear:
                estimate = exponent(sizes, cell["compression"].sel(state="trained").transpose("P", "seed").values)
                add("7. Linear model", subject, "exponent of the compression λ in P", estimate, "1/2, within 0.1", (0.4, 0.6), few_sizes)
        if not linear:
            few_nets = "" if point.sizes["net"] >= MIN_NETS else f"{point.sizes['net']} nets show no correlation across nets; {MIN_NETS} are needed"
            error = point["test_error"].sel(dataset=dataset, state="trained").transpose("net", "P", "seed").values
            for quantity, expected, bounds in (("R", "above 0.8", (0.8, 1.0)), ("D", "below 0.5: D alone does not explain the error", (-1.0, 0.5))):
                values = point[quantity].sel(dataset=dataset, state="trained").transpose("net", "P", "seed").values
                add(
                    f"3. log error and log {quantity} across nets and P", str(dataset),
                    f"correlation, {where}", log_correlation(values, error), expected, bounds, few_nets,
                )
    return rows


_TRENDS = (
    ("R", "below 0", (-math.inf, 0.0)),
    ("D", "0, within 0.1", (-0.1, 0.1)),
    ("G", "above 0", (0.0, math.inf)),
)


def _typical(values: np.ndarray) -> Estimate:
    return over_seeds(lambda v: float(geometric_mean(v)), values, int(np.isfinite(values).sum()))


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return text.getvalue()


def _number(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:.3g}"


def to_markdown(rows: Sequence[Row], sweeps: Iterable["xr.Dataset"]) -> str:
    """The rows as a page, one table a sweep, with the rule of the verdicts and the runs that diverged."""
    lines = ["# Claims", "", RULES, ""]
    for sweep in sweeps:
        name = str(sweep.attrs["sweep"])
        lines += [f"## Sweep `{name}`", "", "| claim | on | quantity | value | 95 % interval | claimed | runs | verdict |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for row in rows:
            if row.sweep == name:
                interval = f"{_number(row.low)} to {_number(row.high)}" if math.isfinite(row.low) else "–"
                verdict = f"{row.verdict}: {row.why}" if row.why else row.verdict
                cells = (row.claim, row.subject, row.quantity, _number(row.value), interval, row.expected, str(row.runs), verdict)
                lines.append("| " + " | ".join(cells) + " |")
        lines += ["", _diverged(sweep), ""]
    return "\n".join(lines)


def _diverged(sweep: "xr.Dataset") -> str:
    flags = sweep["diverged"]
    found = [
        f"{place['dataset']}, {place['net']}, P = {place['P']}, seed {place['seed']} (epoch {epoch:g})"
        for place, epoch in _places(flags, sweep["diverged_epoch"])
    ]
    total = flags.size
    if not found:
        return f"None of the {total} trained nets diverged."
    return f"**{len(found)} of the {total} trained nets diverged** and enter no number above: {'; '.join(found)}."


def _places(flags: "xr.DataArray", epochs: "xr.DataArray") -> Iterable[tuple[dict[str, object], float]]:
    epochs = epochs.transpose(*flags.dims)
    for index in np.argwhere(flags.values.astype(bool)):
        place = {str(dim): flags[dim].values[i] for dim, i in zip(flags.dims, index, strict=True)}
        yield place, float(epochs.values[tuple(index)])
