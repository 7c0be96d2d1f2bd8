"""The linear model's statements (Paccolat et al. 2020, arXiv 2007.11471), checked on a sweep of gradient flows."""

import math
from typing import TYPE_CHECKING

from relative_stability.analysis.claims.verdicts import Sheet, few_sizes, trained_exponent, typical
from relative_stability.analysis.statistics import exponent
from relative_stability.analysis.sweep import regime
from relative_stability.training.gradient_flow.linear_model import error_exponent

if TYPE_CHECKING:
    import xarray as xr

WITHIN = 0.1  # of an exponent


def check_linear(sheet: Sheet, point: "xr.Dataset", where: str) -> None:
    """All claims on every dataset, net and alpha. point: a sweep at one magnitude; where: which, in words."""
    for dataset in point["dataset"].values:
        for net in point["net"].values:
            for alpha in point["alpha"].values:
                cell = point.sel(dataset=dataset, net=net, alpha=alpha).transpose("P", "seed", ...)
                _check(sheet, cell, f"{dataset}, {net}, alpha = {alpha:g} ({regime(float(alpha))})", where)


def _check(sheet: Sheet, cell: "xr.Dataset", subject: str, where: str) -> None:
    learns, few = regime(float(cell["alpha"])) == "feature", few_sizes(cell)
    claim = "7. Linear model, " + ("features are learnt" if learns else "lazy")
    largest = int(cell["P"][-1])

    found = trained_exponent(cell, "compression")
    expected, low = ("1/2", 0.5) if learns else ("0", 0.0)
    bounds = (low - WITHIN, low + WITHIN)
    sheet.add(claim, subject, "exponent of the compression λ in P", found, f"{expected}, within {WITHIN}", bounds, few)
    followed = cell["compression"].sel(state="trained").notnull()
    peak = cell["compression_curve"].max("time").where(followed).transpose("P", "seed")
    highest = exponent(cell["P"].values.astype(float), peak.values)
    sheet.add("Largest λ of the flow", subject, "exponent of the largest λ in P", highest, "–", None)
    neuron = trained_exponent(cell, "neuron_compression")
    sheet.add("Compression of the median neuron", subject, "its exponent in P, at the end", neuron, "–", None)
    for words, values in (("λ at the end", cell["compression"].sel(state="trained")), ("largest λ", peak)):
        sheet.add("Compression", subject, f"{words}, at P = {largest}", typical(values.isel(P=-1).values), "–", None)

    found = trained_exponent(cell, "test_error")
    words = "exponent of the test error in P"
    if str(cell["task"].values) == "stripe":
        d = int(cell["dimension"])
        beta, formula = (
            error_exponent("feature" if learns else "lazy", d),
            "(2d - 1)/(3d - 2)" if learns else "d/(3d - 2)",
        )
        bounds = (-beta - WITHIN, -beta + WITHIN)
        sheet.add(claim, subject, words, found, f"-{formula} = {-beta:.3g}, within {WITHIN}", bounds, few)
    else:
        sheet.add(claim, subject, words, found, "below 0", (-math.inf, 0), few)
    half = cell.isel(P=slice(cell.sizes["P"] // 2, None))
    if not few_sizes(half):
        sheet.add(
            "Learning curve",
            subject,
            f"{words}, from P = {int(half['P'][0])} on",
            trained_exponent(half, "test_error"),
            "–",
            None,
        )

    end = typical(cell["R"].sel(state="trained").isel(P=-1).values)
    sheet.add(
        "R of the uninformative directions", subject, f"R after training at P = {largest}, {where}", end, "–", None
    )
    found, words = trained_exponent(cell, "R"), f"exponent of R in P, {where}"
    expected, bounds = ("below 0", (-math.inf, 0.0)) if learns else (f"0, within {WITHIN}", (-WITHIN, WITHIN))
    sheet.add(claim, subject, words, found, expected, bounds, few)
