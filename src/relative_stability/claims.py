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

from relative_stability.nets import ARCHITECTURES, CONVOLUTIONAL, FULLY_CONNECTED
from relative_stability.statistics import Estimate, exponent, geometric_mean, log_correlation, over_seeds
from relative_stability.sweep import at_reference

if TYPE_CHECKING:
    import xarray as xr

MIN_SIZES = 3  # fewer values of P fix no exponent
MIN_NETS = 5  # fewer nets show no correlation across architectures
RULES = f"""A claim **holds** where the whole interval agrees with it, **fails** where the whole interval contradicts
it, and is **undecided** otherwise, or where there are fewer than two seeds, {MIN_SIZES} values of P (exponents) or
{MIN_NETS} nets (correlations). Intervals are 95 %, from resampling seeds; averages over seeds are geometric, and a
value of zero, which has no logarithm, is not counted among the runs. Stability
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


class _Sheet:
    """Rows of one sweep."""

    def __init__(self, sweep: str) -> None:
        self.sweep = sweep
        self.rows: list[Row] = []

    def add(
        self,
        claim: str,
        subject: str,
        quantity: str,
        estimate: Estimate,
        expected: str,
        bounds: tuple[float, float] | None,
        obstacle: str = "",
    ) -> None:
        """A row; without bounds nothing is claimed, and the number stands there for itself."""
        verdict, why = ("no claim", "") if bounds is None else _verdict(estimate, *bounds, obstacle)
        row = Row(claim, self.sweep, subject, quantity, *estimate[:3], expected, estimate.runs, verdict, why)
        self.rows.append(row)


def check(sweep: "xr.Dataset") -> list[Row]:
    """Every claim that bears on this sweep. sweep: from `open_sweep`."""
    point, where = at_reference(sweep)
    sheet = _Sheet(str(sweep.attrs["sweep"]))
    linear = "compression" in sweep
    deformed = sweep.attrs["perturbation"] == "diffeomorphism"
    for dataset in point["dataset"].values:
        for net in point["net"].values:
            cell, subject = point.sel(dataset=dataset, net=net).transpose("P", "seed", ...), f"{dataset}, {net}"
            if deformed:
                _check_net(sheet, cell, subject, where)
            elif linear and str(cell["architecture"].values) == "one_hidden":
                _check_linear_model(sheet, cell, subject, where)
            _check_learning_curve(sheet, cell, subject)
        if deformed:
            _check_across_nets(sheet, point.sel(dataset=dataset), str(dataset), where)
    return sheet.rows


def _check_net(sheet: _Sheet, cell: "xr.Dataset", subject: str, where: str) -> None:
    # A seed starts from the same weights at every P: its runs are one at initialisation.
    start, end = _start_and_end(cell)
    if bool(cell["pretrained"]):
        sheet.add("R of the weights that training starts from", subject, f"R at init, {where}", start, "–", None)
    else:
        sheet.add("1. R is about 1 at initialisation", subject, f"R at init, {where}", start, "1 within ×2", (0.5, 2))
    trained = f"R after training at P = {int(cell['P'][-1])}, {where}"
    family = ARCHITECTURES[str(cell["architecture"].values)].family
    convolutional = family == CONVOLUTIONAL
    if convolutional:
        claim = "2. Training makes convolutional nets relatively stable"
        sheet.add(claim, subject, trained, end, "below 1", (0, 1))
    elif family == FULLY_CONNECTED:
        sheet.add("2. Fully connected nets do not follow", subject, trained, end, "1 or more", (1, math.inf))
    else:
        sheet.add(f"Stability of a {family}", subject, trained, end, "–", None)
    for quantity, expected, bounds in (
        ("R", "below 0", (-math.inf, 0.0)),
        ("D", "0, within 0.1", (-0.1, 0.1)),
        ("G", "above 0", (0.0, math.inf)),
    ):
        words, found = f"exponent of {quantity} in P, {where}", _exponent(cell, quantity)
        if convolutional:
            claim = "4. With P, R falls in convolutional nets, D hardly moves, G grows"
            sheet.add(claim, subject, words, found, expected, bounds, _few_sizes(cell))
        else:
            sheet.add(f"Trend of a {family} net", subject, words, found, "–", None)


def _check_linear_model(sheet: _Sheet, cell: "xr.Dataset", subject: str, where: str) -> None:
    claim, few = "7. Linear model", _few_sizes(cell)
    _, end = _start_and_end(cell)
    sheet.add(claim, subject, f"R after training at P = {int(cell['P'][-1])}, {where}", end, "below 1", (0, 1))
    falling = _exponent(cell, "R")
    sheet.add(claim, subject, f"exponent of R in P, {where}", falling, "below 0", (-math.inf, 0), few)
    growing = _exponent(cell, "compression")
    sheet.add(claim, subject, "exponent of the compression λ in P", growing, "1/2, within 0.1", (0.4, 0.6), few)


def _check_learning_curve(sheet: _Sheet, cell: "xr.Dataset", subject: str) -> None:
    found, words = _exponent(cell, "test_error"), "exponent of the test error in P"
    sheet.add("Learning curve", subject, words, found, "below 0", (-math.inf, 0), _few_sizes(cell))


def _check_across_nets(sheet: _Sheet, point: "xr.Dataset", dataset: str, where: str) -> None:
    nets = point.sizes["net"]
    few = "" if nets >= MIN_NETS else f"{nets} nets show no correlation across nets; {MIN_NETS} are needed"
    trained = point.sel(state="trained").transpose("net", "P", "seed", ...)
    for quantity, expected, bounds in (("R", "above 0.8", (0.8, 1.0)), ("D", "below 0.5", (-1.0, 0.5))):
        found = log_correlation(trained[quantity].values, trained["test_error"].values)
        claim = f"3. log error and log {quantity} across nets and P"
        sheet.add(claim, dataset, f"correlation, {where}", found, expected, bounds, few)


def _few_sizes(cell: "xr.Dataset") -> str:
    sizes = cell.sizes["P"]
    return "" if sizes >= MIN_SIZES else f"{sizes} values of P fix no exponent; {MIN_SIZES} are needed"


def _exponent(cell: "xr.Dataset", quantity: str) -> Estimate:
    return exponent(cell["P"].values.astype(float), cell[quantity].sel(state="trained").values)


def _start_and_end(cell: "xr.Dataset") -> tuple[Estimate, Estimate]:
    """R at initialisation and after training, at the largest P."""
    last = cell["R"].isel(P=-1)
    return _typical(last.sel(state="init").values), _typical(last.sel(state="trained").values)


def _typical(values: np.ndarray) -> Estimate:
    return over_seeds(lambda v: float(geometric_mean(v)), values, int((np.isfinite(values) & (values > 0)).sum()))


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
        lines += [
            f"## Sweep `{name}`",
            "",
            "| claim | on | quantity | value | 95 % interval | claimed | runs | verdict |",
        ]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for row in rows:
            if row.sweep == name:
                interval = f"{_number(row.low)} to {_number(row.high)}" if math.isfinite(row.low) else "–"
                verdict = f"{row.verdict}: {row.why}" if row.why else row.verdict
                cells = (
                    row.claim,
                    row.subject,
                    row.quantity,
                    _number(row.value),
                    interval,
                    row.expected,
                    str(row.runs),
                    verdict,
                )
                lines.append("| " + " | ".join(cells) + " |")
        lines += ["", _diverged(sweep), *_collapsed(sweep), ""]
    return "\n".join(lines)


def _diverged(sweep: "xr.Dataset") -> str:
    flags = sweep["diverged"]
    found = [f"{place} (epoch {epoch:g})" for place, epoch in _places(flags, sweep["diverged_epoch"])]
    total = flags.size
    if not found:
        return f"None of the {total} trained nets diverged."
    return f"**{len(found)} of the {total} trained nets diverged** and enter no number above: {'; '.join(found)}."


def _collapsed(sweep: "xr.Dataset") -> list[str]:
    flags = sweep["collapsed"]
    found = [place for place, _ in _places(flags, flags)]
    if not found:
        return []
    return [
        "",
        f"**{len(found)} of the {flags.size} trained nets collapsed** to an output that is the same for all "
        f"samples, and enter no number above: {'; '.join(found)}.",
    ]


def _places(flags: "xr.DataArray", epochs: "xr.DataArray") -> Iterable[tuple[str, float]]:
    """Where a flag of a run is set, in words, with the value of `epochs` there."""
    epochs = epochs.transpose(*flags.dims)
    for index in np.argwhere(flags.values.astype(bool)):
        place = {str(dim): flags[dim].values[i] for dim, i in zip(flags.dims, index, strict=True)}
        words = f"{place['dataset']}, {place['net']}, P = {place['P']}, seed {place['seed']}"
        yield words, float(epochs.values[tuple(index)])
