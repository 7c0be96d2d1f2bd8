"""Whether results were made by the code of today: digests of a stage's sources, beside its version.

The file stage_code.csv holds, for each version of a stage, the digests of sources that are known to give the same
numbers, each with a reason. A result says in the attribute `code` which one made it.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from relative_stability.core.errors import InputError, nearest
from relative_stability.core.store import read_attributes, write_text
from relative_stability.plan.digests import STAGES, stage_digest
from relative_stability.plan.runs import trained_by

FILE = Path(__file__).with_suffix(".csv")
LOOKED_AT = 24  # results of a stage, a millisecond each: the oldest, the newest, and evenly those between


def stage_of(request: Mapping[str, Any]) -> str:
    """The stage, by its name in STAGES, that a request is for."""
    return trained_by(request["training"]) if request["stage"] == "train" else str(request["stage"])


def confirmed(stage: str, file: Path = FILE) -> list[str]:
    """Digests of sources that give the numbers of the stage's present version."""
    with file.open(encoding="utf-8", newline="") as rows:
        return [row["code"] for row in csv.DictReader(rows) if (row["stage"], row["version"]) == _key(stage)]


def confirm(stages: Sequence[str], reason: str, file: Path = FILE) -> list[str]:
    """Record that today's sources give the numbers of the present versions. Returns the stages that were new.

    Raises InputError for a stage that is unknown, and where the reason is missing.
    """
    for stage in stages:
        if stage not in STAGES:
            raise InputError(f"stage {stage!r} is unknown; {nearest(stage, STAGES)}")
    if not reason.strip() or not reason.isprintable():
        raise InputError(
            "--reason is empty; say in a line why the numbers stay the same, or what is new in this version"
        )
    changed = [stage for stage in stages if stage_digest(stage) not in confirmed(stage, file)]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([*_key(stage), stage_digest(stage), reason] for stage in changed)
    write_text(file, file.read_text(encoding="utf-8") + out.getvalue())
    return changed


def notices(results: Mapping[str, Iterable[str]]) -> list[str]:
    """A sentence for each stage of whose results in use some were made by other code of its version.

    results: paths by stage. Of many a few are looked at, evenly by age: code changes once, and all that is older is of
    another. Results from before the attribute was written are not spoken of.
    """
    return [sentence for stage, paths in results.items() if (sentence := _notice(stage, paths))]


def _notice(stage: str, paths: Iterable[str]) -> str:
    ages = {path: path.stat().st_mtime for path in map(Path, paths) if path.is_file()}
    there = sorted(ages, key=lambda path: ages[path])
    last, count = len(there) - 1, min(len(there), LOOKED_AT)
    looked = [there[k * last // max(count - 1, 1)] for k in range(count)]
    now, known = stage_digest(stage), confirmed(stage)
    alike = {now, *(known if now in known else ()), ""}
    other = sum(_code(path) not in alike for path in looked)
    if not other:
        return ""
    which = f"{other} of {count} results of {stage}" + (f" looked at, of {len(there)} in use," if last >= count else "")
    return (
        f"{which} were made by other code of its version {STAGES[stage]}, not confirmed as giving the same numbers: "
        f"raise the version in plan/digests.py, or run relative-stability confirm {stage} --reason '…'"
    )


def _code(path: Path) -> str:
    try:
        return str(read_attributes(path).get("code", ""))
    except InputError:
        return ""  # the job that reads it says what is wrong


def _key(stage: str) -> tuple[str, str]:
    return stage, str(STAGES[stage])
