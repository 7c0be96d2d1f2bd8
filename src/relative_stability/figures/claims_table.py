"""The claims on one page for slides: on which net, with its number, the interval, and the verdict."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import seaborn as sns
import xarray as xr

from relative_stability.analysis.claims.diffeomorphisms import check_all
from relative_stability.analysis.claims.verdicts import SIGNS
from relative_stability.analysis.sweep import left_out
from relative_stability.figures.style import DARK, finish, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHADES = {"holds": "#cfe8dd", "fails": "#f3c9ab", "undecided": "white", "open": "#e4e7ea"}
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
    from matplotlib.figure import Figure

    told = zip(*(map(str, numbers[name].values) for name in ("statement", "quantity", "expected")), strict=True)
    wide = len(numbers["subject"]) > FEW
    columns = 22 if wide else 90
    claims = [f"{fill(plain(s), columns)}\n{fill(plain(f'{q}; claimed: {e}'), columns)}" for s, q, e in told]
    subjects = [fill(plain(subject).replace("_", "_\u200b"), 18) for subject in numbers["subject"].values]
    cells, verdicts = numbers["estimate"].values, numbers["verdict"].values
    words = np.array(
        [[_words(v, *c) for v, c in zip(*line, strict=True)] for line in zip(verdicts, cells, strict=True)]
    )
    codes = np.array([[[*SIGNS].index(v) if v else np.nan for v in line] for line in verdicts], float)
    rows, heads = (subjects, claims) if wide else (claims, subjects)
    em = mpl.rcParams["legend.fontsize"] / 72
    longest = max([len(part) for row in rows for part in row.split("\n")], default=9)
    width = em * (9.5 * len(heads) + 0.55 * longest)
    lines = max([row.count("\n") + 1 for row in rows], default=1), max([h.count("\n") + 1 for h in heads], default=1)
    figure = Figure(figsize=(max(width, 40 * em), em * (1.35 * max(lines[0], 2) * len(rows) + 1.4 * lines[1])))
    axes = figure.subplots()
    if codes.size:
        turned = codes if wide else codes.T
        sns.heatmap(turned, ax=axes, annot=words if wide else words.T, fmt="", cmap=[SHADES[v] for v in SIGNS], vmin=0,
                    vmax=len(SIGNS) - 1, cbar=False, linewidths=2, annot_kws={"color": DARK, "size": em * 72},
                    xticklabels=heads, yticklabels=rows)  # fmt: skip
    else:
        axes.text(0.5, 0.5, "the sweep bears on no claim", ha="center", va="center")
        axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0, labelsize=em * 72, labeltop=True, labelbottom=False)
    axes.tick_params(axis="y", labelrotation=0, pad=0.53 * 72 * em * longest)
    for label in axes.get_yticklabels():
        label.set(ha="left", multialignment="left")
    axes.spines[:].set_visible(False)
    key = "    ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())
    return finish(figure, f"{key}    number [95 % interval over seeds]\n{plain(numbers.attrs['left_out'])}")


def _words(verdict: str, value: float, low: float, high: float) -> str:
    if not verdict:
        return ""
    number = f"{value:.2g}" if np.isfinite(value) else "no number"
    return f"{SIGNS[verdict]} {number}" + (f"\n[{low:.2g}, {high:.2g}]" if np.isfinite(low) else "")
