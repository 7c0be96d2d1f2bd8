"""The theory's statements, checked on a sweep: a number, its interval, the runs behind it, and a verdict.

A verdict compares the 95 % interval over seeds with what the statement says. Where a sweep is too small to tell, the
verdict is `undecided`, and the row says why.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from relative_stability.analysis.claims.linear_model import check_linear
from relative_stability.analysis.claims.verdicts import Row, Sheet, few_sizes, trained_exponent, typical
from relative_stability.analysis.explaining import OF_LAST, datasets_and_sizes, explanations, rank_correlations
from relative_stability.analysis.statistics import (
    Estimate,
    geometric_mean,
    log_correlation,
    power_law,
    rank_correlation,
)
from relative_stability.analysis.sweep import AXES, at_reference
from relative_stability.nets import CONVOLUTIONAL, FULLY_CONNECTED, family

if TYPE_CHECKING:
    import xarray as xr

MIN_NETS = 5  # fewer nets show no correlation across architectures
# How a sweep was measured: R of two families is compared where all of it is the same.
MEASURED_BY = ("estimator", "noise_matching", "interpolation", "batch_norm", "trained_weights")
RESAMPLED = "means over seeds, resampling nets"


def check(sweep: "xr.Dataset") -> list[Row]:
    """Every claim that bears on this sweep. sweep: from `open_sweep`."""
    point, where = at_reference(sweep)
    where += ", resampling images" if sweep.attrs.get("given") else ""
    sheet = Sheet(str(sweep.attrs["sweep"]))
    if "alpha" in sweep.dims:
        check_linear(sheet, point, where)
        return sheet.rows
    linear = "compression" in sweep
    deformed = sweep.attrs["perturbation"] == "diffeomorphism"
    for dataset in point["dataset"].values:
        for net in point["net"].values:
            cell, subject = point.sel(dataset=dataset, net=net).transpose("P", "seed", ...), f"{dataset}, {net}"
            if deformed:
                _check_net(sheet, cell, subject, where)
                if "R_depth" in cell:
                    _check_depth(sheet, cell, subject, where)
            elif linear and str(cell["architecture"].values) == "one_hidden":
                _check_linear_model(sheet, cell, subject, where)
            if cell.sizes["P"] > 1:
                _check_learning_curve(sheet, cell, subject)
        if deformed:
            _check_across_nets(sheet, point.sel(dataset=dataset), str(dataset), where)
    return sheet.rows


def check_all(sweeps: Sequence["xr.Dataset"]) -> list[Row]:
    """Every claim on every sweep, and what takes two of them: how families of perturbations compare.

    Sweeps may share runs: a row that says what one before it has said is left out, and so is one that finds no number
    where another sweep does.
    """
    rows = [row for sweep in sweeps for row in check(sweep)]
    diffeomorphisms = [sweep for sweep in sweeps if sweep.attrs["perturbation"] == "diffeomorphism"]
    translations = [sweep for sweep in sweeps if sweep.attrs["perturbation"] == "translation"]
    for moved, deformed in product(translations, diffeomorphisms):
        rows += _compare_families(moved, deformed)
    rows += _explained(sweeps)
    known = {(row.claim, row.subject, row.quantity) for row in rows if math.isfinite(row.value)}
    kept, said = [], set()
    for row in rows:
        key = (row.claim, row.subject, row.quantity)
        same = (*key, str(row[4:]))  # as text, as one NaN is not equal to another
        if same not in said and (math.isfinite(row.value) or key not in known):
            kept.append(row)
        said.add(same)
    return kept


def _explained(sweeps: Sequence["xr.Dataset"]) -> list[Row]:
    """What goes with the test error over nets, an open question, where more than R was measured."""
    flat = [sweep for sweep in sweeps if "alpha" not in sweep.dims and "compression" not in sweep]
    if not any(name in sweep for sweep in flat for name in OF_LAST):
        return []
    found, sheet = explanations(flat), Sheet(str(flat[0].attrs["sweep"]))
    claim, (datasets, sizes) = "8. What goes with the test error", datasets_and_sizes(found)
    for dataset in datasets:
        for name, estimate in rank_correlations(found, dataset, sizes[-1]).items():
            words = f"rank correlation with {name}, nets at P = {sizes[-1]}, {RESAMPLED}"
            sheet.add(claim, dataset, words, estimate, "open", None, unclaimed="open")
    return sheet.rows


def _compare_families(moved: "xr.Dataset", deformed: "xr.Dataset") -> list[Row]:
    """Claim 6, an open question, net by net at the largest P that both sweeps have, of the same nets measured alike.

    Sweeps may have nets of one name that were trained in other ways: those are the same that have the same test errors.
    """
    sheet = Sheet(str(moved.attrs["sweep"]))
    both = {axis: [v for v in moved[axis].values if v in deformed[axis].values] for axis in AXES}
    shared = np.intersect1d(moved["displacement"].values, deformed["displacement"].values)
    alike = all(moved.attrs.get(key) == deformed.attrs.get(key) for key in MEASURED_BY)
    if not alike or not all(both.values()) or not len(shared):
        return []
    P, displacement = max(both["P"]), float(shared[np.argmin(np.abs(np.log(shared)))])
    cut = int(deformed["cut"].values.min())
    at = {"P": P, "displacement": displacement, "state": "trained", "seed": both["seed"]}
    ratio = moved["R"].sel(at) / deformed["R"].sel(cut=cut).sel(at)
    words = f"R to translations over R to diffeomorphisms of cut {cut}, both of {displacement:g} pixel, at P = {P}"
    errors = [sweep["test_error"].sel(P=P, state="trained", seed=both["seed"]) for sweep in (moved, deformed)]
    for dataset, net in product(both["dataset"], both["net"]):
        first, second = (error.sel(dataset=dataset, net=net).values for error in errors)
        if not np.array_equal(first, second, equal_nan=True):
            continue
        found = typical(ratio.sel(dataset=dataset, net=net).values)
        claim = "6. Translations against diffeomorphisms"
        sheet.add(claim, f"{dataset}, {net}", words, found, "open", None, unclaimed="open")
    return sheet.rows


def _check_net(sheet: Sheet, cell: "xr.Dataset", subject: str, where: str) -> None:
    # A seed starts from the same weights at every P: its runs are one at initialisation.
    start, end = _start_and_end(cell)
    if bool(cell["pretrained"]):
        sheet.add("R of the weights that training starts from", subject, f"R at init, {where}", start, "–", None)
    else:
        sheet.add("1. R is about 1 at initialisation", subject, f"R at init, {where}", start, "1 within ×2", (0.5, 2))
    trained = f"R after training at P = {int(cell['P'][-1])}, {where}"
    kind = family(str(cell["architecture"].values))
    convolutional = kind == CONVOLUTIONAL
    if convolutional:
        claim = "2. Training makes convolutional nets relatively stable"
        sheet.add(claim, subject, trained, end, "below 1", (0, 1))
    elif kind == FULLY_CONNECTED:
        sheet.add("2. Fully connected nets do not follow", subject, trained, end, "1 or more", (1, math.inf))
    else:
        sheet.add(f"Stability of a {kind}", subject, trained, end, "–", None)
    if cell.sizes["P"] == 1:  # not meant to tell a trend
        return
    for quantity, expected, bounds in (
        ("R", "below 0", (-math.inf, 0.0)),
        ("D", "0, within 0.1", (-0.1, 0.1)),
        ("G", "above 0", (0.0, math.inf)),
    ):
        words, found = f"exponent of {quantity} in P, {where}", trained_exponent(cell, quantity)
        if convolutional:
            claim = "4. With P, R falls in convolutional nets, D hardly moves, G grows"
            sheet.add(claim, subject, words, found, expected, bounds, few_sizes(cell))
        else:
            sheet.add(f"Trend of a {kind} net", subject, words, found, "–", None)


def _check_linear_model(sheet: Sheet, cell: "xr.Dataset", subject: str, where: str) -> None:
    claim, few = "7. Linear model", few_sizes(cell)
    _, end = _start_and_end(cell)
    sheet.add(claim, subject, f"R after training at P = {int(cell['P'][-1])}, {where}", end, "below 1", (0, 1))
    if cell.sizes["P"] == 1:
        return
    falling = trained_exponent(cell, "R")
    sheet.add(claim, subject, f"exponent of R in P, {where}", falling, "below 0", (-math.inf, 0), few)
    growing = trained_exponent(cell, "compression")
    sheet.add(claim, subject, "exponent of the compression λ in P", growing, "1/2, within 0.1", (0.4, 0.6), few)


def _check_learning_curve(sheet: Sheet, cell: "xr.Dataset", subject: str) -> None:
    found, words = trained_exponent(cell, "test_error"), "exponent of the test error in P"
    sheet.add("Learning curve", subject, words, found, "below 0", (-math.inf, 0), few_sizes(cell))


def _check_across_nets(sheet: Sheet, point: "xr.Dataset", dataset: str, where: str) -> None:
    """Claim 3. What other nets would have given is what matters: its intervals are from resampling nets."""
    nets, sizes = point.sizes["net"], point["P"].values
    few = "" if nets >= MIN_NETS else f"{nets} nets show no correlation across nets; {MIN_NETS} are needed"
    over = "nets and P" if len(sizes) > 1 else f"nets at P = {int(sizes[0])}"
    trained = point.sel(state="trained").transpose("net", "P", "seed", ...)
    error = trained["test_error"].values
    for quantity, expected, bounds in (("R", "above 0.8", (0.8, 1.0)), ("D", "0 within 0.5", (-0.5, 0.5))):
        means = [geometric_mean(values, axis=-1).T for values in (trained[quantity].values, error)]
        claim, words = f"3. log error and log {quantity} across {over}", f"correlation, {where}, {RESAMPLED}"
        sheet.add(claim, dataset, words, log_correlation(*means), expected, bounds, few)
        ranked = rank_correlation(trained[quantity].values, error)
        sheet.add(f"Error across {over}", dataset, f"rank correlation with {quantity}, {where}", ranked, "–", None)
    slope, prefactor = power_law(trained["R"].values, error)
    paper = "– (1/2 on CIFAR-10)", "– (0.2 on CIFAR-10)"
    sheet.add(f"Error across {over}", dataset, f"exponent of the error in R, {where}", slope, paper[0], None)
    sheet.add(f"Error across {over}", dataset, f"error at R = 1, {where}", prefactor, paper[1], None)


def _check_depth(sheet: Sheet, cell: "xr.Dataset", subject: str, where: str) -> None:
    """Claim 5, at the largest P: R of the last layer over that of the first."""
    layers = cell["R_depth"].isel(P=-1).transpose("seed", "state", "layer").sel(state=["init", "trained"])
    there = np.flatnonzero(layers.notnull().any(("seed", "state")).values)
    if len(there) < 2:
        return
    ratio = (layers.isel(layer=there[-1]) / layers.isel(layer=there[0])).values
    claim, words = "5. In depth, R falls after training, not before", "R of the last layer over that of the first"
    convolutional = family(str(cell["architecture"].values)) == CONVOLUTIONAL
    for column, state, expected, bounds in (
        (0, "at init", "1 within ×2", (0.5, 2.0)),
        (1, "after training", "below 1", (0.0, 1.0)),
    ):
        quantity, found = f"{words}, {state}, at P = {int(cell['P'][-1])}, {where}", typical(ratio[:, column])
        if convolutional and not (column == 0 and bool(cell["pretrained"])):
            sheet.add(claim, subject, quantity, found, expected, bounds)
        else:
            sheet.add("R in depth", subject, quantity, found, "–", None)


def _start_and_end(cell: "xr.Dataset") -> tuple[Estimate, Estimate]:
    """R at initialisation and after training, at the largest P. A net that was given has no seeds: its interval is over
    images.
    """
    last = cell.isel(P=-1)
    start, end = (last.sel(state=state) for state in ("init", "trained"))
    if cell.attrs.get("given"):
        return _of_images(start), _of_images(end)
    return typical(start["R"].values), typical(end["R"].values)


def _of_images(net: "xr.Dataset") -> Estimate:
    value, (low, high) = net["R"].item(), net["R_interval"].squeeze("seed").values
    return Estimate(value, low, high, int(math.isfinite(value)))
