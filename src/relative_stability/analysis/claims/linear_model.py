"""The linear model's statements (Paccolat et al. 2020, arXiv 2007.11471), checked on a sweep of gradient flows."""

import math
from typing import TYPE_CHECKING

from relative_stability.analysis.claims.verdicts import Sheet, few_sizes, trained_exponent, typical
from relative_stability.analysis.statistics import exponent
from relative_stability.analysis.sweep import regime
from relative_stability.training.gradient_flow.linear_model import SMALL, error_exponent

if TYPE_CHECKING:
    import xarray as xr

WITHIN = 0.1  # of an exponent
FITTED_FROM = 512  # from this P on λ at t* goes as a power of P
LAZY_FROM = 2048  # and the exact tangent kernel's error and R do what is claimed of large P


def check_linear(sheet: Sheet, point: "xr.Dataset", where: str) -> None:
    """All claims on every dataset, net and alpha. point: a sweep at one magnitude; where: which, in words."""
    for dataset in point["dataset"].values:
        for net in point["net"].values:
            for alpha in point["alpha"].values:
                cell = point.sel(dataset=dataset, net=net, alpha=alpha).transpose("P", "seed", ...)
                _check(sheet, cell, f"{dataset}, {net}, alpha = {alpha:g} ({regime(float(alpha))})", where)


def _check(sheet: Sheet, cell: "xr.Dataset", subject: str, where: str) -> None:
    alpha, largest = float(cell["alpha"]), int(cell["P"][-1])
    learns = regime(alpha) == "feature"
    claim = "7. Linear model, " + ("features are learnt" if learns else "lazy")
    start = FITTED_FROM if learns else LAZY_FROM
    late, window = cell.sel(P=cell["P"] >= start), f", from P = {start} on"
    asymptotic = f"asymptotic, not reached: {few_sizes(late)} from {LAZY_FROM} on" if few_sizes(late) else ""

    if learns:
        words = f"exponent in P of the compression λ at t*{window}"
        obstacle = few_sizes(late)
        if alpha * largest > SMALL:
            obstacle = f"αP = {alpha * largest:.2g} at the largest P is not small, where λ saturates"
        sheet.add(claim, subject, words, trained_exponent(late, "compression", "fitted"), _near("1/2"),
                  (0.5 - WITHIN, 0.5 + WITHIN), obstacle)  # fmt: skip
    else:
        found = trained_exponent(cell, "compression")
        words = "exponent in P of the compression λ at the end"
        sheet.add(claim, subject, words, found, _near("0"), (-WITHIN, WITHIN), few_sizes(cell))
    if (cell["stop_time"] <= cell["fitted_time"]).all():  # left at t*, where the rest of what is claimed is not yet
        _compression(sheet, subject, "λ at t*", cell["compression"].sel(state="fitted"))
        _compression(sheet, subject, "λ as α → 0", cell["limit_compression"])
        return
    followed = cell["compression"].sel(state="trained").notnull()
    peak = cell["compression_curve"].max("time").where(followed).transpose("P", "seed")
    ends = {
        "λ at t*": cell["compression"].sel(state="fitted"),
        "λ at the end": cell["compression"].sel(state="trained"),
        "largest λ": peak,
        "λ of the median neuron at the end": cell["neuron_compression"].sel(state="trained"),
        "λ as α → 0": cell["limit_compression"],
    }
    for words, values in ends.items():
        if learns or words == "λ at the end":
            _compression(sheet, subject, words, values)

    words = "exponent in P of the test error"
    if str(cell["task"].values) == "stripe":
        beta = error_exponent("feature" if learns else "lazy", int(cell["dimension"]))
        formula = "(2d - 1)/(3d - 2)" if learns else "d/(3d - 2)"
        claimed, told, obstacle = (cell, "", few_sizes(cell)) if learns else (late, window, asymptotic)
        sheet.add(claim, subject, words + told, trained_exponent(claimed, "test_error"),
                  _near(f"-{formula} = {-beta:.3g}"), (-beta - WITHIN, -beta + WITHIN), obstacle)  # fmt: skip
    else:
        sheet.add(
            claim, subject, words, trained_exponent(cell, "test_error"), "below 0", (-math.inf, 0), few_sizes(cell)
        )
    if learns and not few_sizes(late):
        sheet.add("Learning curve", subject, words + window, trained_exponent(late, "test_error"), "–", None)
    if not learns:
        sheet.add("Learning curve", subject, words, trained_exponent(cell, "test_error"), "–", None)

    end = typical(cell["R"].sel(state="trained").isel(P=-1).values)
    words = f"R after training at P = {largest}, {where}"
    sheet.add("R of the uninformative directions", subject, words, end, "–", None)
    if learns:
        found, words = trained_exponent(cell, "R"), f"exponent in P of R, {where}"
        sheet.add(claim, subject, words, found, "below 0", (-math.inf, 0.0), few_sizes(cell))
    else:
        found, words = trained_exponent(late, "R"), f"exponent in P of R, {where}{window}"
        sheet.add(claim, subject, words, found, _near("0"), (-WITHIN, WITHIN), asymptotic)


def _compression(sheet: Sheet, subject: str, words: str, values: "xr.DataArray") -> None:
    """Two numbers of which nothing is claimed. values: λ, (P, seed)."""
    if values.notnull().any():
        found = exponent(values["P"].values.astype(float), values.values)
        sheet.add("Compression", subject, f"exponent in P of {words}", found, "–", None)
        largest = f"{words}, at P = {int(values['P'][-1])}"
        sheet.add("Compression", subject, largest, typical(values.isel(P=-1).values), "–", None)


def _near(expected: str) -> str:
    return f"{expected}, within {WITHIN}"
