"""What goes with the test error over nets, and over nets and P: R, and what was proposed before it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from relative_stability.analysis.statistics import Estimate, geometric_mean, rank_correlation
from relative_stability.analysis.sweep import AXES, at_reference

if TYPE_CHECKING:
    import xarray as xr

# What may explain an error, by what it is called.
R, R_MOVED = "R to diffeomorphisms", "R to translations"
OF_OUTPUT = {"D": "D, to diffeomorphisms", "G": "G, to noise"}
OF_LAST = {
    "intrinsic_dimension": "intrinsic dimension of the output",
    "alignment": "alignment of the output with the labels",
    "information_X": "information of the last layer on the input",
    "information_Y": "information of the last layer on the label",
}
KERNEL = "alignment of the tangent kernel"
ORDER = (R, R_MOVED)  # what comes first


def explanations(sweeps: Sequence["xr.Dataset"]) -> "dict[str, xr.DataArray]":
    """By name, what was measured after training of the nets of some sweeps: (dataset, net, P, seed).

    The first sweep that has something says it; the test error is that of the first sweep of diffeomorphisms.
    """
    found: dict[str, xr.DataArray] = {}
    for sweep in sweeps:
        family, point = sweep.attrs.get("perturbation"), at_reference(sweep)[0]
        trained = point.sel(state="trained", drop=True)
        if family == "diffeomorphism":
            named = {R: trained["R"], **{word: trained[name] for name, word in OF_OUTPUT.items()}}
        else:
            named = {R_MOVED: trained["R"]} if family == "translation" else {}
        for name, word in OF_LAST.items():
            if name in trained:
                named[word] = _of_last_layer(trained[name])
        if "kernel_alignment" in point:
            named[f"{KERNEL}, after training"] = trained["kernel_alignment"]
            named[f"{KERNEL}, at initialisation"] = point["kernel_alignment"].sel(state="init", drop=True)
        named["test error"] = trained["test_error"]
        for name, values in named.items():
            found.setdefault(name, values.reset_coords(drop=True).transpose(*AXES, ...))
    return {**{name: found[name] for name in ORDER if name in found}, **found}


def _of_last_layer(values: "xr.DataArray") -> "xr.DataArray":
    """Of each net its own last layer."""
    last = values["layer"].where(values.notnull()).max("layer").fillna(0).astype(int)
    return values.isel(layer=last).drop_vars("layer")


def rank_correlations(found: "Mapping[str, xr.DataArray]", dataset: str, P: int | None = None) -> dict[str, Estimate]:
    """Spearman's correlation of each with the test error on a dataset, over its nets at one P, or over nets and all P.

    Its interval says what other nets would have given: they are resampled, each with all of its P.
    """
    correlations = {}
    for name, values in found.items():
        if name == "test error" or dataset not in values["dataset"]:
            continue
        error = found["test error"]
        both = {axis: [v for v in error[axis].values if v in values[axis].values] for axis in ("net", "P", "seed")}
        both["P"] = both["P"] if P is None else [P] if P in both["P"] else []
        if all(both.values()):
            place = {"dataset": dataset, **both}
            pair = (item.sel(place).transpose("P", "net", "seed").values for item in (values, error))
            correlations[name] = rank_correlation(*(geometric_mean(np.asarray(item, float), axis=-1) for item in pair))
    return correlations
