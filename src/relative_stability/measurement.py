"""A net and images in, D, G and R out: batching, modes, random numbers, labels."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from relative_stability.errors import InputError, nearest
from relative_stability.perturbations import build_perturbation
from relative_stability.perturbations.base import Perturbation
from relative_stability.perturbations.diffeomorphism import Diffeomorphism, rms_displacement
from relative_stability.perturbations.noise import Noise
from relative_stability.perturbations.temperature import temperature
from relative_stability.randomness import generator
from relative_stability.stability import ESTIMATORS, Stability, bootstrap_weights
from relative_stability.store import Variable, to_dataset

if TYPE_CHECKING:
    import xarray as xr

Net = Callable[[Tensor], Tensor]
BatchNorm = Literal["auto", "batch", "running"]
_BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)


def _never_trained(net: Net) -> bool:
    """Whether the net has batch normalisation whose running statistics were never updated."""
    layers = [m for m in net.modules() if isinstance(m, _BATCH_NORMS)] if isinstance(net, nn.Module) else []
    return any(m.track_running_stats for m in layers) and not any(
        m.num_batches_tracked is not None and m.num_batches_tracked > 0 for m in layers
    )


@contextmanager
def observed(net: Net, batch_norm: BatchNorm = "auto") -> Iterator[str]:
    """Hold a net in evaluation mode, and hand it back as it was: modes, statistics, and all.

    batch_norm: "running" uses the running statistics; "batch" those of each batch fed, clean, deformed and noisy
    separately; "auto" is "batch" for a net whose running statistics were never updated (a net at initialisation),
    else "running". Yields the rule in force.
    """
    rule = ("batch" if _never_trained(net) else "running") if batch_norm == "auto" else batch_norm
    if not isinstance(net, nn.Module):
        yield rule
        return
    modes = {m: m.training for m in net.modules()}
    tracking = {m: m.track_running_stats for m in net.modules() if isinstance(m, _BATCH_NORMS)}
    try:
        net.eval()
        if rule == "batch":
            for layer in tracking:
                # In training mode without tracking, the layer uses the batch's statistics and updates nothing.
                layer.training, layer.track_running_stats = True, False
        yield rule
    finally:
        for m, training in modes.items():
            m.training = training
        for layer, track in tracking.items():
            layer.track_running_stats = track


def _probes(family: Perturbation, shape: tuple[int, ...], seed: int, indices: range) -> Tensor:
    """Random numbers of the probes `indices`, each from (seed, family, index) alone."""
    return torch.stack([family.draw(generator(seed, family.name, k), shape) for k in indices])


class _Observer:
    """A net's flat outputs (B, K) on a batch, finite or refused."""

    def __init__(self, net: Net) -> None:
        self.net = net

    def __call__(self, batch: Tensor, what: str) -> Tensor:
        outputs = self.net(batch).flatten(1).double()  # small changes of large outputs need the digits
        if not torch.isfinite(outputs).all():
            raise InputError(f"the net's output on {what} is not finite (NaN or infinity): check its weights and input")
        return outputs


@torch.no_grad()
def stability_of(
    net: Net,
    images: Tensor,
    family: Perturbation,
    magnitudes: Sequence[float],
    *,
    estimator: str = "mean",
    draws: int = 1,
    seed: int = 0,
    batch_size: int = 500,
    bootstrap: int = 1000,
) -> tuple[Stability, Tensor]:
    """D, G, R at M magnitudes of one family, and the mean norm ⟨‖τx−x‖⟩ of each, (M,).

    net: in the mode to be measured in (see `observed`); images: (N, C, n, n) on the net's device. With draws > 1
    every image is perturbed so many times. Beyond one batch, only outputs are kept.
    Raises InputError where an output is not finite, naming the magnitude.
    """
    count = len(images)
    images = images.repeat(draws, *[1] * (images.ndim - 1))
    total, shape = len(images), tuple(images.shape[1:])
    batches = [slice(i, min(i + batch_size, total)) for i in range(0, total, batch_size)]
    observe, noise = _Observer(net), Noise()

    outputs = torch.cat([observe(images[rows], "the unchanged images") for rows in batches])
    deformed = outputs.new_empty(len(magnitudes), *outputs.shape)
    noisy = torch.empty_like(deformed)
    norms = torch.empty(len(magnitudes), total, dtype=torch.float64)

    for rows in batches:
        batch = images[rows]
        prepared = family.prepare(_probes(family, shape, seed, range(rows.start, rows.stop)), batch)
        for m, magnitude in enumerate(magnitudes):
            changed = family.apply(batch, prepared, magnitude)
            norms[m, rows] = torch.linalg.vector_norm((changed - batch).flatten(1), dim=1).double().cpu()
            after = observe(changed, f"images at {family.magnitude_name} {magnitude:g} {family.units}")
            torch.square(after - outputs[rows], out=deformed[m, rows])

    # `mean` gives every image the mean norm of its magnitude, `median` each image its own.
    radii = norms.mean(1, keepdim=True).expand_as(norms) if estimator == "mean" else norms
    for rows in batches:
        batch = images[rows]
        prepared = noise.prepare(_probes(noise, shape, seed, range(rows.start, rows.stop)), batch)
        for m, magnitude in enumerate(magnitudes):
            radius = radii[m, rows].to(batch).view(-1, *[1] * (batch.ndim - 1))
            after = observe(
                noise.apply(batch, prepared, radius),
                f"noisy images that match {family.magnitude_name} {magnitude:g} {family.units}",
            )
            torch.square(after - outputs[rows], out=noisy[m, rows])

    # Draws of one image are no images of their own: they are averaged (mean) or stay together (median).
    weights = bootstrap_weights(count, bootstrap, generator(seed, "bootstrap"))
    changes = (c.cpu().view(len(magnitudes), draws, count, -1) for c in (deformed, noisy))
    return ESTIMATORS[estimator](*changes, outputs[:count].cpu(), weights), norms.mean(1)


def stability_variables(
    net: Net, images: Tensor, families: Sequence[Perturbation], magnitudes: Sequence[float], **settings: Any
) -> dict[str, Variable]:
    """Measure each family in turn, and label what comes out with dimensions, units and coordinates.

    families: one for each cut, or a single one of another kind; settings: those of `stability_of`. Dimensions are
    (cut, displacement) for diffeomorphisms, else the magnitude's own name.
    """
    results = [stability_of(net, images, family, magnitudes, **settings) for family in families]
    family, cuts = families[0], [f.cut for f in families if isinstance(f, Diffeomorphism)]
    axis = family.magnitude_name
    dims = ("cut", axis) if cuts else (axis,)

    def pack(parts: Sequence[Tensor]) -> np.ndarray:
        return torch.stack(list(parts), dim=-2).numpy() if cuts else parts[0].numpy()

    words = {
        "D": f"stability to {family.name}",
        "G": "stability to isotropic noise of the same norm",
        "R": f"relative stability to {family.name}, D/G",
    }
    variables = {
        "bound": Variable(("bound",), np.array(["lower", "upper"]), "end of the interval", ""),
        axis: Variable((axis,), np.array(magnitudes, float), f"{axis} of the {family.name}", family.units),
        "noise_norm": Variable(
            dims,
            pack([norm for _, norm in results]),
            "mean norm of the perturbation, and of the noise",
            "input units",
        ),
    }
    for name, long_name in words.items():
        variables[name] = Variable(dims, pack([getattr(s, name) for s, _ in results]), long_name, "1")
        variables[f"{name}_interval"] = Variable(
            ("bound", *dims),
            pack([getattr(s, f"{name}_interval") for s, _ in results]),
            f"95 % interval of {name}, bootstrap over test images",
            "1",
        )
    if cuts:
        n = images.shape[-1]
        rms = [[rms_displacement(temperature(d, n, c), n, c) for d in magnitudes] for c in cuts]
        variables["cut"] = Variable(("cut",), np.array(cuts), "cut: highest frequency of the field", "1")
        variables["rms_displacement"] = Variable(dims, np.array(rms), "root mean square displacement", "pixel")
    return variables


def _tuple(value: Any) -> tuple[Any, ...]:
    """A number, or several of any kind of sequence, as plain numbers."""
    return tuple(np.atleast_1d(np.asarray(value)).tolist())


def build_families(
    perturbation: str, cut: int | Sequence[int] = 3, directions: Sequence[int] = ()
) -> list[Perturbation]:
    """The families that a setting names: one diffeomorphism for each cut, or one of another kind."""
    if perturbation == "diffeomorphism":
        return [build_perturbation(perturbation, cut=c) for c in _tuple(cut)]
    options = {"directions": directions} if perturbation == "subspace" else {}
    return [build_perturbation(perturbation, **options)]


def measure(
    net: Net,
    images: Tensor,
    perturbation: str = "diffeomorphism",
    cut: int | Sequence[int] = 3,
    displacement: float | Sequence[float] = (0.5, 1, 2),
    estimator: str = "mean",
    layers: None = None,
    seed: int = 0,
    *,
    magnitude: float | Sequence[float] | None = None,
    directions: Sequence[int] = (),
    batch_norm: BatchNorm = "auto",
    draws: int = 1,
    batch_size: int = 500,
    bootstrap: int = 1000,
) -> "xr.Dataset":
    """Relative stability of any net on your own images.

        D = ⟨‖f(τx)−f(x)‖²⟩ / ⟨‖f(x)−f(z)‖²⟩,   G = ⟨‖f(x+η)−f(x)‖²⟩ / ⟨‖f(x)−f(z)‖²⟩,   R = D / G

    net: a callable from (B, C, n, n) to (B, …), measured in evaluation mode and handed back as it was;
    images: (N, C, n, n), as the net was trained on them (the norm of η is in their units), on the net's device;
    perturbation: "diffeomorphism", "subspace" (with `directions`) or "noise"; cut: one or several; displacement: δ in
    pixels, the magnitude of diffeomorphisms; magnitude: that of the other families, in their units;
    estimator: "mean" (the definition) or "median" (the authors' code); layers: None, the output
    alone; seed: two nets measured with one seed see the
    same perturbed images; batch_norm: see `observed`; draws: perturbations for each image; bootstrap: samples behind
    the intervals, which are over images.

    Returns a Dataset with D, G, R and their intervals, dimensions (cut, displacement) or (magnitude,).
    Warns about displacements outside the useful range. Raises InputError for settings that cannot be drawn and for
    outputs that are not finite. Source: Petrini et al. 2021, arXiv 2105.02468, eqs. 6 to 8.
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"estimator {estimator!r} is unknown; {nearest(estimator, ESTIMATORS)}")
    if layers is not None:
        raise InputError(f"layers = {layers!r} is refused: only the output, layers=None, can be measured so far")
    if batch_norm not in ("auto", "batch", "running"):
        raise InputError(f"batch_norm {batch_norm!r} is unknown; {nearest(batch_norm, ('auto', 'batch', 'running'))}")
    for name, number in (("draws", draws), ("batch_size", batch_size), ("bootstrap", bootstrap)):
        if number < 1:
            raise InputError(f"{name} = {number} is refused: 1 or more is needed")
    if not (isinstance(images, Tensor) and images.is_floating_point()):
        raise InputError("images must be a torch tensor of floating-point numbers, as the net was trained on them")
    if images.ndim < 2 or len(images) < 2:
        raise InputError(f"images of shape {tuple(images.shape)}: at least two inputs, (N, C, n, n), are needed")
    families = build_families(perturbation, cut, directions)
    if perturbation == "diffeomorphism":
        magnitudes = _tuple(displacement)
    elif magnitude is None:
        raise InputError(f"perturbation {perturbation!r} needs magnitude=…, in units of {families[0].units}")
    else:
        magnitudes = _tuple(magnitude)
    for family in families:
        for sentence in family.check(tuple(images.shape[1:]), magnitudes):
            warnings.warn(sentence, stacklevel=2)
    settings: dict[str, Any] = {
        "estimator": estimator,
        "seed": seed,
        "draws": draws,
        "batch_size": batch_size,
        "bootstrap": bootstrap,
    }
    with observed(net, batch_norm) as rule:
        variables = stability_variables(net, images, families, magnitudes, **settings)
    return to_dataset(variables, {"perturbation": perturbation, "batch_norm": rule, "images": len(images), **settings})
