"""A number, its interval, and whether they agree with what is claimed: the rows of the table of claims."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from relative_stability.analysis.statistics import Estimate, exponent, geometric_mean, over_seeds

if TYPE_CHECKING:
    import xarray as xr

# What a row may say of a claim, with a sign for it; "open": a question that theory leaves open.
SIGNS = {"holds": "✓", "fails": "✗", "undecided": "?", "open": "○"}
MIN_SIZES = 3  # fewer values of P fix no exponent


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


class Sheet:
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
        unclaimed: str = "no claim",
    ) -> None:
        """A row; without bounds nothing is claimed, and the number stands there for itself."""
        verdict, why = (unclaimed, "") if bounds is None else _verdict(estimate, *bounds, obstacle)
        row = Row(claim, self.sweep, subject, quantity, *estimate[:3], expected, estimate.runs, verdict, why)
        self.rows.append(row)


def few_sizes(cell: "xr.Dataset") -> str:
    """Why a sweep of so few sizes fixes no exponent; "" where it may."""
    sizes = cell.sizes["P"]
    values = "1 value of P fixes" if sizes == 1 else f"{sizes} values of P fix"
    return "" if sizes >= MIN_SIZES else f"{values} no exponent; {MIN_SIZES} are needed"


def trained_exponent(cell: "xr.Dataset", quantity: str, state: str = "trained") -> Estimate:
    """Of a quantity after training (or in another state), in P."""
    return exponent(cell["P"].values.astype(float), cell[quantity].sel(state=state).values)


def typical(values: np.ndarray) -> Estimate:
    """Geometric mean over seeds."""
    return over_seeds(lambda v: float(geometric_mean(v)), values, int((np.isfinite(values) & (values > 0)).sum()))
