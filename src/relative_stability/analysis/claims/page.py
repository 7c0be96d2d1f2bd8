"""The table of claims as CSV, and as a page in Markdown that begins with what a person would say."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from relative_stability.analysis.claims.diffeomorphisms import MIN_NETS
from relative_stability.analysis.claims.verdicts import MIN_SIZES, SIGNS, Row

if TYPE_CHECKING:
    import xarray as xr

RULES = f"""A claim **holds** where the whole interval agrees with it, **fails** where the whole interval contradicts
it, and is **undecided** otherwise, or where there are fewer than two seeds, {MIN_SIZES} values of P (exponents) or
{MIN_NETS} nets (correlations). Intervals are 95 %, from resampling seeds, or nets where a row says so; averages over
seeds are geometric, and a value of zero, which has no logarithm, is not counted among the runs. Stability
is read at the cut and displacement (or magnitude) named in each row."""
COLUMNS = {
    "sweep": "sweep", "subject": "on", "quantity": "quantity", "value": "value", "interval": "95 % interval",
    "expected": "claimed", "runs": "runs", "verdict": "verdict",
}  # fmt: skip
PLACE = re.compile(r", (?:at P|both|cut|displacement|from P|magnitude)")  # where a quantity was read follows
# What it means where a claim fails, by its number.
MEANING = {
    "1": "A net that begins elsewhere prefers deformations or noise by its architecture, or by how batch normalisation "
    "is read; compare R after training with its own beginning.",
    "2": "A convolutional net above 1 has learnt to ignore noise more than deformations. Nets without batch "
    "normalisation often do so where P is small or training short; the code of Petrini et al. 2021 finds it for LeNet "
    "on MNIST too. A fully connected net below 1 would have learnt an invariance that nothing in it prepares for.",
    "3": "R then says little of the error of these nets, or D as much as R; errors that span less than a factor of two "
    "cannot tell.",
    "4": "In the paper R falls as G grows while D stays. Where D falls too, more data make the net smoother all over; "
    "where R does not fall, they teach it no more of deformations than of noise.",
    "5": "Stability is then not built up layer by layer, or is there before training.",
    "7": "The theory is of α → 0 or α → ∞, of wide nets and of large P: see which of these the sweep is far from.",
    "Learning curve": "More data do not lower the error: the nets are too small, or are not trained to the end.",
}


def number(claim: str) -> str:
    """What MEANING knows a claim by.

    >>> number("2. Fully connected nets do not follow"), number("Learning curve")
    ('2', 'Learning curve')
    """
    return claim.partition(".")[0]


def meanings(claims: Iterable[str]) -> dict[str, str]:
    """What it means where a claim fails, by claim; of claims of one number the first has it."""
    first: dict[str, str] = {}
    for claim in claims:
        first.setdefault(number(claim), claim)
    return {claim: MEANING[name] for name, claim in first.items() if name in MEANING}


def by_claim(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows that have a verdict, by claim; those of theory first, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.verdict in SIGNS:
            found.setdefault(row.claim, []).append(row)
    return dict(sorted(found.items(), key=lambda item: (not item[0][0].isdigit(), item[0][:2])))


def spoken(rows: Sequence[Row]) -> list[str]:
    """What was found of a claim, a sentence for each quantity that it is about. rows: its own."""
    said = []
    for quantity in dict.fromkeys(PLACE.split(row.quantity)[0] for row in rows):
        those = [row for row in rows if PLACE.split(row.quantity)[0] == quantity]
        twice = {name for name, count in Counter(row.subject for row in those).items() if count > 1}
        named = {
            verdict: "; ".join(
                f"{row.subject}{f' in sweep {row.sweep}' if row.subject in twice else ''} ({_number(row.value)})"
                for row in those
                if row.verdict == verdict
            )
            for verdict in ("fails", "undecided", "open")
        }
        counts, expected = Counter(row.verdict for row in those), those[0].expected
        if counts["open"]:
            said.append(f"{quantity}: {named['open']}")
            continue
        words = f"{quantity} ({expected}): holds in {counts['holds']} of {len(those)}"
        words += f". Fails: {named['fails']}" if named["fails"] else ""
        said.append(words + (f". Undecided: {named['undecided']}" if named["undecided"] else ""))
    return said


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return text.getvalue()


def _number(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:.3g}"


def to_markdown(rows: Sequence[Row], sweeps: Sequence["xr.Dataset"]) -> str:
    """The rows as a page: in short, then claim by claim with what it means where one fails.

    At its end stand the numbers of which nothing is claimed, and the runs that enter none.
    """
    claims, counts = by_claim(rows), Counter(row.verdict for row in rows)
    total = sum(counts[verdict] for verdict in ("holds", "fails", "undecided"))
    told = f"{counts['holds']} hold, {counts['fails']} fail and {counts['undecided']} are undecided"
    lines = ["# Claims", "", f"Of {total} statements {told}."]
    for claim, those in claims.items():
        lines += ["", f"- **{claim}**", *(f"  - {sentence}" for sentence in spoken(those))]
    lines += ["", RULES]
    for claim, those in claims.items():
        meaning = meanings(claims).get(claim)
        lines += ["", f"## {claim}", *(["", meaning] if meaning else []), "", *_table(those)]
    if rest := [row for row in rows if row.verdict not in SIGNS]:
        lines += ["", "## Numbers of which nothing is claimed", "", *_table(rest)]
    lines += ["", "## Nets"]
    for sweep in sweeps:
        lines += ["", f"Sweep `{sweep.attrs['sweep']}`: " + " ".join(left_out(sweep))]
    return "\n".join([*lines, ""])


def from_csv(text: str) -> list[Row]:
    """The rows of `to_csv`."""
    numbers: dict[str, Any] = {"value": float, "low": float, "high": float, "runs": int}
    read = csv.DictReader(io.StringIO(text))
    return [Row(**{key: numbers.get(key, str)(value) for key, value in row.items()}) for row in read]


def shown(row: Row) -> dict[str, str]:
    """A row as text, with its interval in words."""
    interval = f"{_number(row.low)} to {_number(row.high)}" if math.isfinite(row.low) else "–"
    text = {key: str(value) for key, value in row._asdict().items()}
    return text | {"value": _number(row.value), "interval": interval}


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        cells = shown(row) | {"verdict": f"{row.verdict}: {row.why}" if row.why else row.verdict}
        cells["quantity"] = row.quantity if row.verdict in SIGNS else f"{row.claim}: {row.quantity}"
        lines.append("| " + " | ".join(cells[column] for column in COLUMNS) + " |")
    return lines


def left_out(sweep: "xr.Dataset") -> list[str]:
    """Which nets of a sweep enter no number, and why: sentences, in Markdown."""
    return [*_missing(sweep), _diverged(sweep), *_collapsed(sweep), *_unmet(sweep)]


def _missing(sweep: "xr.Dataset") -> list[str]:
    missing, planned = (sweep.attrs.get(key, 0) for key in ("missing", "planned"))
    return [f"**{missing} of {planned} nets are not there yet**: the sweep is half done."] if missing else []


def _trained(sweep: "xr.Dataset") -> int:
    there = int(sweep["diverged"].size)
    return int(sweep.attrs["planned"] - sweep.attrs["missing"]) if sweep.attrs.get("missing") else there


def _diverged(sweep: "xr.Dataset") -> str:
    flags = sweep["diverged"]
    unit = "time" if "alpha" in sweep.dims else "epoch"
    found = [f"{place} ({unit} {moment:g})" for place, moment in _places(flags, sweep["diverged_epoch"])]
    total = _trained(sweep)
    if not found:
        return f"None of the {total} trained nets diverged."
    return f"**{len(found)} of the {total} trained nets diverged** and enter no number above: {'; '.join(found)}."


def _collapsed(sweep: "xr.Dataset") -> list[str]:
    flags = sweep["collapsed"]
    found = [place for place, _ in _places(flags, flags)]
    if not found:
        return []
    return [
        f"**{len(found)} of the {_trained(sweep)} trained nets collapsed** to an output that is the same for all "
        f"samples, and enter no number above: {'; '.join(found)}."
    ]


def _unmet(sweep: "xr.Dataset") -> list[str]:
    if "met" not in sweep:
        return []
    there = ~sweep["diverged"].astype(bool)
    if (sweep["stop_time"] <= sweep["fitted_time"]).where(there, True).all():
        return ["All other nets were followed to t*, where over a tenth of the training samples meet the margin."]
    flags = ~sweep["met"].astype(bool) & there
    found = [f"{place} (t = {moment:g})" for place, moment in _places(flags, sweep["stop_time"])]
    if not found:
        return ["All other nets were followed until every margin was met."]
    return [f"**Left at max_time with margins unmet**, and counted: {'; '.join(found)}."]


def _places(flags: "xr.DataArray", epochs: "xr.DataArray") -> Iterable[tuple[str, float]]:
    """Where a flag of a run is set, in words, with the value of `epochs` there."""
    epochs = epochs.transpose(*flags.dims)
    for index in np.argwhere(flags.values.astype(bool)):
        place = {str(dim): flags[dim].values[i] for dim, i in zip(flags.dims, index, strict=True)}
        words = f"{place['dataset']}, {place['net']}, P = {place['P']}, seed {place['seed']}"
        words += f", alpha {place['alpha']:g}" if "alpha" in place else ""
        yield words, float(epochs.values[tuple(index)])
