"""Which results no config refers to."""

import re
from collections.abc import Iterable
from pathlib import Path

from relative_stability.core.store import abandoned
from relative_stability.plan.grid import Grid
from relative_stability.training.lock import lately_held

# Only names with a digest are ever listed: what is published under a plain name is rewritten, not piled up.
_DIGEST = re.compile(r"\.([0-9a-f]{10})\.(nc|safetensors|log|tsv)$")
_FOLDERS = ("datasets", "training", "stability", "logs", "benchmarks")
_CHECKPOINTS = "checkpoints/*/*"  # a folder for each digest


def unreferenced(results: Path, grids: Iterable[Grid]) -> list[Path]:
    """Files whose digest is in none of the grids, and what killed writers left behind; not what is being trained now.

    Only the folders that the workflow fills are looked into, and only names of its own grammar.
    """
    known = {digest for grid in grids for digest in grid.by_digest}
    found = []
    for folder in _FOLDERS:
        for file in sorted((results / folder).rglob("*")):
            match = _DIGEST.search(file.name)
            leftover = file.name.endswith(".tmp") and abandoned(file)
            if file.is_file() and (leftover or (match and match[1] not in known)):
                found.append(file)
    left = [file for file in sorted(results.glob(_CHECKPOINTS)) if file.parent.name not in known]
    return found + [file for file in left if file.is_file() and not lately_held(file.parent)]
