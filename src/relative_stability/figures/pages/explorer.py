"""The explorer: one page of HTML to look into sweeps with, and to deform an image; it works without the internet."""

import io
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from matplotlib.colors import to_hex

from relative_stability.analysis.sweep import at_reference, magnitude_axis, open_sweep
from relative_stability.core.errors import InputError
from relative_stability.core.store import expect, open_dataset
from relative_stability.figures.style import DASHES, MARKERS, look

if TYPE_CHECKING:
    import xarray as xr

TEMPLATE, SCRIPT = (Path(__file__).with_name(name) for name in ("explorer.html.j2", "explorer.js"))
LARGEST = 10**6  # numbers of a variable; the page names those that have more
INNER = ("bound", "neuron", "feature")  # dimensions of nothing that is looked at by itself
ALONG = {"snapshot": "snapshot_step", "record": "epoch"}  # what stands at the axis, for dimensions that only count
# What plotly calls the markers and dashes of `style`, in their order.
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "triangle-left", "pentagon",
           "triangle-right", "star", "hexagon")  # fmt: skip
LINES = ("solid", "dash", "dashdot")
FRAMES = 13  # displacements of an image, from 0 to the largest useful one
SMALL = 64  # pixels; of larger images there is one sample, or the page would be large
SMALLEST = 5  # pixels of images that can be deformed to some use


def explorer(digests: Sequence[str], sweeps: Sequence[str], datasets: Sequence[tuple[str, str]]) -> str:
    """The page, from files. digests: of the sweeps; datasets: names, and files as the stage `prepare` stores them."""
    opened = [open_sweep(path) for path in sweeps]
    for path, sweep, digest in zip(sweeps, opened, digests, strict=True):
        expect(path, sweep.attrs, digest, remade_by="collect")
    pictures = {name: deformed(open_dataset(path, "prepare")) for name, path in datasets}
    return page({"sweeps": [described(sweep) for sweep in opened], "pictures": pictures})


def described(sweep: "xr.Dataset") -> dict[str, Any]:
    """A sweep as JSON: its dimensions with their labels, its variables, how its nets look, and which runs failed."""
    reference, _ = at_reference(sweep)
    shown = {
        str(name): variable
        for name, variable in sweep.data_vars.items()
        if variable.dtype.kind == "f"
        and {"dataset", "net", "P", "seed"} <= set(variable.dims)
        and not {*INNER} & {*variable.dims}
    }
    too_large = [name for name, variable in shown.items() if variable.size > LARGEST]
    shown = {name: variable for name, variable in shown.items() if name not in too_large}
    dims = dict.fromkeys(str(dim) for variable in shown.values() for dim in variable.dims)
    nets, families = ([str(value) for value in sweep[axis].values] for axis in ("net", "architecture"))
    magnitude = magnitude_axis(sweep)
    first = {"P": sweep.sizes["P"] - 1, "state": [str(s) for s in sweep["state"].values].index("trained")}
    first[magnitude] = int(np.flatnonzero(sweep[magnitude].values == float(reference[magnitude]))[0])
    return {
        "name": str(sweep.attrs.get("sweep", "")),
        "perturbation": str(sweep.attrs.get("perturbation", "")),
        "dims": {dim: _labels(sweep, dim) for dim in dims},
        "titles": {dim: _title(sweep[dim], dim) if dim in sweep.coords else dim for dim in dims},
        "first": first,
        "layer_names": sweep["layer_name"].values.tolist() if "layer_name" in sweep.coords else None,
        "variables": {name: _packed(variable, name) for name, variable in shown.items()},
        "along": {
            dim: {**_packed(sweep[name].astype(float), name), "name": name}
            for dim, name in ALONG.items()
            if dim in dims and name in sweep
        },
        "failed": {name: _packed(sweep[name].astype(float), name) for name in ("diverged", "collapsed")},
        "too_large": too_large,
        "left_out": {key: int(sweep.attrs.get(key, 0)) for key in ("missing", "planned")},
        "styles": {net: _style(net, family) for net, family in zip(nets, families, strict=True)},
    }


def _labels(sweep: "xr.Dataset", dim: str) -> list[Any]:
    values = sweep[dim].values if dim in sweep.coords else np.arange(sweep.sizes[dim])
    found: list[Any] = values.tolist()
    return found


def _title(variable: "xr.DataArray", name: str) -> str:
    units = str(variable.attrs.get("units", "1"))
    words = str(variable.attrs.get("long_name") or name.replace("_", " "))
    words = f"{name[0]}: {words}" if name.partition("_")[0] in ("D", "G", "R") and name not in words else words
    return words + (f" ({units})" if units not in ("1", "") else "")


def _packed(variable: "xr.DataArray", name: str) -> dict[str, Any]:
    """Numbers as float32, little-endian, in base64: a third of what they take as text. NaN stays NaN."""
    data = b64encode(np.ascontiguousarray(variable.values, "<f4").tobytes()).decode()
    return {"dims": list(variable.dims), "title": _title(variable, name), "data": data}


def _style(net: str, architecture: str) -> dict[str, str]:
    style = look(net, architecture)
    symbol, dash = SYMBOLS[MARKERS.index(style["marker"])], LINES[DASHES.index(style["linestyle"])]
    return {"color": to_hex(style["color"]), "symbol": symbol, "dash": dash}


def deformed(dataset: "xr.Dataset") -> dict[str, Any]:
    """Sample images of a dataset, deformed: by sample and cut a list of pictures, of the displacements beside it.

    Each is one fixed field of that cut, scaled. Nothing for data that are no pictures.
    """
    import torch

    from relative_stability.figures.diffeomorphisms import clearest, useful_cuts
    from relative_stability.perturbations.base import probes
    from relative_stability.perturbations.diffeomorphism import Diffeomorphism
    from relative_stability.perturbations.temperature import displacement, temperature_range

    n = int(dataset.sizes["y"])
    if n < SMALLEST:
        return {}
    chosen = clearest(dataset)[: 4 if n <= SMALL else 1]
    pixels = dataset["images"].values[chosen]
    images = torch.from_numpy(pixels).float() / (255 if pixels.dtype == np.uint8 else 1)
    cuts, frames = [], []
    for cut in useful_cuts(n):
        family, largest = Diffeomorphism(cut), displacement(temperature_range(n, cut)[1], n, cut)
        prepared = family.prepare(probes(family, tuple(images.shape[1:]), 0, range(len(images))), images)
        sizes = np.linspace(0, largest, FRAMES)
        moved = [images, *(family.apply(images, prepared, float(size)) for size in sizes[1:])]
        cuts.append({"cut": cut, "displacements": [round(float(size), 3) for size in sizes]})
        frames.append([[_png(picture.numpy()) for picture in step] for step in moved])
    names = dataset["class_names"].values[dataset["labels"].values[chosen]]
    return {"size": n, "samples": [str(name) for name in names], "cuts": cuts, "frames": frames}


def _png(picture: np.ndarray) -> str:
    """A picture (C, n, n), from 0 to 1, as the text of a PNG."""
    from PIL import Image

    pixels = np.round(255 * picture.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def page(data: Mapping[str, Any]) -> str:
    """The page. data: `sweeps`, each `described`, and `pictures`, `deformed` by dataset. Raises InputError without any
    sweep.
    """
    from plotly.offline import get_plotlyjs

    if not data["sweeps"]:
        raise InputError("the explorer has no sweep to show; define one in the config")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    # Inside a script only this could end it.
    embedded = json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    return template.render(plotly=get_plotlyjs(), script=SCRIPT.read_text(encoding="utf-8"), data=embedded)
