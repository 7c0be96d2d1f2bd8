"""`make bench`: run every benchmark, on one thread, and print the ratios."""

import torch

from benchmarks import measurement, optimizer

torch.set_num_threads(1)
for benchmark in (measurement, optimizer):
    for line in benchmark.run():
        print(line, flush=True)
