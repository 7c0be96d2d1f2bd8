"""One image deformed at several temperatures and cuts, where these are useful, and the fields that deform it."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.figures.style import DARK, finish, legend_line, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CUTS = (2, 3, 5, 10, 15)  # of these, the COUNT highest whose displacements reach WIDE times the smallest useful one
COUNT, WIDE = 3, 1.5
TEMPERATURES = 6
BEYOND = 3.0  # how far temperatures go beyond the useful ones of any cut, a factor
ARROWS = 16  # along each side at most
EXAMPLES = 500  # test images among which one is chosen to be shown
USEFUL, NOT_USEFUL = "#0072b2", "0.75"


def useful_cuts(n: int) -> list[int]:
    """Cuts that do something to images of n×n pixels."""
    return [cut for cut in CUTS if cut * WIDE < 2 * n / np.pi][-COUNT:]


def clearest(dataset: xr.Dataset) -> np.ndarray:
    """Positions of test images, of each class that with the strongest edges; in the order in which classes appear."""
    test = np.flatnonzero(dataset["split"].values == 1)
    pixels, labels = dataset["images"].values[test[:EXAMPLES]].astype(float), dataset["labels"].values[test]
    edges = sum(np.square(np.diff(pixels, axis=axis)).sum((1, 2, 3)) for axis in (2, 3))
    edges = np.concatenate([edges, np.zeros(len(test) - len(edges))])  # later ones stand in for classes not seen yet
    return np.array([test[np.where(labels == k, edges, -1).argmax()] for k in dict.fromkeys(labels)])


def numbers(dataset: xr.Dataset) -> xr.Dataset:
    """A test image at every (cut, temperature), and the field of each cut in the middle of its useful range.

    dataset: as stored by the stage `prepare`. Temperature and cut are those of `temperature_range`, displacements δ in
    pixels; pixels are shown as stored, scaled to 0-1.
    """
    import torch

    from relative_stability.perturbations.base import probes
    from relative_stability.perturbations.diffeomorphism import Diffeomorphism
    from relative_stability.perturbations.temperature import displacement, temperature_range

    pixels = dataset["images"].values[clearest(dataset)[:1]]
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
    figure, panels = new_figure(rows, columns + 1, 0.42, 0.62)
    for row, (cut, line) in enumerate(zip(numbers["cut"].values, panels, strict=True)):
        for column, axes in enumerate(line[:-1]):
            cell = numbers.isel(cut=row, temperature=column)
            show_image(axes, cell["pixel"])
            useful = bool(cell["useful"])
            axes.spines[:].set(visible=True, color=USEFUL if useful else NOT_USEFUL, linewidth=3.5 if useful else 1)
            axes.set_xlabel(f"δ = {float(cell['displacement']):.2g} pixel")
            axes.set_title(f"$T$ = {float(cell['temperature']):.1g}" if row == 0 else "")
        line[0].set_ylabel(f"cut {cut}")
        field = numbers["field"].values[row]
        _arrows(line[-1], field)
        line[-1].set_xlabel(f"up to {_longest(field):.2g} pixel")
    panels[0, -1].set_title("field")
    legend = legend_line("useful: half a pixel at least, and the image does not fold", color=USEFUL, linewidth=3.5)
    note = "$T$: temperature; δ: typical displacement; field: in the middle of the useful range"
    return finish(figure, f"{plain(numbers.attrs['source'])}; {note}", legend, letters=False)


def show_image(axes: "Axes", pixel: xr.DataArray) -> None:
    """One image in a panel without ticks."""
    picture = pixel.transpose("y", "x", "channel").values.clip(0, 1)
    axes.imshow(picture if picture.shape[-1] > 1 else picture[..., 0], cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])


def _arrows(axes: "Axes", field: np.ndarray) -> None:
    n = len(field)
    places = np.arange(0, n, int(np.ceil(n / ARROWS)))
    x, y = np.meshgrid(places, places)
    found = field[np.ix_(places, places)]
    # y points down, as in images; arrows are as long as their space where the field is largest.
    scale = _longest(field) / (places[1] - places[0]) / 1.5
    shape = {"angles": "xy", "scale_units": "xy", "scale": scale, "width": 0.008, "color": DARK}
    axes.quiver(x, y, found[..., 0], found[..., 1], **shape)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[], xlim=(-1, n), ylim=(n, -1), aspect="equal")


def _longest(field: np.ndarray) -> float:
    return float(np.linalg.norm(field, axis=-1).max())
