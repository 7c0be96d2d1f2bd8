"""What can be taken from the sweep file of last time, so that only the files of other runs are read.

Snakemake deletes an output before its job runs; one that is flagged `update` it puts back when the job fails, but with
a new time, as if it were up to date. So the file has a second name, of no rule's output: a hard link, which takes no
space.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relative_stability.analysis.collect import positions, spans
from relative_stability.analysis.parts import Part
from relative_stability.analysis.sweep import AXES
from relative_stability.core.logs import log
from relative_stability.core.store import Variable, read
from relative_stability.plan.digests import source_digest

PARTS = "parts"  # the attribute of a sweep that says how to take it apart again
_USELESS = (AttributeError, LookupError, OSError, TypeError, ValueError)  # what a file of another kind may lead to


def head(part: Part) -> str:
    """All of a part but its numbers and labels, as JSON. Runs that are alike have the same."""
    sizes: dict[str, int] = {}
    variables = {}
    for name, (dims, values, *words) in part.variables.items():
        sizes |= {dim: n for dim, n in zip(dims, values.shape, strict=True) if dim not in AXES}
        variables[name] = [dims, "" if values.dtype.kind == "U" else values.dtype.str, *words]
    return json.dumps({"attributes": part.attributes, "sizes": sizes, "variables": variables})


def contents(heads: Mapping[str, str]) -> str:
    """The attribute PARTS. heads: those of all runs, by place."""
    numbers = {text: k for k, text in enumerate(dict.fromkeys(heads.values()))}
    of = {place: numbers[text] for place, text in heads.items()}
    return json.dumps({"code": _code(), "heads": [json.loads(text) for text in numbers], "of": of})


def open_former(path: str, request: Mapping[str, Any]) -> "Former | None":
    """The sweep file of last time, or None where it is of no use for this request: the runs have files of their own."""
    if not Path(path).is_file():
        return None
    try:
        return Former(path, request)
    except _USELESS as error:
        log.info("every run is read, as the former sweep is of no use: %s", error)
        return None


class Former:
    """A sweep that can be taken apart."""

    def __init__(self, path: str, request: Mapping[str, Any]) -> None:
        """Raises one of _USELESS if it cannot, or was made by another version than the one that is asked for."""
        self._time = Path(path).stat().st_mtime_ns
        self._arrays, attributes = read(path)
        made, parts = json.loads(attributes["request"]), json.loads(attributes[PARTS])
        if (made["version"], parts["code"]) != (request["version"], _code()):
            raise ValueError("it was made by another version")
        self._heads, self._of = parts["heads"], parts["of"]
        self._digests: dict[str, tuple[str, dict[str, str]]] = {}
        for place, run, observable, measurement in made["measurements"]:
            self._digests.setdefault(place, (run, {}))[1][observable] = measurement
        self._where = positions({axis: self._arrays[axis].values.tolist() for axis in AXES})

    def part(self, run: Mapping[str, Any]) -> Part | None:
        """The part of a run; None if this sweep has another one or none, or if a file of the run is newer.

        run: labels, place, and path and digest of its curves and, by observable, of its stability.
        """
        (curves, digest), stability = run["curves"], run["stability"]
        if self._digests.get(run["place"]) != (digest, {name: made[1] for name, made in stability.items()}):
            return None
        try:
            files = curves, *(made[0] for made in stability.values())
            if any(Path(path).stat().st_mtime_ns > self._time for path in files):
                return None
            head = self._heads[self._of[run["place"]]]
            at = {**spans(run, self._where), **{dim: slice(n) for dim, n in head["sizes"].items()}}
            return Part({name: self._cut(name, at, *v) for name, v in head["variables"].items()}, head["attributes"])
        except _USELESS:
            return None  # whoever reads the files will say what is wrong, if it is they

    def _cut(self, name: str, at: Mapping[str, slice], dims: list[str], kind: str, *words: str) -> Variable:
        whole = self._arrays[name].values
        if any(at[dim].stop > n for dim, n in zip(dims, whole.shape, strict=True)):
            raise ValueError(f"{name} is smaller than its run")
        values = whole[tuple(at[dim] for dim in dims)]
        return Variable(tuple(dims), values.astype(kind, copy=False) if kind else values, *words)


def _code() -> str:
    return source_digest("analysis/parts", "analysis/collect", "analysis/former", "analysis/sweep")
