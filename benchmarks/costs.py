"""What training costs, net by net: `python -m benchmarks.costs` writes the table that runs are planned by.

One core, images of 3×32×32, width 1. A step of B images takes o + B·t: both come from steps of 4 and of 32 images,
the fastest of some; an evaluation takes e an image; memory grows with B, which the peaks of two processes tell.
"""

import csv
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

import relative_stability as rs
from benchmarks.training import OPTIONS
from relative_stability.datasets.prepared import Prepared
from relative_stability.jobs.resources import COLUMNS, TABLE
from relative_stability.nets import net_names
from relative_stability.training.engine import Training
from relative_stability.training.members import Alone
from relative_stability.training.pool import Pool

SMALL, LARGE, CPU = 4, 32, torch.device("cpu")


def measure(name: str, batch: int) -> tuple[float, ...]:
    """Seconds of a step and of an evaluated image, parameters, layers, and peak memory of this process in MB."""
    torch.set_num_threads(1)
    images = torch.randint(256, (2 * LARGE, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels, test = torch.arange(len(images)) % 10, torch.arange(len(images)) >= LARGE
    data = Prepared(images, labels, test, torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25), 10, ())
    net = rs.build_net(name, 3, 10, 32, seed=0)
    options = {**OPTIONS, "optimizer": "adam", "learning_rate": 1e-4, "batch_size": batch}
    training = Training(Alone(net, False, CPU), Pool(data, CPU), LARGE, options, [0])

    def fastest(work, times=3) -> float:
        work()
        found = []
        for _ in range(times):
            start = time.perf_counter()
            work()
            found.append(time.perf_counter() - start)
        return min(found)

    step = fastest(training._step, 3 if batch == LARGE else 6)
    evaluation = fastest(lambda: training._raw(training.train)) / LARGE
    parameters = sum(p.numel() for p in net.parameters())
    layers = sum(any(True for _ in module.parameters(recurse=False)) for module in net.modules())
    return step, evaluation, parameters, layers, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(name: str) -> dict[str, str]:
    """A line of the table; each batch size in a process of its own, for the sake of its peak."""
    found = []
    for batch in (SMALL, LARGE):
        command = [sys.executable, "-m", "benchmarks.costs", name, str(batch)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append([float(word) for word in said.split()])
    (small, _, parameters, layers, low), (large, evaluation, _, _, high) = found
    image = (large - small) / (LARGE - SMALL)
    values = [
        max(0.0, small - SMALL * image),
        image,
        evaluation,
        parameters / 1e6,
        max(0.0, high - low) / (LARGE - SMALL),
        layers,
    ]
    scales = (1e3, 1e3, 1e3, 1, 1, 1)
    words = [name, *(f"{value * scale:.4g}" for value, scale in zip(values, scales, strict=True))]
    return dict(zip(COLUMNS, words, strict=True))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(*measure(sys.argv[1], int(sys.argv[2])))
    else:
        rows = []
        for name in net_names():
            rows.append(row(name))
            print(rows[-1], flush=True)
        with Path(TABLE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
