"""One image deformed at several temperatures and cuts, where these are useful, and the fields that deform it."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.figures.style import new_figure, scaled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CUTS = (2, 3, 5, 10, 15)  # of these, the COUNT highest whose displacements reach WIDE times the smallest useful one
COUNT, WIDE = 3, 1.5
TEMPERATURES = 8
BEYOND = 3.0  # how far temperatures go beyond the useful ones of any cut, a factor
ARROWS = 16  # along each side at most
USEFUL, NOT_USEFUL = "#0072b2", "0.75"


def useful_cuts(n: int) -> list[int]:
    """Cuts that do something to images of n×n pixels."""
    return [cut for cut in CUTS if cut * WIDE < 2 * n / np.pi][-COUNT:]


def numbers(dataset: xr.Dataset) -> xr.Dataset:
    """The first test image at every (cut, temperature), and the field of each cut in the middle of its useful range.

    dataset: as stored by the stage `prepare`. Temperature and cut are those of `temperature_range`, displacements δ in
    pixels; pixels are shown as stored, scaled to 0-1.
    """
    import torch

    from relative_stability.perturbations.base import probes
    from relative_stability.perturbations.diffeomorphism import Diffeomorphism
    from relative_stability.perturbations.temperature import displacement, temperature_range

    pixels = dataset["images"].values[np.flatnonzero(dataset["split"].values == 1)[:1]]
    image = torch.from_numpy(pixels).float() / (255 if pixels.dtype == np.uint8 else 1)
    n = image.shape[-1]
    cuts = useful_cuts(n)
    ranges = np.array([temperature_range(n, cut) for cut in cuts])
    temperatures = np.geomspace(ranges[:, 0].min() / BEYOND, ranges[:, 1].max() * BEYOND, TEMPERATURES)
    pictures, fields, moved = [], [], []
    for cut, (low, high) in zip(cuts, ranges, strict=True):
        family = Diffeomorphism(cut)
        prepared = family.prepare(probes(family, tuple(image.shape[1:]), 0, range(1)), image)
        moved.append([displacement(t, n, cut) for t in temperatures])
        pictures.append(torch.cat([family.apply(image, prepared, size) for size in moved[-1]]))
        fields.append(prepared[0] * float(low * high) ** 0.25)  # √T at the middle, on a logarithmic scale
    useful = (temperatures >= ranges[:, :1]) & (temperatures <= ranges[:, 1:])
    along = ("cut", "temperature")
    drawn = xr.Dataset(
        {
            "pixel": ((*along, "channel", "y", "x"), torch.stack(pictures).numpy(), {"units": "1"}),
            "displacement": (along, np.array(moved), {"long_name": "typical displacement δ", "units": "pixel"}),
            "useful": (along, useful, {"long_name": "whether T is between T_min and T_max", "units": "1"}),
            "field": (
                ("cut", "y", "x", "component"),
                torch.stack(fields).numpy(),
                {"long_name": "displacement τ at √(T_min T_max)", "units": "pixel"},
            ),
            "T_min": ("cut", ranges[:, 0], {"long_name": "lowest useful temperature", "units": "1"}),
            "T_max": ("cut", ranges[:, 1], {"long_name": "highest useful temperature", "units": "1"}),
        },
        {
            "cut": ("cut", cuts, {"long_name": "cut", "units": "1"}),
            "temperature": ("temperature", temperatures, {"long_name": "temperature T", "units": "1"}),
            "component": ["x", "y"],
        },
    )
    drawn.attrs = {"source": dataset.attrs["source"]}
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """Cuts in rows, temperatures in columns, useful ones in a thick frame; the last column shows each cut's field."""
    rows, columns = numbers.sizes["cut"], numbers.sizes["temperature"]
    figure, panels = new_figure(rows, columns + 1)
    figure.set_size_inches(scaled(1.75 * (columns + 1)), scaled(2.1 * rows + 0.9))
    pictures = numbers["pixel"].transpose("cut", "temperature", "y", "x", "channel").values.clip(0, 1)
    for row, (cut, line) in enumerate(zip(numbers["cut"].values, panels, strict=True)):
        for column, axes in enumerate(line[:-1]):
            cell = numbers.isel(cut=row, temperature=column)
            picture, useful = pictures[row, column], bool(cell["useful"])
            grey = picture.shape[-1] == 1
            axes.imshow(picture[..., 0] if grey else picture, cmap="gray" if grey else None, vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(visible=True, color=USEFUL if useful else NOT_USEFUL, linewidth=3.5 if useful else 1)
            axes.set_xlabel(rf"$\delta$ = {float(cell['displacement']):.2g} px", fontsize="small")
            if row == 0:
                axes.set_title(f"$T$ = {_scientific(float(cell['temperature']))}", fontsize="small")
        line[0].set_ylabel(f"cut {cut}")
        _arrows(line[-1], numbers["field"].values[row])
        longest = _longest(numbers["field"].values[row])
        line[-1].set_xlabel(rf"largest {longest:.2g} px", fontsize="small")
    panels[0, -1].set_title("field", fontsize="small")
    figure.supxlabel(
        r"thick frame: between $T_{\min}$ (half a pixel) and $T_{\max}$ (beyond, fields fold); field at "
        r"$\sqrt{T_{\min}T_{\max}}$",
        fontsize="small",
    )
    return figure


def _arrows(axes: "Axes", field: np.ndarray) -> None:
    n = len(field)
    places = np.arange(0, n, int(np.ceil(n / ARROWS)))
    x, y = np.meshgrid(places, places)
    found = field[np.ix_(places, places)]
    # y points down, as in images; arrows are as long as their space where the field is largest.
    scale = _longest(field) / (places[1] - places[0]) / 1.5
    axes.quiver(
        x, y, found[..., 0], found[..., 1], angles="xy", scale_units="xy", scale=scale, width=0.008, color="0.2"
    )
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[], xlim=(-1, n), ylim=(n, -1), aspect="equal")


def _longest(field: np.ndarray) -> float:
    return float(np.linalg.norm(field, axis=-1).max())


def _scientific(value: float) -> str:
    digits, power = f"{value:.1e}".split("e")
    return rf"${digits}\times10^{{{int(power)}}}$"
