"""What is shown in the end, under names without digests: sweeps, figures, claims, and the report that has them all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from relative_stability.core.store import as_json
from relative_stability.figures import ANIMATED, CODE, CODE_OF, KINDS, caption, shows
from relative_stability.plan.digests import STAGES, source_digest
from relative_stability.plan.runs import RESULTS, Measurement, Request, Result, Run, benchmark
from relative_stability.plan.seeds import parse_seeds

# Dimensions of which a figure may show some values alone.
SELECTED = ("dataset", "net", "P", "cut", "displacement", "magnitude")


class Published(Result):
    """A result whose path has no digest. Its mark has one, and is there while it tells the truth."""

    path: str
    sweeps: Sequence["Sweep"] = ()  # what it is made from

    @property
    def mark(self) -> str:
        return f"{RESULTS}/.requests/{Path(self.path).relative_to(RESULTS)}.{self.digest}"

    @property
    def files(self) -> list[str]:
        """All files of the result."""
        return [self.path]

    @property
    def log(self) -> str:
        """Of the job that makes it."""
        return f"{RESULTS}/logs/{Path(self.path).relative_to(RESULTS).with_suffix('.log')}"


@dataclass(frozen=True)
class Sweep(Published):
    """A named grid of runs with what is measured on them."""

    name: str
    measurements: Sequence[Measurement]
    missing: int = 0  # nets of the config that are not there yet, where a sweep is drawn half done
    planned: int = 0  # nets of the config, of which these are missing

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        labels = [[m.run.place, m.run.digest, m.observable, m.digest] for m in self.measurements]
        gaps = {"missing": self.missing, "planned": self.planned} if self.missing else {}
        return {"stage": "collect", "version": STAGES["collect"], "sweep": self.name, "measurements": labels, **gaps}

    @property
    def path(self) -> str:  # type: ignore[override]
        return f"{RESULTS}/sweeps/{self.name}.nc"

    @property
    def parts(self) -> list[str]:
        """The files that it is collected from."""
        return list(dict.fromkeys(file for m in self.measurements for file in (m.path, m.run.curves)))

    @cached_property
    def runs_json(self) -> str:
        """For each run its place, labels, path and digest of its curves, and by observable those of its stability."""
        rows: dict[str, Request] = {}
        for m in self.measurements:
            labels = {
                "place": m.run.place,
                "dataset": m.run.dataset.name,
                "net": m.run.net,
                "architecture": m.run.net_options["architecture"],
                "pretrained": "pretrained" in m.run.net_options,
                "P": m.run.P,
                "seeds": m.run.seeds,
                "curves": [m.run.curves, m.run.digest],
                "stability": {},
            }
            rows.setdefault(m.run.curves, labels)["stability"][m.observable] = [m.path, m.digest]
        return as_json(list(rows.values()))

    @cached_property
    def values(self) -> dict[str, list[Any]]:
        """What lies along its dimensions, as far as a config says so."""
        runs, stability = [m.run for m in self.measurements], self.measurements[0].stability
        along: dict[str, list[Any]] = {
            "dataset": list(dict.fromkeys(run.dataset.name for run in runs)),
            "net": list(dict.fromkeys(run.net for run in runs)),
            "P": sorted({run.P for run in runs}),
        }
        return along | {axis: sorted(stability[axis]) for axis in SELECTED[3:] if axis in stability}


@dataclass(frozen=True)
class Figure(Published):
    """A figure of a sweep, or of several.

    select: by dimension, the values that are drawn, of those without an entry all; size: see `figures.style`.
    """

    name: str
    kind: str
    shown: Sequence[Sweep]
    select: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    size: str = "slide"

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        besides = (
            CODE_OF.get(self.kind, ())
            if self.sweeps
            else ("stability/evaluation_mode", "perturbations", "core/randomness")
        )
        code = source_digest("figures/*", *CODE, *besides)
        return {
            "stage": "figure",
            "code": code,
            "name": self.name,
            "kind": self.kind,
            "select": {axis: list(values) for axis, values in self.select.items()},
            "size": self.size,
            "drawn_from": [digest for _, digest in self.sources],
        }

    @property
    def path(self) -> str:  # type: ignore[override]
        return f"{RESULTS}/figures/{self.name}.pdf"

    @property
    def animated(self) -> bool:
        """Whether there is a film of it."""
        return self.kind in ANIMATED

    @property
    def files(self) -> list[str]:
        film = [".gif"] if self.animated else []
        return [self.path.replace(".pdf", suffix) for suffix in (".pdf", ".png", ".nc", *film)]

    @property
    def sweeps(self) -> Sequence[Sweep]:  # type: ignore[override]
        return self.shown if KINDS[self.kind] in ("sweep", "sweeps") else []

    @cached_property
    def runs(self) -> list[Run]:
        """What is selected of the runs of its sweeps."""
        runs = {m.run.curves: m.run for sweep in self.shown for m in sweep.measurements}.values()
        labels = [{"dataset": run.dataset.name, "net": run.net, "P": run.P} for run in runs]
        return [
            run
            for run, label in zip(runs, labels, strict=True)
            if all(label[axis] in self.select.get(axis, [label[axis]]) for axis in label)
        ]

    @property
    def sources(self) -> list[tuple[str, str]]:
        """The files that it is drawn from, see `figures.KINDS`, and what they must have been made from."""
        run = max(self.runs, key=lambda run: run.P)
        dataset = (self.runs[0].dataset.path, self.runs[0].dataset.digest)
        return {
            "run": [(run.curves, run.digest)],
            "dataset": [dataset],
            "net": [(run.dataset.path, run.dataset.digest), (run.curves, run.digest), (run.weights, run.digest)],
        }.get(KINDS[self.kind]) or [(sweep.path, sweep.digest) for sweep in self.shown]

    @cached_property
    def facts(self) -> Request:
        """What it shows, for captions."""
        runs = self.runs
        families = dict.fromkeys(str(sweep.measurements[0].stability["perturbation"]) for sweep in self.shown)
        return {
            "sweep": self.shown[0].name,
            "datasets": list(dict.fromkeys(run.dataset.name for run in runs)),
            "nets": list(dict.fromkeys(run.net for run in runs)),
            "P": sorted({run.P for run in runs}),
            "seeds": len({seed for seeds in {run.seeds for run in runs} for seed in parse_seeds(seeds)}),
            "perturbation": ", ".join(families),
            "missing": sum(sweep.missing for sweep in self.shown),
            "shows": shows(self.kind),
        }

    @property
    def caption(self) -> str:
        """What it shows, and of which runs."""
        return caption(self.kind, self.facts)


@dataclass(frozen=True)
class Claims(Published):
    """The claims, checked on every sweep."""

    sweeps: Sequence[Sweep]
    path: str = f"{RESULTS}/claims.md"

    @property
    def files(self) -> list[str]:
        return [self.path, self.path.replace(".md", ".csv")]

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        code = source_digest("analysis/claims", "analysis/explaining", "analysis/statistics", "analysis/sweep")
        return {"stage": "claims", "code": code, "sweeps": [sweep.request for sweep in self.sweeps]}


@dataclass(frozen=True)
class Explorer(Published):
    """The page to look into sweeps with."""

    sweeps: Sequence[Sweep]
    path: str = f"{RESULTS}/explorer.html"

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        code = source_digest(
            "figures/pages/explorer",
            "analysis/sweep",
            "figures/style",
            "figures/diffeomorphisms",
            "perturbations",
            suffixes=(".py", ".html.j2", ".js"),
        )
        return {"stage": "explorer", "code": code, "sweeps": [sweep.digest for sweep in self.sweeps]}

    @property
    def datasets(self) -> list[tuple[str, str]]:
        """Names and files of the datasets that are shown."""
        return list({m.run.dataset.name: m.run.dataset.path for s in self.sweeps for m in s.measurements}.items())


@dataclass(frozen=True)
class Report(Published):
    """The page that has them all: claims, figures, and the configuration."""

    claims: Claims
    figures: Sequence[Figure]
    config: Mapping[str, Any]
    path: str = f"{RESULTS}/report.html"

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        return {
            "stage": "report",
            "code": source_digest("figures/pages/report", suffixes=(".py", ".html.j2")),
            "claims": self.claims.digest,
            "figures": [{"name": f.name, "kind": f.kind, "digest": f.digest, "facts": f.facts} for f in self.figures],
            "config": dict(self.config),
        }

    @property
    def stages(self) -> list[tuple[str, int, list[str]]]:
        """The stages in their order: how many results each makes, and the benchmarks that say how long that took."""
        measurements = {m.path: m for sweep in self.claims.sweeps for m in sweep.measurements}.values()
        runs = {m.run.curves: m.run for m in measurements}.values()
        results: dict[str, Iterable[Any]] = {
            "prepare": {run.dataset.path: run.dataset for run in runs}.values(),
            "train": runs,
            "measure": measurements,
            "collect": self.claims.sweeps,
            "figure": self.figures,
            "check_claims": [self.claims],
        }
        timed = {name: [benchmark(one.log) for one in those] for name, those in results.items()}
        return [(name, len(those), those) for name, those in timed.items()]
