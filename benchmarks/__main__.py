"""`make bench`: run every benchmark, on one thread, and print the ratios."""

import torch

from benchmarks import collection, comparison, deforming, flow, measurement, optimizer, throughput, training

torch.set_num_threads(1)
for benchmark in (deforming, comparison, measurement, optimizer, training, throughput, flow, collection):
    for line in benchmark.run():
        print(line, flush=True)
