"""What the logs of jobs say of their end."""

import re
from pathlib import Path
from typing import NamedTuple

_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (\w+) (.*)$")
_TAIL = 20_000  # characters that are read of a log's end


class Failure(NamedTuple):
    """A job that failed: of which result, its last words, and the log that has them all."""

    what: str
    reason: str
    log: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}\n    {self.log}"


def last_error(log: Path) -> str | None:
    """The sentence with which a job failed, or None if the last that it said was no error.

    Of an error with a traceback it is the last line.
    """
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    found = ((number, _RECORD.match(line)) for number, line in enumerate(lines))
    records = [(number, match) for number, match in found if match and not match[2].startswith("took ")]
    if not records:
        return None
    number, match = records[-1]
    if match[1] != "ERROR":
        return None
    traceback = [line for line in lines[number + 1 :] if not _RECORD.match(line)]
    return traceback[-1].strip() if traceback else match[2]


def recent(folder: Path, since: float) -> list[Path]:
    """Logs in a folder that were written to since a moment, in seconds of the epoch."""
    return sorted(log for log in folder.rglob("*.log") if log.stat().st_mtime >= since)
