"""Small runs by gradient flow, as several tests share them."""

from functools import cache

import torch

from relative_stability.jobs.observables import measure_run
from relative_stability.training.gradient_flow.run import flow_run
from relative_stability.training.run import Execution
from tests.sweeps import collected
from tests.training.small import CPU, prepared

OPTIONS = {
    "loss": "hinge", "optimizer": "gradient_flow", "alpha": [0.01, 100], "tolerance": 0.05, "first_time": 1,
    "max_time": 1e7, "snapshots": 8, "flow_end": "met",
}  # fmt: skip
STABILITY = {
    "perturbation": "subspace", "magnitude": [0.3, 1.0], "images": 60, "draws": 1, "estimator": "mean",
    "batch_norm": "auto", "seed": 0,
}  # fmt: skip


def linear(source="stripe", dimension=4):
    return prepared(source, dimension=dimension, train_size=256, test_size=300, seed=0)


def request(P=48, width=60, source="stripe", architecture="one_hidden", net=(), **changes):
    net = {"architecture": architecture, "width": width, **dict(net)}
    dataset = {"options": {"source": source}}
    return {"net": net, "training": {**OPTIONS, **changes}, "P": P, "dataset": dataset}


def follow(seeds=range(2), how="auto", source="stripe", checkpoints=None, **changes):
    """A run by gradient flow on one CPU. changes: see `request`."""
    return flow_run(request(source=source, **changes), linear(source), seeds, CPU, Execution(seeds=how), checkpoints)


def measured(asked, data, trained, observable):
    whole = {"run": asked, "stability": STABILITY, "observable": observable}
    return measure_run(whole, data, trained.curves, trained.weights, torch.device("cpu"))


@cache
def swept(sizes=(24, 48, 96), seeds=2, source="stripe"):
    """A sweep of gradient flows, and the curves of its last run."""
    cells = []
    for P in sizes:
        asked, data = request(P=P, source=source), linear(source)
        trained = flow_run(asked, data, range(seeds), CPU)
        attributes = {"perturbation": "subspace", "digest": "x"}
        found = {name: measured(asked, data, trained, name).assign_attrs(attributes) for name in ("output", "dynamics")}
        labels = {"dataset": source, "net": "one_hidden", "architecture": "one_hidden", "pretrained": False, "P": P}
        curves = trained.curves
        cells.append((labels, found, curves))
    sweep = collected(cells)
    sweep.attrs["sweep"] = "linear"
    return sweep, curves
