"""Figures by kind. Each kind is a module with two functions: `numbers`, from what was measured to what is drawn, and
`draw`, from those numbers to a matplotlib Figure. Neither reads files.
"""

import ast
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relative_stability.core.errors import InputError, nearest

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

os.environ["MPLBACKEND"] = "agg"  # figures are files; a notebook sets what may not be installed here

# kind: what it is drawn from, a sweep or several, its first dataset, the curves of its run at the largest P, or the net
# of that run with its dataset
KINDS = {
    "R_vs_P": "sweep",
    "boundary": "run",
    "claims": "sweeps",
    "compression": "sweep",
    "depth": "sweep",
    "diffeomorphisms": "dataset",
    "dynamics": "sweep",
    "error_vs_P": "sweep",
    "error_vs_R": "sweep",
    "explaining": "sweeps",
    "families": "sweeps",
    "linear_error": "sweep",
    "linear_stability": "sweep",
    "neurons": "run",
    "stability_vs_P": "sweep",
    "stability_vs_displacement": "sweep",
    "twins": "net",
}
MODULES = {"claims": "claims_table"}  # of kinds that are not called after theirs
RULES = {"dataset": ["prepare"], "run": ["train"], "net": ["prepare", "train", "train"]}  # that make these, or: collect
CODE = ("training/gradient_flow/linear_model", "analysis/statistics", "analysis/sweep")  # is in all figures
CODE_OF = {"claims": ("analysis/claims", "analysis/explaining"), "explaining": ("analysis/explaining",)}  # and in some
AT_LARGEST_P = ("depth", "dynamics", "stability_vs_displacement")  # kinds that show the runs of that size alone
ANIMATED = ("neurons",)  # kinds that have a third function, `animate`, from those numbers to a film


def draw(
    kind: str,
    sources: Sequence[str],
    digests: Sequence[str] = (),
    select: Mapping[str, Sequence[Any]] | None = None,
    size: str = "slide",
) -> tuple["xr.Dataset", "Figure"]:
    """The numbers drawn and the figure.

    sources: the files that it is drawn from, as KINDS says; digests: what they must be made from; select: by dimension
    of a sweep, the values that are drawn; size: one of `style.SIZES`.
    """
    from relative_stability.analysis.sweep import selected
    from relative_stability.core.store import expect
    from relative_stability.figures.style import apply_style

    if kind not in KINDS:
        raise InputError(f"figure {kind!r} is unknown; {nearest(kind, KINDS)}")
    module = _module(kind)
    apply_style(size)
    rules = RULES.get(KINDS[kind]) or ["collect"] * len(sources)
    opened = []
    for k, (path, rule) in enumerate(zip(sources, rules, strict=True)):
        found, made = _open(path, rule)
        if digests:
            expect(path, made, digests[k], rule)
        opened.append(selected(found, select or {}) if rule == "collect" else found)
    drawn: xr.Dataset = module.numbers(*([opened] if KINDS[kind] == "sweeps" else opened))
    figure: Figure = module.draw(drawn)
    return drawn, figure


def plot(result: "xr.Dataset", size: str = "slide") -> "Figure":
    """The figure of what `measure` has found: of one net, or of several along a dimension `net`.

    D, G and R against magnitude, or against depth where layers were measured; of several nets with test errors, the
    error against R. size: one of `style.SIZES`. Figures of anything else that is drawn keep their look.

    >>> import torch, relative_stability as rs
    >>> images = torch.randn(20, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> len(plot(rs.measure(torch.nn.AvgPool2d(4), images, displacement=[0.5, 1])).axes)
    3
    """
    import matplotlib as mpl

    with mpl.rc_context():
        module = import_module(f"relative_stability.figures.{'several_nets' if 'net' in result.dims else 'single_net'}")
        from relative_stability.figures.style import apply_style

        apply_style(size)
        figure: Figure = module.draw(result)
    return figure


def animate(kind: str, numbers: str) -> "FuncAnimation":
    """The film of a figure. numbers: the file of the numbers drawn."""
    from relative_stability.core.store import open_dataset
    from relative_stability.figures.style import apply_style

    apply_style()
    film: FuncAnimation = _module(kind).animate(open_dataset(numbers, "figure"))
    return film


def _module(kind: str) -> Any:
    return import_module(f"relative_stability.figures.{MODULES.get(kind, kind)}")


def _open(path: str, rule: str) -> tuple[Any, Mapping[str, Any]]:
    """What a file holds, and its attributes."""
    from relative_stability.analysis.sweep import open_sweep
    from relative_stability.core.store import open_dataset, read_tensors

    if path.endswith(".safetensors"):
        return read_tensors(path, rule)
    found = open_sweep(path) if rule == "collect" else open_dataset(path, rule)
    return found, found.attrs


@cache
def shows(kind: str) -> str:
    """What a figure shows: the first line of its module, which takes no import of what draws."""
    text = Path(__file__).with_name(f"{MODULES.get(kind, kind)}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]


def caption(kind: str, facts: Mapping[str, Any]) -> str:
    """What a figure shows, and of which runs. facts: see `Figure.facts`."""
    shown = shows(kind)
    datasets, nets = ", ".join(facts["datasets"]), ", ".join(facts["nets"])
    if KINDS[kind] == "dataset":
        return f"{shown} Dataset: {facts['datasets'][0]}."
    sizes, seeds = facts["P"], facts["seeds"]
    if KINDS[kind] in ("run", "net"):
        return f"{shown} Data: {facts['datasets'][0]}; net: {facts['nets'][0]}; P = {sizes[-1]}; the first seed."
    span = f"P from {sizes[0]} to {sizes[-1]} ({len(sizes)} values)"
    if len(sizes) == 1 or kind in AT_LARGEST_P:
        span = f"P = {sizes[-1]}"
    runs = f"{seeds} seed{'s' if seeds > 1 else ''}"
    gaps = f" Of these sweeps, {facts['missing']} nets are not there yet." if facts.get("missing") else ""
    return f"{shown} Data: {datasets}; nets: {nets}; {span}; {runs}; perturbation: {facts['perturbation']}.{gaps}"
