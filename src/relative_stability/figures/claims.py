"""The claims on one page for slides: what they are about in rows, claims in columns, with numbers and verdicts."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from relative_stability.claims import check_all
from relative_stability.figures.style import new_figure, scaled
from relative_stability.sweep import left_out
from relative_stability.verdicts import SIGNS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHADES = {"holds": "#cfe8dd", "fails": "#f3c9ab", "undecided": "white", "open": "#e4e7ea"}
HEAD, WIDTH = 20, 1.9  # letters to a line of a head, and inches of a column


def numbers(sweeps: Sequence[xr.Dataset]) -> xr.Dataset:
    """Value, interval and verdict of every claim: (subject, claim); "" and NaN where there is no such claim."""
    rows = [row for row in check_all(sweeps) if row.verdict in SIGNS]
    subjects = list(dict.fromkeys(row.subject for row in rows))
    claims = list(dict.fromkeys((row.claim, row.quantity, row.expected) for row in rows))
    shape = len(subjects), len(claims)
    found, verdict = np.full((*shape, 3), np.nan), np.full(shape, "", dtype="U12")
    for row in rows:
        place = subjects.index(row.subject), claims.index((row.claim, row.quantity, row.expected))
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
    rows, columns = numbers.sizes["subject"], numbers.sizes["claim"]
    heads = [
        "\n".join([*wrap(str(one["statement"].values), HEAD), "", *wrap(str(one["quantity"].values), HEAD),
                   *wrap(f"claimed: {one['expected'].values}", HEAD)])
        for one in (numbers.isel(claim=k) for k in range(columns))
    ]  # fmt: skip
    subjects = ["\n".join(wrap(str(subject), HEAD)) for subject in numbers["subject"].values]
    top = 0.15 * (1 + max((head.count("\n") + 1 for head in heads), default=1))
    figure, panels = new_figure(1, 1)
    figure.set_size_inches(scaled(WIDTH * (columns + 1)), scaled(top + 0.5 * rows + 0.7))
    axes = panels[0, 0]
    axes.set(xlim=(-1, max(columns, 1)), ylim=(rows, -top / 0.5), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for k, head in enumerate(heads):
        axes.text(k + 0.5, -0.1, head, ha="center", va="bottom", fontsize="xx-small", linespacing=1.1)
    for j, subject in enumerate(subjects):
        axes.text(-0.05, j + 0.5, subject, ha="right", va="center", fontsize="x-small")
        for k in range(columns):
            verdict = str(numbers["verdict"].values[j, k])
            if verdict:
                axes.fill_between([k + 0.03, k + 0.97], j + 0.04, j + 0.96, color=SHADES[verdict], linewidth=0)
                axes.plot([k, k + 1, k + 1, k, k], [j, j, j + 1, j + 1, j], color="0.8", linewidth=0.6)
                words = _words(*numbers["estimate"].values[j, k])
                weight = "bold" if verdict == "fails" else "normal"
                text = f"{SIGNS[verdict]}  {words}"
                axes.text(k + 0.5, j + 0.5, text, ha="center", va="center", fontsize="x-small", weight=weight)
    if not rows:
        axes.text(0, -1, "the sweep bears on no claim", ha="center", va="center")
    key = "    ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())
    left = f"\n{numbers.attrs['left_out']}" if numbers.attrs["left_out"] else ""
    figure.supxlabel(f"{key}\nvalue [95 % interval over seeds]{left}", fontsize="x-small")
    return figure


def _words(value: float, low: float, high: float) -> str:
    if not np.isfinite(value):
        return "no number"
    return f"{value:.2g}" + (f"\n[{low:.2g}, {high:.2g}]" if np.isfinite(low) else "")
