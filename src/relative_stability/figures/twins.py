"""Sample images with their deformed and their noisy twins, of equal distance from the image."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.figures.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES = 4
CUT = 3


def numbers(dataset: xr.Dataset) -> xr.Dataset:
    """Images of different classes, their deformed twins at half and all of the largest useful displacement, and noise.

    dataset: as stored by the stage `prepare`. Noise has the norm of the deformation beside it; pixels
    are shown as stored, scaled to 0-1.
    """
    import torch

    from relative_stability.perturbations.base import probes
    from relative_stability.perturbations.diffeomorphism import Diffeomorphism
    from relative_stability.perturbations.noise import Noise
    from relative_stability.perturbations.temperature import displacement, temperature_range

    test = np.flatnonzero(dataset["split"].values == 1)
    _, first = np.unique(dataset["labels"].values[test], return_index=True)  # of each class, as folders lie by class
    test = test[np.sort(first)[:SAMPLES]]
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
        kinds += [f"deformed, δ = {size:.2g} pixel", "noise of the same norm"]
        pictures += [deformed, noise.apply(images, draws(noise), norm)]
    names = dataset["class_names"].values[dataset["labels"].values[test]]
    drawn = xr.Dataset(
        {
            "pixel": (("twin", "sample", "channel", "y", "x"), torch.stack(pictures).numpy(), {"units": "1"}),
            "title": (("twin",), np.array(kinds)),
            "class_name": (("sample",), names),
        }
    )
    drawn.attrs = {"source": dataset.attrs["source"], "cut": CUT}
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Samples in rows, twins in columns."""
    pixels = numbers["pixel"].transpose("sample", "twin", "y", "x", "channel")
    figure, panels = new_figure(*pixels.shape[:2])
    figure.set_size_inches(2.3 * pixels.shape[1], 2.1 * pixels.shape[0] + 0.5)
    for row, sample in enumerate(panels):
        for column, axes in enumerate(sample):
            picture = np.clip(pixels.values[row, column], 0, 1)
            grey = picture.shape[-1] == 1
            axes.imshow(picture[..., 0] if grey else picture, cmap="gray" if grey else None, vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            if row == 0:
                axes.set_title(str(numbers["title"].values[column]), fontsize="small")
            if column == 0:
                axes.set_ylabel(f"class {numbers['class_name'].values[row]}", fontsize="small")
    figure.supxlabel(
        f"diffeomorphisms of cut {numbers.attrs['cut']}; noise at the distance of the deformed twin",
        fontsize="small",
    )
    return figure
