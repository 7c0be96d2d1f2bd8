"""A net and images in, D, G and R out, labelled."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
import xarray as xr
from scipy.stats import binomtest
from torch import Tensor

from relative_stability.core.errors import InputError, nearest
from relative_stability.core.store import labelled
from relative_stability.perturbations import DISPLACING, GEOMETRIC, build_perturbation
from relative_stability.perturbations.base import Perturbation
from relative_stability.perturbations.diffeomorphism import Diffeomorphism
from relative_stability.stability.activations import OUTPUT, WHOLE, Net, hooked, pick_layers
from relative_stability.stability.estimators import ESTIMATORS
from relative_stability.stability.evaluation_mode import BatchNorm, evaluation_mode, statistics_rule
from relative_stability.stability.forward_passes import Measured, Plan, Setting, measure_passes

NoiseMatching = Literal["auto", "mean", "image"]
NOISE_MATCHINGS: tuple[str, ...] = get_args(NoiseMatching)
# The definition gives every image noise of one norm; the public code of Petrini et al. 2021 each image its own.
OWN_MATCHING = {"mean": "mean", "median": "image"}
REFUSALS = (RuntimeError, ValueError, AssertionError)  # of nets, to images of a shape that they do not take


def _numbers(name: str, value: Any) -> tuple[Any, ...]:
    """A number, or several of any kind of sequence, as plain numbers."""
    array = np.atleast_1d(np.asarray(value))
    if not array.size or array.dtype.kind not in "iuf":
        raise InputError(f"{name} = {value!r} is refused: a number, or a list of at least one, is needed")
    return tuple(array.tolist())


def build_families(
    perturbation: str,
    cut: int | Sequence[int] = 3,
    directions: Sequence[int] = (),
    interpolation: str = "bilinear",
    modes: str = "disc",
) -> list[Perturbation]:
    """The families that a setting names: one diffeomorphism for each cut, or one of another kind."""
    options: dict[str, Any] = {"interpolation": interpolation} if perturbation in GEOMETRIC else {}
    if perturbation == "diffeomorphism":
        return [build_perturbation(perturbation, cut=c, modes=modes, **options) for c in _numbers("cut", cut)]
    if perturbation == "subspace":
        options["directions"] = directions
    return [build_perturbation(perturbation, **options)]


def stability_dataset(
    net: Net,
    images: Tensor,
    families: Sequence[Perturbation],
    magnitudes: Sequence[float],
    *,
    estimator: str | Sequence[str] = "mean",
    noise_matching: NoiseMatching = "auto",
    layers: str | Sequence[str] | None = None,
    batch_norm: BatchNorm = "auto",
    mixed_precision: bool = False,
    labels: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
    **plan: Any,
) -> xr.Dataset:
    """Measure, and label what comes out with dimensions, units and coordinates.

    families: one for each cut, or a single one of another kind; plan: draws, seed, batch_size, bootstrap, probes.
    Dimensions are, where there are several of a kind, estimator and layer, then cut and displacement for
    diffeomorphisms, else the magnitude's own name. The other arguments are those of `measure`.
    """
    rules = _estimators(estimator, noise_matching)
    settings = [Setting(family, magnitude) for family in families for magnitude in magnitudes]
    rule = statistics_rule(net, batch_norm)
    with evaluation_mode(net, rule, images.device, mixed_precision) as mode, torch.no_grad():
        with mode.clean(), mode.forward():
            picked = pick_layers(net, WHOLE if layers is None else layers, images)
        with hooked(net, [name.partition(":")[0] for name in picked]) as activations:
            measured = measure_passes(activations, picked, images, Plan(settings, rules, progress, **plan), mode)
    dataset = _dataset(
        measured, families, magnitudes, None if layers is None else [name or OUTPUT for name in picked], estimator
    )
    if labels is not None:
        dataset = dataset.assign(_test_error(measured, labels))
    if measured.ends_in:
        dataset.attrs["ends_in"] = measured.ends_in
    moved = _pixels_moved(families, magnitudes, images.shape[-1])
    return dataset if moved is None else dataset.assign_coords(rms_displacement=moved)


def _test_error(measured: Measured, labels: Tensor) -> dict[str, xr.Variable]:
    """Share of the images that the net puts into another class, with its 95 % interval (Wilson)."""
    wanted, predicted = torch.as_tensor(labels).cpu().flatten(), measured.predicted
    if not measured.scores:
        raise InputError("labels are given, and the net gives no row of scores for each image; leave labels out")
    if len(wanted) != len(predicted):
        raise InputError(f"there are {len(wanted)} labels for {len(predicted)} images; one for each is needed")
    if wanted.min() < 0 or wanted.max() >= measured.scores:
        raise InputError(
            f"labels run from {int(wanted.min())} to {int(wanted.max())}, and the net gives {measured.scores} scores; "
            "number the classes in the order of the net"
        )
    wrong = int((predicted != wanted).sum())
    interval = binomtest(wrong, len(wanted)).proportion_ci(method="wilson")
    words = "test error, on the images measured"
    return {
        "test_error": labelled((), wrong / len(wanted), words, "1"),
        "test_error_interval": labelled(("bound",), np.array(interval), f"95 % interval of the {words}", "1"),
    }


def _estimators(estimator: str | Sequence[str], noise_matching: str) -> dict[str, str]:
    """The estimators asked for, each with the matching rule of its noise."""
    names = ESTIMATORS if estimator == "both" else (estimator,) if isinstance(estimator, str) else tuple(estimator)
    if not names:
        raise InputError("estimator is empty; use mean, median or both")
    for name in names:
        if name not in ESTIMATORS:
            raise InputError(f"estimator {name!r} is unknown; {nearest(str(name), (*ESTIMATORS, 'both'))}")
    if noise_matching not in NOISE_MATCHINGS:
        raise InputError(f"noise_matching {noise_matching!r} is unknown; {nearest(noise_matching, NOISE_MATCHINGS)}")
    return {name: OWN_MATCHING[name] if noise_matching == "auto" else noise_matching for name in names}


def _dataset(
    measured: Measured,
    families: Sequence[Perturbation],
    magnitudes: Sequence[float],
    layers: Sequence[str] | None,
    estimator: str | Sequence[str],
) -> xr.Dataset:
    family, axis = families[0], families[0].magnitude_name
    cuts = [f.cut for f in families if isinstance(f, Diffeomorphism)]
    names = list(measured.stability)
    inner = {"cut": len(cuts), axis: len(magnitudes)} if cuts else {axis: len(magnitudes)}
    outer = {
        **({} if estimator in ESTIMATORS else {"estimator": len(names)}),
        **({} if layers is None else {"layer": len(layers)}),
    }

    def values_of(part: str) -> np.ndarray:
        stacked = torch.stack([torch.stack([getattr(s, part) for s in measured.stability[name]]) for name in names])
        if part.endswith("_interval"):
            stacked = stacked.movedim(2, 0)  # the ends of the interval go first
        ends = (2,) if part.endswith("_interval") else ()
        return stacked.reshape(*ends, *outer.values(), *inner.values()).numpy()

    dims, all_dims = tuple(inner), (*outer, *inner)
    variables = {
        "bound": labelled(("bound",), np.array(["lower", "upper"]), "end of the interval", ""),
        axis: labelled((axis,), np.array(magnitudes, float), f"{axis} of the {family.name}", family.units),
        "noise_norm": labelled(
            dims,
            measured.norms.reshape(*inner.values()).numpy(),
            "mean norm of the perturbation, and of the noise",
            "input units",
        ),
    }
    if "estimator" in outer:
        variables["estimator"] = labelled(("estimator",), np.array(names), "estimator of averages over images", "")
    if layers is not None:
        variables["layer"] = labelled(("layer",), np.array(layers), "layer", "")
        depth = labelled(("layer",), np.arange(len(layers)), "position in the order of execution")
    words = {
        "D": f"stability to {family.name}",
        "G": "stability to isotropic noise of the same norm",
        "R": f"relative stability to {family.name}, D/G",
    }
    for name, long_name in words.items():
        variables[name] = labelled(all_dims, values_of(name), long_name, "1")
        variables[f"{name}_interval"] = labelled(
            ("bound", *all_dims),
            values_of(f"{name}_interval"),
            f"95 % interval of {name} over test images, of this net alone",
            "1",
        )
    if cuts:
        variables["cut"] = labelled(("cut",), np.array(cuts), "highest frequency of the displacement field", "1")
    dataset = xr.Dataset(variables)
    return dataset if layers is None else dataset.assign_coords(depth=depth)


def _pixels_moved(families: Sequence[Perturbation], magnitudes: Sequence[float], n: int) -> xr.Variable | None:
    """Root mean square displacement at every setting, in pixels; None for families that move no pixels. n: side."""
    moved = [[family.rms_displacement(magnitude, n) for magnitude in magnitudes] for family in families]
    if moved[0][0] is None:
        return None
    cuts = isinstance(families[0], Diffeomorphism)
    dims = ("cut", families[0].magnitude_name) if cuts else (families[0].magnitude_name,)
    values = np.array(moved, float) if cuts else np.array(moved[0], float)
    return labelled(dims, values, "root mean square displacement", "pixel")


def measure(
    net: Net,
    images: Tensor,
    perturbation: str | Perturbation = "diffeomorphism",
    cut: int | Sequence[int] = 3,
    displacement: float | Sequence[float] = (0.5, 1, 2),
    estimator: str | Sequence[str] = "mean",
    layers: str | Sequence[str] | None = None,
    seed: int = 0,
    *,
    magnitude: float | Sequence[float] | None = None,
    directions: Sequence[int] = (),
    interpolation: str = "bilinear",
    modes: str = "disc",
    noise_matching: NoiseMatching = "auto",
    batch_norm: BatchNorm = "auto",
    mixed_precision: bool = False,
    labels: Tensor | None = None,
    draws: int = 1,
    batch_size: int = 500,
    bootstrap: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Relative stability of any net on your own images.

        D = ⟨‖f(τx)−f(x)‖²⟩ / ⟨‖f(x)−f(z)‖²⟩,   G = ⟨‖f(x+η)−f(x)‖²⟩ / ⟨‖f(x)−f(z)‖²⟩,   R = D / G

    net: a torch.nn.Module from (B, C, n, n) to (B, …), measured in evaluation mode, its state restored afterwards, or
    any other callable, taken as it is; images: (N, C, n, n), as the net was trained on them (the norm of η is in their
    units), of the dtype and on the device that the net takes.

    perturbation: "diffeomorphism" or "translation", with `displacement` δ in pixels (and `cut`, one or several, for
    diffeomorphisms); "rotation" (degrees), "scaling" (log of the factor), "noise" (norm) or "subspace" (standard
    deviation, with `directions`), with `magnitude`; or an instance of `perturbations.base.Perturbation`.
    interpolation: "bilinear" or "gaussian"; modes: "disc" or "rounded", the fields of the formula or of the code of
    Petrini et al. 2021 (see `perturbations.diffeomorphism`).

    estimator: "mean", the definition; "median", per output component the median over images; "both" or a list, from
    one set of passes, as a dimension `estimator`. noise_matching: "mean" gives every image noise of the norm
    ⟨‖τx−x‖⟩, "image" each image noise of its own ‖τx−x‖; "auto" is "mean" for means and "image" for medians.
    layers: None for the output, or "blocks", "all", names and patterns such as "layer?.*" (`activations.pick_layers`),
    as a dimension `layer` with the order of execution as its coordinate `depth`.

    seed: two nets measured with one seed see the same perturbed images, on every device and for every batch size.
    batch_norm: "auto", "batch", "clean" or "running" (see `statistics_rule`). mixed_precision: bfloat16 autocast
    and TF32; off for reference numbers. labels: (N,), the class of each image, in the order of the net's outputs; then
    `test_error` stands beside R, with its 95 % interval (Wilson). draws: perturbations for each image. progress:
    called with the passes done and their number. Memory is that of one batch; medians need the changes of all images
    in every layer asked for.

    Returns a Dataset with D, G, R, dimensions (cut, displacement) or the magnitude's own. Their intervals come from
    resampling the images `bootstrap` times: they say how much other test images would move the numbers of this net,
    and not how much other nets differ; for that, a sweep has R_over_seeds (see `analysis.collect`).
    Warns about magnitudes outside the useful range, and of a net that ends in a softmax. Raises InputError for settings
    that cannot be drawn, for images that the net cannot take, and for activations that are not finite.
    Source: Petrini et al. 2021, arXiv 2105.02468, eqs. 6 to 8.

    >>> images = torch.randn(100, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> R = measure(lambda x: x.mean((2, 3)), images, displacement=[0.5, 1]).R
    >>> dict(R.sizes), bool((R > 0).all())
    ({'cut': 1, 'displacement': 2}, True)
    """
    for name, number in (("draws", draws), ("batch_size", batch_size), ("bootstrap", bootstrap)):
        if number < 1:
            raise InputError(f"{name} = {number} is refused: 1 or more is needed")
    if not (isinstance(getattr(images, "dtype", None), torch.dtype) and images.dtype.is_floating_point):
        raise InputError("images must be a torch tensor of floating-point numbers, as the net was trained on them")
    if images.ndim == 4 and images.shape[1] == 1 and isinstance(images, Tensor):
        # Of one channel, every layout counts as contiguous; with some, convolutions answer in channels last, and a net
        # that calls `view` on that fails.
        images = images.clone(memory_format=torch.contiguous_format)
    if images.ndim < 2 or len(images) < 2:
        raise InputError(f"images of shape {tuple(images.shape)}: at least two inputs, (N, C, n, n), are needed")
    _estimators(estimator, noise_matching)
    rule = statistics_rule(net, batch_norm)
    if isinstance(perturbation, Perturbation):
        families = [perturbation]
    else:
        families = build_families(perturbation, cut, directions, interpolation, modes)
    family = families[0]
    if magnitude is not None:
        magnitudes = _numbers("magnitude", magnitude)
    elif family.name in DISPLACING:
        magnitudes = _numbers("displacement", displacement)
    else:
        raise InputError(
            f"perturbation {family.name!r} needs magnitude=…, its {family.magnitude_name} ({family.units})"
        )
    for each in families:
        for sentence in each.check(tuple(images.shape[1:]), magnitudes):
            warnings.warn(sentence, stacklevel=2)
    told = {
        "seed": seed,
        "draws": draws,
        "batch_size": batch_size,
        "bootstrap": bootstrap,
    }
    try:
        dataset = stability_dataset(
            net,
            images,
            families,
            magnitudes,
            estimator=estimator,
            noise_matching=noise_matching,
            layers=layers,
            batch_norm=batch_norm,
            mixed_precision=mixed_precision,
            labels=labels,
            progress=progress,
            **told,
        )
    except REFUSALS:
        refuse_images(net, images)
        raise
    if ends_in := dataset.attrs.get("ends_in"):
        warnings.warn(
            f"the net ends in a {ends_in}, and R is defined before it: it may differ by some ten per cent; measure the "
            "layer before (layers=…, or --logits)",
            stacklevel=2,
        )
    attributes: dict[str, str | int | float] = {
        "perturbation": family.name,
        "estimator": estimator if isinstance(estimator, str) else " ".join(estimator),
        "images": len(images),
        "batch_norm": rule,
        "mixed_precision": int(mixed_precision),
        "dtype": str(images.dtype).removeprefix("torch."),
        "device": str(images.device),
        "noise_matching": noise_matching,
        **told,
    }
    for option in ("interpolation", "modes"):
        if hasattr(family, option):
            attributes[option] = getattr(family, option)
    return dataset.assign_attrs(attributes)


def refuse_images(net: Any, images: Tensor, remedy: str = "") -> Any:
    """Raise InputError, with what the net says, if it cannot take two of the images; else return what it makes of them.

    remedy: what may be done.
    """
    try:
        with torch.no_grad(), evaluation_mode(net, "running", images.device):
            return net(images[:2].clone())
    except InputError:
        raise
    except REFUSALS as error:
        shape = "×".join(map(str, images.shape[1:]))
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"the net cannot take images of {shape} ({reason}){remedy}") from None
