"""The claims on one page for slides: on which net, with its number, the interval, and the verdict."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.analysis.claims.diffeomorphisms import check_all
from relative_stability.analysis.claims.verdicts import SIGNS
from relative_stability.analysis.sweep import left_out
from relative_stability.figures.style import new_figure, scaled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = {"holds": "#cfe8dd", "fails": "#f3c9ab", "undecided": "white", "open": "#e4e7ea"}
WIDTH, HEIGHT, LINE = 1.5, 0.55, 0.17  # inches of a cell, and of a line of small print
LETTERS = 16  # of small print, to an inch
FEW = 8  # subjects that stand side by side, with claims below each other; more of them stand in rows


def numbers(sweeps: Sequence[xr.Dataset]) -> xr.Dataset:
    """Value, interval and verdict of every claim: (subject, claim); "" and NaN where there is no such claim."""
    rows = [row for row in check_all(sweeps) if row.verdict in SIGNS]
    subjects = list(dict.fromkeys(row.subject for row in rows))
    claims = sorted(dict.fromkeys((row.claim, row.quantity, row.expected) for row in rows), key=lambda c: c[0])
    shape = len(subjects), len(claims)
    found, verdict = np.full((*shape, 3), np.nan), np.full(shape, "", dtype="U12")
    for row in rows:
        place = subjects.index(row.subject), claims.index((row.claim, row.quantity, row.expected))
        if not np.isfinite(found[place][0]):  # what several sweeps bear on, the first that has a number says
            found[place], verdict[place] = (row.value, row.low, row.high), row.verdict
    along = ("subject", "claim")
    drawn = xr.Dataset(
        {
            "estimate": ((*along, "of"), found, {"long_name": "value and 95 % interval over seeds", "units": "1"}),
            "verdict": (along, verdict),
            "statement": ("claim", [claim for claim, _, _ in claims]),
            "quantity": ("claim", [quantity for _, quantity, _ in claims]),
            "expected": ("claim", [expected for _, _, expected in claims]),
        },
        {"subject": subjects, "of": ["value", "low", "high"]},
    )
    gaps = [f"{sweep.attrs.get('sweep', '')}: {left_out(sweep)}" for sweep in sweeps if left_out(sweep)]
    drawn.attrs = {"left_out": "; ".join(gaps)}
    return drawn


def draw(numbers: xr.Dataset) -> "Figure":
    """A cell is the number, its interval and the verdict, as a shade and as a sign."""
    cells = numbers.transpose("claim", "subject", "of")
    claims = [
        (str(one["statement"].values), f"{one['quantity'].values}; claimed: {one['expected'].values}")
        for one in (numbers.isel(claim=k) for k in range(numbers.sizes["claim"]))
    ]
    subjects = [(str(subject), "") for subject in numbers["subject"].values]
    labels, heads, wide = claims, subjects, 4.5
    if len(subjects) > FEW:
        cells, labels, heads, wide = cells.transpose("subject", "claim", "of"), subjects, claims, 2.5
    above = [_wrapped(head, WIDTH) for head in heads]
    top = LINE * (1 + max((head.count("\n") + 1 for head in above), default=1))
    figure, panels = new_figure(1, 1)
    figure.set_size_inches(scaled(wide + WIDTH * len(heads) + 0.3), scaled(top + HEIGHT * len(labels) + 1.0))
    axes = panels[0, 0]
    axes.set(xlim=(-wide / WIDTH, max(len(heads), 1)), ylim=(len(labels), -top / HEIGHT), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for k, head in enumerate(above):
        axes.text(k + 0.5, -0.1, head, ha="center", va="bottom", fontsize="x-small", linespacing=1.1)
    for j, label in enumerate(labels):
        axes.text(-wide / WIDTH, j + 0.5, _wrapped(label, wide), ha="left", va="center", fontsize="x-small")
        for k in range(len(heads)):
            _cell(axes, k, j, str(cells["verdict"].values[j, k]), *cells["estimate"].values[j, k])
    if not labels:
        axes.text(0, -0.5, "the sweep bears on no claim", ha="center", va="center")
    key = "    ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())
    left = f"\n{numbers.attrs['left_out']}" if numbers.attrs["left_out"] else ""
    figure.supxlabel(f"{key}\nvalue [95 % interval over seeds]{left}", fontsize="x-small")
    return figure


def _wrapped(label: tuple[str, str], inches: float) -> str:
    return "\n".join(line for part in label for line in wrap(part, int(LETTERS * inches)))


def _cell(axes: "Axes", column: int, row: int, verdict: str, *estimate: float) -> None:
    if verdict:
        x, low, high = [column + 0.03, column + 0.97], row + 0.05, row + 0.95
        axes.fill_between(x, low, high, facecolor=SHADES[verdict], edgecolor="0.75", linewidth=0.6)
        weight = "bold" if verdict == "fails" else "normal"
        words = f"{SIGNS[verdict]}  {_words(*estimate)}"
        axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", fontsize="x-small", weight=weight)


def _words(value: float, low: float, high: float) -> str:
    if not np.isfinite(value):
        return "no number"
    return f"{value:.2g}" + (f"\n[{low:.2g}, {high:.2g}]" if np.isfinite(low) else "")
