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

KINDS = ("error_vs_P", "error_vs_R", "neurons", "stability_vs_P", "stability_vs_displacement", "twins")


def draw(kind: str, sources: Sequence[str]) -> tuple["xr.Dataset", "Figure"]:
    """The numbers drawn and the figure. sources: the sweep's file, or for `twins` the files of its datasets."""
    from relative_stability.figures.style import apply_style
    from relative_stability.store import open_dataset
    from relative_stability.sweep import open_sweep

    if kind not in KINDS:
        raise InputError(f"figure {kind!r} is unknown; {nearest(kind, KINDS)}")
    module = import_module(f"relative_stability.figures.{kind}")
    apply_style()
    opened = open_dataset(sources[0], "prepare") if kind == "twins" else open_sweep(sources[0])
    drawn: xr.Dataset = module.numbers(opened)
    figure: Figure = module.draw(drawn)
    return drawn, figure
