"""Small runs on real digits, as the tests of training share them."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from relative_stability import datasets
from relative_stability.datasets.prepared import open_prepared, write_prepared
from relative_stability.training.run import Execution, train_run

CPU = torch.device("cpu")
OPTIONS = {
    "loss": "cross_entropy", "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 5e-4,
    "schedule": "cosine", "batch_size": 16, "steps": 60, "evaluations": 4, "alpha": None,
}  # fmt: skip
CNN = {"architecture": "cnn", "width": 0.5}
LENET = {"architecture": "lenet"}
FC = {"architecture": "fc", "depth": 2, "width": 32}
HIDDEN = {"architecture": "one_hidden", "width": 100}
ADAM = {"optimizer": "adam", "learning_rate": 0.1, "weight_decay": 0, "schedule": "constant"}
HINGE = {"loss": "hinge", "momentum": 0, "weight_decay": 0, "schedule": "constant"}


@cache
def prepared(source, **options):
    """A dataset as the pipeline stores it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "data.nc"
        write_prepared(path, datasets.load(source, **options), datasets.facts(source, **options), {})
        return open_prepared(path)


def digits():
    return prepared("digits", image_size=12)


def stripe():
    return prepared("stripe", dimension=4, train_size=512, test_size=500, seed=0)


def request(net=CNN, P=64, **changes):
    return {"net": net, "training": {**OPTIONS, **changes}, "P": P}


def train(data, net=CNN, P=64, seeds=range(1), how="auto", checkpoints=None, data_root=Path(), **changes):
    """A run on one CPU; changes: of OPTIONS."""
    return train_run(request(net, P, **changes), data, seeds, CPU, data_root, Execution(seeds=how), checkpoints)


def same(a, b):
    """Whether two runs made the same numbers, bit by bit."""
    curves = all(a.curves[name].values.tobytes() == b.curves[name].values.tobytes() for name in a.curves)
    return curves and a.weights.keys() == b.weights.keys() and all(
        torch.equal(t, b.weights[name]) for name, t in a.weights.items()
    )  # fmt: skip
