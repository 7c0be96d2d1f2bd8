"""Figures by kind. Each kind is a module with two functions: `numbers`, from what was measured to what is drawn, and
`draw`, from those numbers to a matplotlib Figure. Neither reads files.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from relative_stability.errors import InputError, nearest

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

# kind: what it is drawn from, the sweep or its datasets
KINDS = {
    "error_vs_P": "sweep",
    "error_vs_R": "sweep",
    "neurons": "sweep",
    "stability_vs_P": "sweep",
    "stability_vs_displacement": "sweep",
    "twins": "datasets",
}


def draw(kind: str, sources: Sequence[str], digests: Sequence[str] = ()) -> tuple["xr.Dataset", "Figure"]:
    """The numbers drawn and the figure.

    sources: the file of the sweep, or those of its datasets, as KINDS says; digests: what they must be made from.
    """
    from relative_stability.figures.style import apply_style
    from relative_stability.store import expect, open_dataset
    from relative_stability.sweep import open_sweep

    if kind not in KINDS:
        raise InputError(f"figure {kind!r} is unknown; {nearest(kind, KINDS)}")
    module = import_module(f"relative_stability.figures.{kind}")
    apply_style()
    opened = open_sweep(sources[0]) if KINDS[kind] == "sweep" else open_dataset(sources[0], "prepare")
    if digests:
        expect(sources[0], opened.attrs, digests[0], "collect" if KINDS[kind] == "sweep" else "prepare")
    drawn: xr.Dataset = module.numbers(opened)
    figure: Figure = module.draw(drawn)
    return drawn, figure
