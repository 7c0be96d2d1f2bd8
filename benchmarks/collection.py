"""A sweep collected from all its files over the same sweep with one run added: `python -m benchmarks.collection 10000`.

The runs are made up, two seeds each, of three nets at 50 sizes P of the training set.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from shutil import copy2
from tempfile import TemporaryDirectory

from benchmarks.timing import ratio, report
from relative_stability.jobs import stages
from relative_stability.plan.config import Schema
from relative_stability.plan.grid import build_grid
from relative_stability.plan.outputs import Sweep
from tests.runs import make_runs

SCHEMA = Path(__file__).parents[1] / "workflow/schemas/config.schema.yaml"
NETS, SIZES = ["fc", "lenet", "cnn"], [20 * k for k in range(1, 51)]


def run(runs: int = 300) -> Iterator[str]:
    """About so many runs."""
    with TemporaryDirectory() as folder, chdir(folder):
        sweep = asked(max(1, round(runs / len(NETS) / len(SIZES))))
        make_runs(sweep.measurements)
        collect(sweep, leave_out=1)
        before = Path(sweep.path).rename("before.nc")

        def from_scratch() -> None:
            Path(sweep.path).unlink(missing_ok=True)
            collect(sweep)

        def with_one_added() -> None:
            copy2(before, sweep.path)
            collect(sweep)

        count = len(sweep.measurements)
        yield report(f"{count:,} runs collected / one added to the others", ratio(from_scratch, with_one_added, 3))


def asked(ranges: int) -> Sweep:
    """The sweep with so many ranges of seeds."""
    seeds = [f"{2 * k}-{2 * k + 1}" for k in range(ranges)]
    config = {"sweeps": {"s": {"datasets": ["digits"], "nets": NETS, "P": SIZES, "seeds": seeds}}}
    return build_grid(config, Schema(SCHEMA)).sweeps[0]


def collect(sweep: Sweep, leave_out: int = 0) -> None:
    """The stage itself. leave_out: so many of the last runs."""
    there = slice(len(sweep.measurements) - leave_out)
    request = {**sweep.request, "measurements": sweep.request["measurements"][there]}
    stages.collect(request, json.loads(sweep.runs_json)[there], sweep.mark, sweep.path)


if __name__ == "__main__":
    for line in run(*map(int, sys.argv[1:])):
        print(line, flush=True)
