"""What a job used of what was asked for it: the last line of its log, and the sum over a run of the workflow."""

import os
import re
import resource
import subprocess
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

FORMAT = "State,ElapsedRaw,TimelimitRaw"
_LINE = re.compile(
    r"took (\d+) s(?: of (\d+) min, (\d+) GPU)?, (\d+)(?: of (\d+))? MB(?:, SLURM job (\d+))?$", re.MULTILINE
)


class Used(NamedTuple):
    """Of one job: seconds and megabytes used, minutes, GPUs and megabytes asked for; job: SLURM's number, or "".

    Where nothing was asked for, these are zero and there is no number: what runs within another job is asked for there.
    """

    seconds: int
    minutes: int
    gpus: int
    used_mb: int
    asked_mb: int
    job: str

    @staticmethod
    def measured(asked: Mapping[str, int], seconds: float) -> "Used":
        """Of this process, with the most memory that it or a child of it ever had."""
        peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        job = os.environ.get("SLURM_JOB_ID", "")
        if not asked:
            return Used(round(seconds), 0, 0, peak // 1024, 0, "")
        return Used(round(seconds), asked["runtime"], asked["gpu"], peak // 1024, asked["mem_mb"], job)

    def __str__(self) -> str:
        if not self.minutes:
            return f"took {self.seconds} s, {self.used_mb} MB"
        job = f", SLURM job {self.job}" if self.job else ""
        return (
            f"took {self.seconds} s of {self.minutes} min, {self.gpus} GPU, {self.used_mb} of {self.asked_mb} MB{job}"
        )


def all_in(logs: Iterable[Path]) -> list[Used]:
    """What jobs have used, by the ends of their logs."""
    lines = (_LINE.findall(log.read_text(encoding="utf-8", errors="replace")) for log in logs)
    numbers = [([int(number or 0) for number in found[:5]], found[5]) for line in lines for found in line]
    return [Used(s, m, g, u, a, job) for (s, m, g, u, a), job in numbers]


def found_in(logs: Iterable[Path]) -> list[Used]:
    """The same of jobs of a cluster alone."""
    return [used for used in all_in(logs) if used.job]


def efficiency(used: Iterable[Used], run_id: str = "", since: float = 0.0) -> str:
    """A table of what was asked and used, by hours; nothing where no job ran on a cluster.

    run_id: the name that the executor gave its jobs, since a moment in seconds of the epoch; accounts that the cluster
    keeps of them are added up too.
    """
    from tabulate import tabulate

    kinds = {"GPU hours": [u for u in used if u.gpus], "hours without a GPU": [u for u in used if not u.gpus]}
    rows = []
    for kind, jobs in kinds.items():
        asked = sum(max(u.gpus, 1) * u.minutes for u in jobs) / 60
        spent = sum(max(u.gpus, 1) * u.seconds for u in jobs) / 3600
        memory = max((u.used_mb / u.asked_mb for u in jobs if u.asked_mb), default=0.0)
        if asked:
            rows.append([kind, len(jobs), f"{asked:.2f}", f"{spent:.2f}", f"{spent / asked:.0%}", f"{memory:.0%}"])
    if not rows:
        return ""
    headers = ["", "processes", "asked", "used", "of time", "of memory, at most"]
    return "\n".join([tabulate(rows, headers, disable_numparse=True), *accounts(run_id, since)])


def accounts(run_id: str, since: float) -> list[str]:
    """What the cluster's own accounts say of all jobs of a run, failed ones too; nothing where it keeps none."""
    start = f"{datetime.fromtimestamp(since):%Y-%m-%dT%H:%M:%S}"  # else sacct begins at midnight
    command = ["sacct", "--name", run_id, "--starttime", start, "-X", "--noheader", "--parsable2", "--format", FORMAT]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout if run_id else ""
    except (OSError, subprocess.SubprocessError):
        return []
    jobs = [line.split("|") for line in said.splitlines() if line.count("|") == 2]
    if not jobs:
        return []
    ended = sum(state == "COMPLETED" for state, *_ in jobs)
    spent = sum(int(elapsed or 0) for _, elapsed, _ in jobs) / 3600
    asked = sum(int(limit) for *_, limit in jobs if limit.isdigit()) / 60
    return [f"sacct: {len(jobs)} jobs, {ended} of them completed; {asked:.2f} hours asked, {spent:.2f} used"]
