"""`relative-stability estimate`: what a config will cost, and how the estimates compare with what was measured."""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relative_stability.cli.configs import add_configs, grids

if TYPE_CHECKING:
    from relative_stability.plan.grid import Grid


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("estimate", help="time and memory that a config's jobs are estimated to take")
    add_configs(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a table for each config: a line for each dataset and net, and the sums."""
    for name, grid in grids(options).items():
        print(table(name, grid))


def table(name: str, grid: "Grid") -> str:
    """The costs of a config in Markdown. Hours are of one core with `device: cpu`, else of one GPU."""
    from tabulate import tabulate

    from relative_stability.jobs.shared_process import packed

    jobs: dict[tuple[str, str], list[Any]] = defaultdict(list)
    packs = {member.run.digest: number for number, pack in enumerate(packed(grid, grid.device)) for member in pack}
    for measurement in grid.measurements:
        jobs[measurement.run.dataset.name, measurement.run.net].append(measurement)
    rows: list[list[Any]] = [[*names, *_row(found, grid, packs)] for names, found in jobs.items()]
    sums = [sum(row[k] for row in rows) for k in range(2, 7)]
    sums[1] = _jobs({m.run.digest for m in grid.measurements}, packs)  # one may serve several nets
    done = [sum(row[k] for row in rows) for k in range(8, 11)]
    unit = "core h" if grid.device == "cpu" else f"GPU h (device: {grid.device})"
    headers = [
        "dataset", "net", "runs", "jobs", f"training, {unit}", f"measuring, {unit}", "disk, GB", "memory, MB",
        "runs there", "these estimated, h", "these measured, h",
    ]  # fmt: skip
    total = ["all", "", *sums, max(row[7] for row in rows), *done]
    lines: str = tabulate([*rows, total], headers, tablefmt="github", floatfmt=".2f")
    return f"{name}\n{lines}"


def _row(measurements: list[Any], grid: "Grid", packs: dict[str, int]) -> list[float]:
    """Of one net on one dataset: runs, jobs of a cluster, hours, disk, memory, and what those that are there took."""
    from relative_stability.core.store import read_attributes
    from relative_stability.jobs import resources

    runs = {m.run.curves: m.run for m in measurements}
    expected = {curves: resources.training(run, grid.device) for curves, run in runs.items()}
    measuring = [resources.measuring(m, grid.device) for m in measurements]
    there = [curves for curves in runs if Path(curves).is_file()]
    # Over all its restarts, where it had some.
    took = sum(resources.START + float(read_attributes(curves)["train_time_s"]) for curves in there)
    return [
        len(runs),
        _jobs({run.digest for run in runs.values()}, packs),
        sum(e.seconds for e in expected.values()) / 3600,
        sum(e.seconds for e in measuring) / 3600,
        sum(resources.disk_mb(run) for run in runs.values()) / 1000,
        max(e.mem_mb() for e in [*expected.values(), *measuring]),
        len(there),
        sum(expected[curves].seconds for curves in there) / 3600,
        took / 3600,
    ]


def _jobs(runs: set[str], packs: dict[str, int]) -> int:
    """Of a cluster, for runs by their digests. packs: the number of the pack of each run in one."""
    return len({packs.get(run, run) for run in runs})
