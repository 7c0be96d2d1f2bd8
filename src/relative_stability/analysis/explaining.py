"""What goes with the test error over nets, and over nets and P: R, and what was proposed before it."""

from collections.abc import Mapping, Sequence

import xarray as xr

from relative_stability.analysis.statistics import Estimate, geometric_mean, rank_correlation
from relative_stability.analysis.sweep import AXES, at_reference

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


def explanations(sweeps: Sequence[xr.Dataset]) -> dict[str, xr.Dataset]:
    """By name, what was measured after training of the nets of some sweeps, as `value`, and their `error`, both
    (dataset, net, P, seed).

    The first sweep that has something says it. Its errors stand beside it, as nets of one name may have been trained in
    other ways in other sweeps.
    """
    found: dict[str, xr.Dataset] = {}
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
        for name, values in named.items():
            pair = {"value": values.reset_coords(drop=True), "error": trained["test_error"].reset_coords(drop=True)}
            found.setdefault(name, xr.Dataset(pair).transpose(*AXES, ...))
    return {**{name: found[name] for name in ORDER if name in found}, **found}


def _of_last_layer(values: xr.DataArray) -> xr.DataArray:
    """Of each net its own last layer."""
    last = values["layer"].where(values.notnull()).max("layer").fillna(0).astype(int)
    return values.isel(layer=last).drop_vars("layer")


def rank_correlations(found: Mapping[str, xr.Dataset], dataset: str, P: int | None = None) -> dict[str, Estimate]:
    """Spearman's correlation of each with the test error on a dataset, over its nets at one P, or over nets and all P.

    Its interval says what other nets would have given: they are resampled, each with all of its P.
    """
    correlations = {}
    for name, nets in found.items():
        if dataset in nets["dataset"] and (P is None or P in nets["P"]):
            there = nets.sel(dataset=dataset, P=nets["P"] if P is None else [P]).transpose("P", "net", "seed")
            means = (geometric_mean(there[which].values.astype(float), axis=-1) for which in ("value", "error"))
            correlations[name] = rank_correlation(*means)
    return correlations


def datasets_and_sizes(found: Mapping[str, xr.Dataset]) -> tuple[list[str], list[int]]:
    """Of all that was measured, in the order in which they come; sizes ascend."""
    names = dict.fromkeys(str(name) for nets in found.values() for name in nets["dataset"].values)
    return list(names), sorted({int(P) for nets in found.values() for P in nets["P"].values})
