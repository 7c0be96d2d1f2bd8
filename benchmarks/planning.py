"""What sweeps of many runs cost where snakemake runs: `python -m benchmarks.planning 300 3000 10000` [packed].

For each, in CPU seconds and megabytes (10⁶ bytes): to plan it anew; to see that nothing is to be done; and, per
finished job of a cluster, the time that Snakemake itself takes, with jobs that are done as soon as they are submitted.
"""

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import yaml
from tabulate import tabulate

from relative_stability.plan.config import Schema
from relative_stability.plan.grid import read_grid
from tests.workflow.project import Project, copy_project

INSTANT = Path(__file__).parent / "snakemake_executor_plugin_instant"
SUBMITTING = (
    *("--executor", "instant", "--jobs", "100", "--resources", "turn=1", "--max-status-checks-per-second", "100"),
    *("--quiet", "all", "--until"),
)
MOST_SUBMITTED = 3000  # more take too long, as Snakemake waits for the disk after each job
NETS, SIZES = ["fc", "lenet", "cnn"], list(range(8, 408, 8))


class Cost(NamedTuple):
    """Of a process with its children."""

    seconds: float
    megabytes: float


def config(runs: int, packed: bool) -> str:
    """About so many runs: three nets, fifty sizes P of the training set, and ranges of two seeds."""
    ranges = max(1, round(runs / len(NETS) / len(SIZES)))
    sweep = {"datasets": ["digits"], "nets": NETS, "P": SIZES, "seeds": [f"{2 * k}-{2 * k + 1}" for k in range(ranges)]}
    return yaml.safe_dump(
        {
            "device": "cpu",
            "pack_minutes": 10 * packed,
            "datasets": {"digits": {"image_size": 12}},
            "nets": {"fc": {"depth": 2}, "lenet": {}, "cnn": {}},
            "stability": {"images": 20, "displacement": [1]},
            "training": {"steps": 20},
            "sweeps": {"default": sweep},
        }
    )


def cost(project: Project, *arguments: str) -> Cost:
    """snakemake with these arguments, to its end."""
    process = project.start(*arguments, config="config/here.yaml")
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((project.path / "said").read_text()[-2000:])
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def measured(runs: int, packed: bool, folder: Path) -> list[object]:
    """A row of the table."""
    project = copy_project(folder)
    shutil.copytree(INSTANT, folder / "src" / INSTANT.name)
    (folder / "config/here.yaml").write_text(config(runs, packed))
    grid = read_grid([folder / "config/here.yaml"], Schema(folder / "workflow/schemas/config.schema.yaml"))
    planned = cost(project, "--dry-run", "--quiet", "all")
    cost(project, "--until", "prepare")
    submitted = cost(project, *SUBMITTING, "pack" if packed else "measure") if runs <= MOST_SUBMITTED else None
    for m in grid.sweeps[0].measurements:
        for path in [*m.run.files, *m.files]:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
    nothing = cost(project, "--dry-run", "--quiet", "all", "--until", "measure")
    count = len({m.run.digest for m in grid.sweeps[0].measurements})
    each = f"{1000 * (submitted.seconds - nothing.seconds) / count:.0f}" if submitted else ""
    figures = [planned.seconds, planned.megabytes, nothing.seconds, nothing.megabytes]
    return [count, *(f"{figure:.0f}" for figure in figures), each]


if __name__ == "__main__":
    counts = [int(argument) for argument in sys.argv[1:] if argument.isdigit()] or [300]
    headers = ["runs", "to plan, CPU s", "MB", "nothing to do, CPU s", "MB", "a finished run, CPU ms"]
    with TemporaryDirectory() as folder:
        rows = [measured(count, "packed" in sys.argv, Path(folder, str(count))) for count in counts]
    print(tabulate(rows, headers, disable_numparse=True))
