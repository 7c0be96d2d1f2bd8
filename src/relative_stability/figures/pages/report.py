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
    RULES,
    by_claim,
    from_csv,
    left_out,
    meanings,
    number,
    shown,
    spoken,
)
from relative_stability.analysis.claims.verdicts import SIGNS, Row
from relative_stability.analysis.collect import MADE_BY
from relative_stability.analysis.sweep import open_sweep
from relative_stability.core.provenance import software
from relative_stability.core.store import open_dataset
from relative_stability.figures import ANIMATED, KINDS, caption, shows

if TYPE_CHECKING:
    import xarray as xr

TEMPLATE = Path(__file__).with_name("report.html.j2")
EXPLORER = "explorer.html"  # beside the report
PIXELS = 72  # of the page, to an inch of a figure: all stand at one scale, a point of their letters a pixel
# Kinds of figures that show a claim, by its number; all others stand by sweep.
SHOWN_BY = {
    "1": ("stability_vs_displacement",),
    "2": ("R_vs_P",),
    "3": ("error_vs_R",),
    "4": ("stability_vs_P",),
    "5": ("depth",),
    "6": ("families",),
    "7": ("linear_error", "linear_stability", "compression", "neurons", "boundary"),
    "Learning curve": ("error_vs_P",),
}
SEEN = {
    "R": "R", "R_depth": "R in depth", "R_dynamics": "R in training", "test_error": "test error",
    "compression_curve": "compression λ",
}  # fmt: skip
ALONG = ("layer", "snapshot", "time", "P", "displacement", "angle", "log_scale", "magnitude")
MOST = 12  # lines that are told one by one in place of a picture


class Picture(NamedTuple):
    """A figure on the page. alt: what is seen in it; image, film: PNG and GIF, base64; width: in pixels of the page."""

    name: str
    kind: str
    sweep: str
    caption: str
    alt: str
    image: str
    film: str
    width: int


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


def picture(name: str, kind: str, facts: Mapping[str, Any], png: Path) -> Picture:
    """A figure from its files: PNG, and beside it the numbers drawn and, of some kinds, a film. facts: of its sweep."""
    from PIL import Image

    with Image.open(png) as image:
        width = round(PIXELS * image.width / image.info["dpi"][0])
    film = _embedded(png.with_suffix(".gif")) if kind in ANIMATED else ""
    alt = seen(open_dataset(png.with_suffix(".nc"), "figure")) or shows(kind)
    return Picture(name, kind, facts["sweep"], caption(kind, facts), alt, _embedded(png), film, width)


def _embedded(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()


def seen(numbers: "xr.Dataset") -> str:
    """What is seen in a figure, in words: where its lines begin and end, or how its points go together."""
    if "correlation_R" in numbers:
        found = {
            f"{quantity} on {dataset}": float(numbers[f"correlation_{quantity}"].sel(dataset=dataset, of="value"))
            for quantity, dataset in product("RD", numbers["dataset"].values)
        }
        return "Correlation of log test error with log " + ", ".join(f"{k}: {v:.2f}" for k, v in found.items()) + "."
    name = next((name for name in SEEN if f"{name}_mean" in numbers), None)
    if name is None:
        return ""
    values = numbers[f"{name}_mean"].reset_coords(drop=True)
    values = values.sel(state="trained", drop=True) if "state" in values.dims else values
    axis = next(dim for dim in ALONG if dim in values.dims)
    others = [str(dim) for dim in values.dims if dim != axis]
    told = []
    for labels, line in values.to_series().dropna().groupby(level=others, sort=False):
        of = [str(label) for dim, label in zip(others, labels, strict=True) if values.sizes[dim] > 1 or dim == "net"]
        told.append(f"{', '.join(of)} from {line.iloc[0]:.2g} to {line.iloc[-1]:.2g}")
    return f"{SEEN[name]} along {axis}: " + ("; ".join(told) if len(told) <= MOST else f"{len(told)} lines") + "."


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
    pictures = [picture for picture in pictures if picture.kind != "claims"]  # the tables say the same
    claimed = by_claim(rows)
    beside, meaning = arranged(claimed, pictures), meanings(claimed)
    placed = {picture.name for those in beside.values() for picture in those}
    rest = [picture for picture in pictures if picture.name not in placed]
    return template.render(
        claims=[
            {
                "name": name,
                "spoken": spoken(those),
                "meaning": meaning.get(name),
                "rows": [shown(row) for row in those],
                "pictures": beside[name],
            }
            for name, those in claimed.items()
        ],
        rest={sweep: [p for p in rest if p.sweep == sweep] for sweep in dict.fromkeys(p.sweep for p in rest)},
        unclaimed=[shown(row) for row in rows if row.verdict not in SIGNS],
        counts=Counter(row.verdict for row in rows),
        rules=rules,
        missing=missing,
        stages=stages,
        explorer=EXPLORER,
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100),
        made={**software(), **made},
    )


def arranged(claims: Mapping[str, Sequence[Row]], pictures: Sequence[Picture]) -> dict[str, list[Picture]]:
    """The figures that show each claim, of sweeps that bear on it; a figure stands at the first claim that it shows."""
    found: dict[str, list[Picture]] = {}
    left = list(pictures)
    for claim, rows in claims.items():
        sweeps = {row.sweep for row in rows}
        found[claim] = [
            picture
            for picture in left
            if picture.kind in SHOWN_BY.get(number(claim), ())
            and (picture.sweep in sweeps or KINDS[picture.kind] == "sweeps")
        ]
        left = [picture for picture in left if picture not in found[claim]]
    return found


def _plain(text: str) -> str:
    return text.replace("**", "")
