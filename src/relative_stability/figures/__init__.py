"""Figures by kind. Each kind is a module with two functions: `numbers`, from what was measured to what is drawn, and
`draw`, from those numbers to a matplotlib Figure. Neither reads files.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from relative_stability.errors import InputError, nearest

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

# kind: what it is drawn from, the sweep, its datasets, or the curves of its run at the largest P
KINDS = {
    "boundary": "run",
    "compression": "sweep",
    "depth": "sweep",
    "diffeomorphisms": "datasets",
    "dynamics": "sweep",
    "error_vs_P": "sweep",
    "error_vs_R": "sweep",
    "linear_error": "sweep",
    "linear_stability": "sweep",
    "neurons": "run",
    "stability_vs_P": "sweep",
    "stability_vs_displacement": "sweep",
    "twins": "datasets",
}
RULES = {"sweep": "collect", "datasets": "prepare", "run": "train"}  # that make these
AT_LARGEST_P = ("depth", "dynamics", "stability_vs_displacement")  # kinds that show the runs of that size alone
ANIMATED = ("neurons",)  # kinds that have a third function, `animate`, from those numbers to a film


def draw(kind: str, sources: Sequence[str], digests: Sequence[str] = ()) -> tuple["xr.Dataset", "Figure"]:
    """The numbers drawn and the figure.

    sources: the files that it is drawn from, as KINDS says; digests: what they must be made from.
    """
    from relative_stability.figures.style import apply_style
    from relative_stability.store import expect, open_dataset
    from relative_stability.sweep import open_sweep

    if kind not in KINDS:
        raise InputError(f"figure {kind!r} is unknown; {nearest(kind, KINDS)}")
    module = import_module(f"relative_stability.figures.{kind}")
    apply_style()
    rule = RULES[KINDS[kind]]
    opened = open_sweep(sources[0]) if rule == "collect" else open_dataset(sources[0], rule)
    if digests:
        expect(sources[0], opened.attrs, digests[0], rule)
    drawn: xr.Dataset = module.numbers(opened)
    figure: Figure = module.draw(drawn)
    return drawn, figure


def animate(kind: str, numbers: str) -> "FuncAnimation":
    """The film of a figure. numbers: the file of the numbers drawn."""
    from relative_stability.figures.style import apply_style
    from relative_stability.store import open_dataset

    apply_style()
    film: FuncAnimation = import_module(f"relative_stability.figures.{kind}").animate(open_dataset(numbers, "figure"))
    return film
