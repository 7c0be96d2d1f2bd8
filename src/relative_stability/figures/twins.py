"""Sample images with their deformed and their noisy twins, at equal distance, and where a net's output goes."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from relative_stability.figures.diffeomorphisms import clearest, show_image
from relative_stability.figures.style import finish, legend_line, look, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from torch import Tensor

    from relative_stability.datasets.prepared import Prepared

SAMPLES = 4
CUT = 3
OTHERS = 500  # test images whose outputs say how far apart those of two images typically are


def numbers(dataset: xr.Dataset, curves: xr.Dataset, weights: Mapping[str, "Tensor"]) -> xr.Dataset:
    """Images of different classes, their deformed twins at half and all of the largest useful displacement, and noise.

    dataset: as stored by the stage `prepare`; curves, weights: of a run, as stored by `train`. Noise has the norm of
    the deformation beside it; pixels are shown as stored, scaled to 0-1. `moved` is ‖f(x′) − f(x)‖ over
    √⟨‖f(x) − f(z)‖²⟩, f being the net of the first seed that did not diverge, NaN if there is none; x, z run over test
    images.
    """
    import torch

    from relative_stability.datasets.prepared import in_memory
    from relative_stability.perturbations.base import probes
    from relative_stability.perturbations.diffeomorphism import Diffeomorphism
    from relative_stability.perturbations.noise import Noise
    from relative_stability.perturbations.temperature import displacement, temperature_range

    test = clearest(dataset)[:SAMPLES]
    pixels = dataset["images"].values[test]
    images = torch.from_numpy(pixels).float() / (255 if pixels.dtype == np.uint8 else 1)
    shape, n = tuple(images.shape[1:]), images.shape[-1]
    largest = displacement(temperature_range(n, CUT)[1], n, CUT)
    family, noise = Diffeomorphism(CUT), Noise()

    def draws(of: Diffeomorphism | Noise) -> torch.Tensor:
        return of.prepare(probes(of, shape, 0, range(len(images))), images)

    kinds, pictures = ["image"], [images]
    for size in (largest / 2, largest):
        deformed = family.apply(images, draws(family), size)
        norm = (deformed - images).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        kinds += [f"deformed, δ = {size:.2g} pixel", "noise, of the same norm"]
        pictures += [deformed, noise.apply(images, draws(noise), norm)]
    names = dataset["class_names"].values[dataset["labels"].values[test]]
    twins = torch.stack(pictures)
    moved, where = _moved(in_memory(dataset), curves, weights, twins)
    share = "change of the output over the typical distance between the outputs of two images"
    drawn = xr.Dataset(
        {
            "pixel": (("twin", "sample", "channel", "y", "x"), twins.numpy(), {"units": "1"}),
            "moved": (("state", "twin", "sample"), moved, {"long_name": share, "units": "1"}),
            "title": (("twin",), np.array(kinds)),
            "class_name": (("sample",), names),
        },
        {"state": ["init", "trained"]},
    )
    drawn.attrs = {"source": dataset.attrs["source"], "cut": CUT, "net": where}
    return drawn


def _moved(
    data: "Prepared", curves: xr.Dataset, weights: Mapping[str, "Tensor"], twins: "Tensor"
) -> tuple[np.ndarray, str]:
    """How far the output moves, (state, twin, sample), and of which net, in words. twins: (twin, sample, C, n, n)."""
    import torch

    from relative_stability.stability.evaluation_mode import BatchNorm, evaluation_mode
    from relative_stability.training.run import load_net

    request: dict[str, Any] = json.loads(curves.attrs["request"])
    moved = np.full((2, *twins.shape[:2]), np.nan)
    name = f"{request['net']['architecture']} at P = {request['P']}"
    whole = np.flatnonzero(~np.isfinite(curves["diverged_epoch"].values))
    if not len(whole):
        return moved, f"{name}: all seeds diverged"
    cpu, seed = torch.device("cpu"), int(whole[0])
    others = data.seen(torch.nonzero(data.test).flatten()[:OTHERS], cpu)
    scale = 1 / data.std
    batch = twins.flatten(0, 1) * scale - data.mean * scale  # as nets see them
    outputs = []
    rules: dict[str, BatchNorm] = {"init": "batch", "last": "running"}
    for state, rule in rules.items():
        net = load_net(request, data, dict(weights), state, seed, cpu)
        with evaluation_mode(net, rule, cpu), torch.no_grad():
            outputs.append([net(batch).flatten(1), net(others).flatten(1)])
    if request["training"]["alpha"] is not None:  # what is trained is f − f₀
        outputs[1] = [last - first for last, first in zip(outputs[1], outputs[0], strict=True)]
    for k, (found, far) in enumerate(outputs):
        found = found.unflatten(0, twins.shape[:2])
        typical = (2 * far.var(0).sum()).sqrt()  # ⟨‖a − b‖²⟩ of two draws is twice the variance
        moved[k] = ((found - found[0]).norm(dim=-1) / typical).numpy()
    return moved, f"{name}, seed {int(curves['seed'][seed])}"


def draw(numbers: xr.Dataset) -> "Figure":
    """Samples in rows, twins in columns; the last column shows how far the output moves for each twin."""
    rows, columns = numbers.sizes["sample"], numbers.sizes["twin"]
    known = bool(np.isfinite(numbers["moved"]).any())
    figure, panels = new_figure(rows, columns + known, 0.55, 0.6)
    legend: dict[str, Line2D] = {}
    if known:
        panels[0, 0].get_gridspec().set_width_ratios([1] * columns + [1.6])
        legend = legend_line("after training", marker="o", linestyle="")
        legend |= legend_line("at initialisation", marker="o", linestyle="", markerfacecolor="white")
    for row, sample in enumerate(panels):
        for column, axes in enumerate(sample[:columns]):
            show_image(axes, numbers["pixel"].isel(sample=row, twin=column))
            axes.set_title(plain(numbers["title"].values[column]).replace(", ", "\n") if row == 0 else "")
        sample[0].set_ylabel(f"class {plain(numbers['class_name'].values[row])}")
        if known:
            _outputs(sample[-1], numbers.isel(sample=row), float(numbers["moved"].max()))
    if known:
        panels[0, -1].set_title("how far the output moves")
        panels[-1, -1].set_xlabel("share of the typical distance\nbetween two images' outputs")
    note = f"diffeomorphisms of cut {numbers.attrs['cut']}; noise as far from the image as the deformed twin beside it"
    return finish(figure, f"{note}; net: {plain(numbers.attrs['net'])}", legend, letters=False)


def _outputs(axes: "Axes", part: xr.Dataset, reach: float) -> None:
    """A row for each twin, at the distance of its output from that of the image."""
    names = ["noise" if title.startswith("noise") else "deformed" for title in part["title"].values.tolist()[1:]]
    for place, name in enumerate(names, start=1):
        style = look({"deformed": "diffeomorphism"}.get(name, name)) | {"linestyle": ""}
        before, after = (float(part["moved"].sel(state=state)[place]) for state in ("init", "trained"))
        axes.plot(before, place, markerfacecolor="white", **style)
        axes.plot(after, place, **style)
    axes.set_yticks(range(1, len(names) + 1), names)
    axes.set(xlim=(0, 1.06 * reach), ylim=(len(names) + 0.7, 0.3))
