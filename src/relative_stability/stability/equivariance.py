"""Where in a net a deformation is carried along, and where it is forgotten."""

import math
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from relative_stability.core.store import labelled
from relative_stability.perturbations.base import probes
from relative_stability.perturbations.diffeomorphism import Diffeomorphism, field
from relative_stability.perturbations.interpolation import resample
from relative_stability.perturbations.temperature import temperature
from relative_stability.stability.activations import OUTPUT, Activations, Net, hooked, pick_layers
from relative_stability.stability.evaluation_mode import BatchNorm, evaluation_mode, statistics_rule


def equivariance(
    net: Net,
    images: Tensor,
    displacement: float = 1.0,
    cut: int = 3,
    layers: Any = "blocks",
    seed: int = 0,
    *,
    batch_norm: BatchNorm = "auto",
    batch_size: int = 100,
) -> xr.Dataset:
    """How far each layer carries a deformation of the image along, and how far it ignores it.

        E_k = ⟨‖f_k(τx) − τ_k f_k(x)‖²⟩ / ⟨‖f_k(x) − f_k(z)‖²⟩,   D_k = ⟨‖f_k(τx) − f_k(x)‖²⟩ / ⟨‖f_k(x) − f_k(z)‖²⟩

    τ_k is the same field on the layer's grid of h×h places, where it moves by h/n as many of them. E_k is 0 for a layer
    that moves as the image does, as convolutions without stride nearly do; D_k is 0 for one that does not move at all.
    x, z run over the images. Grids are laid over each other border to border: padding, and windows that are not
    centred, show in E_k.

    net, images, cut, layers, seed, batch_norm: as in `measure`; displacement: δ in pixels of the image. Returns a
    Dataset with E, D and `grid` (h in places), dimension `layer`, in the order of execution; E is NaN where a layer has
    no square grid of at least 2×2. Raises InputError as `measure` does.

    >>> images = torch.randn(20, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.AdaptiveAvgPool2d(1))
    >>> found = equivariance(net, images, layers=["0", "1"])
    >>> found.E.values[0], found.grid.values.tolist()
    (np.float64(0.0), [16, 1])
    """
    family, n = Diffeomorphism(cut), images.shape[-1]
    family.check(tuple(images.shape[1:]), (displacement,))
    root = math.sqrt(temperature(displacement, n, cut))
    rule = statistics_rule(net, batch_norm)
    with evaluation_mode(net, rule, images.device) as mode, torch.no_grad():
        with mode.clean():
            picked = list(pick_layers(net, layers, images))
        # By layer: Σf, Σ‖f‖², Σ‖f(τx) − τf(x)‖², Σ‖f(τx) − f(x)‖², and the side of its grid.
        sums: dict[str, list[Any]] = {name: [0.0, 0.0, 0.0, 0.0, 0] for name in picked}
        with hooked(net, [name.partition(":")[0] for name in picked]) as activations:
            for start in range(0, len(images), batch_size):
                batch = images[start : start + batch_size]
                rows = range(start, start + len(batch))
                drawn = probes(family, tuple(images.shape[1:]), seed, rows).to(batch)
                with mode.clean():
                    clean = _activations(activations, batch.clone())
                moved = _activations(activations, resample(batch, field(drawn, n), root, "bilinear"))
                for name, total in sums.items():
                    before, after = clean[name], moved[name]
                    total[0] = total[0] + before.flatten(1).double().sum(0)
                    total[1] += float(before.double().square().sum())
                    total[3] += float((after - before).double().square().sum())
                    total[4] = before.shape[-1] if before.ndim == 4 and before.shape[-1] == before.shape[-2] else 0
                    if total[4] > 1:
                        carried = resample(before, field(drawn.to(before), total[4]), root, "bilinear")
                        total[2] += float((after - carried).double().square().sum())
    count = len(images)
    # ⟨‖f(x) − f(z)‖²⟩ over pairs, of N images in all.
    apart = [2 * (s[1] - float(s[0].square().sum()) / count) / (count - 1) * count for s in sums.values()]
    grids = np.array([s[4] for s in sums.values()])
    E, D = (np.array([s[k] / all_apart for s, all_apart in zip(sums.values(), apart, strict=True)]) for k in (2, 3))
    return xr.Dataset(
        {
            "E": labelled(
                ("layer",), np.where(grids > 1, E, np.nan), "change against the layer's own deformation", "1"
            ),
            "D": labelled(("layer",), D, "stability to diffeomorphism", "1"),
            "grid": labelled(("layer",), grids, "side of the layer's grid", "places"),
            "layer": labelled(("layer",), np.array([name or OUTPUT for name in picked]), "layer", ""),
        },
        {"displacement": displacement, "cut": cut},
        {"perturbation": "diffeomorphism", "batch_norm": rule, "images": count, "seed": seed},
    )


def _activations(activations: Activations, batch: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    activations.run(batch, lambda name, x: found.update({name: x.clone()}))
    return found
