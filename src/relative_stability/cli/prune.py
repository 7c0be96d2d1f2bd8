"""Which results no config refers to."""

import re
import time
from collections.abc import Iterable
from pathlib import Path

from relative_stability.core.store import abandoned
from relative_stability.plan.grid import Grid
from relative_stability.plan.runs import RESULTS
from relative_stability.training.lock import lately_held

# Only names with a digest are ever listed: what is published under a plain name is rewritten, not piled up.
_DIGEST = re.compile(r"\.([0-9a-f]{10})\.(nc|safetensors|log|tsv)$")
_FOLDERS = ("datasets", "training", "stability", "logs", "benchmarks")
WEEK = 7 * 86400  # seconds
_CHECKPOINTS = "checkpoints/*/*"  # a folder for each digest


def unreferenced(results: Path, grids: Iterable[Grid]) -> list[Path]:
    """Files whose digest is in none of the grids, and what killed writers left behind; not what is being trained now.

    Only the folders that the workflow fills are looked into, and only names of its own grammar. Marks go with what they
    stand for; scripts that Snakemake made for jobs that were killed, when they are a week old.
    """
    grids = list(grids)
    known = {digest for grid in grids for digest in grid.by_digest}
    marks = results / ".requests"
    published = [one for grid in grids for one in (*grid.published, grid.explorer, grid.report)]
    used = {marks / Path(one.path).relative_to(RESULTS) for one in published}
    found = [mark for mark in sorted(marks.rglob("*.*")) if mark.is_file() and mark.with_suffix("") not in used]
    scripts = sorted((results.resolve().parent / ".snakemake/scripts").glob("tmp*"))
    found += [file for file in scripts if file.is_file() and time.time() - file.stat().st_mtime > WEEK]
    for folder in _FOLDERS:
        for file in sorted((results / folder).rglob("*")):
            match = _DIGEST.search(file.name)
            leftover = file.name.endswith(".tmp") and abandoned(file)
            if file.is_file() and (leftover or (match and match[1] not in known)):
                found.append(file)
    left = [file for file in sorted(results.glob(_CHECKPOINTS)) if file.parent.name not in known]
    return found + [file for file in left if file.is_file() and not lately_held(file.parent)]
