"""The report: one page of HTML with everything in it, which opens from disk and without the internet."""

import csv
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from jinja2 import Environment, StrictUndefined

from relative_stability.analysis.claims.page import (
    MEANING,
    RULES,
    by_claim,
    from_csv,
    left_out,
    number,
    shown,
    spoken,
)
from relative_stability.analysis.claims.verdicts import SIGNS
from relative_stability.analysis.collect import MADE_BY
from relative_stability.analysis.sweep import open_sweep
from relative_stability.core.provenance import software
from relative_stability.figures import AT_LARGEST_P, KINDS, shows

if TYPE_CHECKING:
    import xarray as xr

TEMPLATE = Path(__file__).with_name("report.html.j2")


class Picture(NamedTuple):
    """A figure on the page. image: PNG, base64."""

    name: str
    sweep: str
    caption: str
    image: str


class Stage(NamedTuple):
    """What a stage made. seconds: of its jobs, as far as they have been timed; longest: of one."""

    name: str
    results: int
    jobs: int
    seconds: int
    longest: int


def report(
    request: Mapping[str, Any],
    claims: str,
    figures: Sequence[str],
    sweeps: Sequence[str],
    stages: Sequence[tuple[str, int, Sequence[str]]],
) -> str:
    """The page, from files. request: of `Report`; figures: its pictures, in its order; stages: of `Report`."""
    entries = request["figures"]
    pictures = [picture(e["name"], e["kind"], e["facts"], Path(p)) for e, p in zip(entries, figures, strict=True)]
    timed = [stage(name, count, map(Path, benchmarks)) for name, count, benchmarks in stages]
    opened = [open_sweep(sweep) for sweep in sweeps]
    missing = {str(sweep.attrs["sweep"]): [_plain(sentence) for sentence in left_out(sweep)] for sweep in opened}
    made = {f"sweeps_{name}": value for name, value in makers(opened).items()}
    return page(Path(claims), pictures, timed, request["config"], made, _plain(RULES), missing)


def makers(sweeps: Iterable["xr.Dataset"]) -> dict[str, str]:
    """Versions, commits and devices that made the runs of sweeps, all of them."""
    found: dict[str, set[str]] = {name: set() for name in MADE_BY}
    for sweep, name in product(sweeps, MADE_BY):
        found[name] |= set(filter(None, str(sweep.attrs.get(name, "")).split(", ")))
    return {name: ", ".join(sorted(values)) for name, values in found.items() if values}


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


def picture(name: str, kind: str, facts: Mapping[str, Any], png: Path) -> Picture:
    """A figure from its file. facts: of its sweep."""
    return Picture(name, facts["sweep"], caption(kind, facts), b64encode(png.read_bytes()).decode())


def stage(name: str, results: int, benchmarks: Iterable[Path]) -> Stage:
    """What a stage's jobs took, by Snakemake's tables of them."""
    seconds = []
    for path in benchmarks:
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                seconds += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    return Stage(name, results, len(seconds), round(sum(seconds)), round(max(seconds, default=0)))


def duration(seconds: int) -> str:
    """In words.

    >>> duration(42), duration(754), duration(7500)
    ('42 s', '13 min', '2.1 h')
    """
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def page(
    claims: Path,
    pictures: Sequence[Picture],
    stages: Sequence[Stage],
    config: Mapping[str, Any],
    made: Mapping[str, str],
    rules: str,
    missing: Mapping[str, Sequence[str]],
) -> str:
    """The page. claims: the table as CSV; made: what made the sweeps; rules: of the verdicts; missing: see `left_out`,
    by sweep.
    """
    rows = from_csv(claims.read_text(encoding="utf-8"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["duration"] = duration
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        sweeps=list(dict.fromkeys(p.sweep for p in pictures)),
        claims=[
            {
                "name": name,
                "spoken": spoken(those),
                "meaning": MEANING.get(number(name), ""),
                "rows": [shown(row) for row in those],
            }
            for name, those in by_claim(rows).items()
        ],
        unclaimed=[shown(row) for row in rows if row.verdict not in SIGNS],
        counts=Counter(row.verdict for row in rows),
        rules=rules,
        missing=missing,
        pictures=pictures,
        stages=stages,
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100),
        made={**software(), **made},
    )


def _plain(text: str) -> str:
    return text.replace("**", "")
