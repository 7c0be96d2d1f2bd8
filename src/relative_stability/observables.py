"""What is measured on a trained run, for each of its seeds, at initialisation and after training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relative_stability.datasets.prepared import Prepared
from relative_stability.linear_model import compression
from relative_stability.logs import log
from relative_stability.measurement import build_families, observed, stability_variables
from relative_stability.store import Variable
from relative_stability.training.run import Weights, load_net

STATES = ("init", "trained")


def output(
    request: Mapping[str, Any],
    data: Prepared,
    weights: Weights,
    seeds: Sequence[int],
    diverged: Sequence[bool],
    device: torch.device,
) -> dict[str, Variable]:
    """D, G, R of the output with dimensions (seed, state, …); NaN after training for the seeds that diverged.

    For a net with one hidden layer on data with uninformative inputs, also the hidden weights and their compression.
    """
    stability, run = request["stability"], request["run"]
    images = data.seen(data.test_subset(stability["images"], stability["seed"]), device)
    families = build_families(stability["perturbation"], stability.get("cut", ()), data.uninformative)
    magnitudes = stability.get("displacement") or stability["magnitude"]
    settings = {key: stability[key] for key in ("estimator", "draws", "seed")}
    cells: list[dict[str, Variable]] = []
    for index, seed in enumerate(seeds):
        initial = load_net(run, data, weights, "init", index, device)
        trained = load_net(run, data, weights, stability["trained_weights"], index, device)
        nets: dict[str, Any] = {"init": initial, "trained": _predictor(trained, initial, run)}
        for state in STATES:
            if state == "trained" and diverged[index]:
                cells.append(_blank(cells[-1]))
                continue
            rule: Any = stability["batch_norm"]
            # `observed` would have to guess the state from the statistics; here it is known.
            rule = {"init": "batch", "trained": "running"}[state] if rule == "auto" else rule
            with observed(nets[state], rule):
                cell = stability_variables(nets[state], images, families, magnitudes, **settings)
            cells.append({**cell, **_hidden_layer(initial if state == "init" else trained, data)})
        log.info("seed %d: R from %s", seed, np.round(cells[-2]["R"].values, 3).tolist())
        log.info("seed %d: R to   %s", seed, np.round(cells[-1]["R"].values, 3).tolist())
    return _stacked(cells, seeds)


class _Difference(torch.nn.Module):
    """f − f₀. A module, so that both nets are held in the same mode when it is observed."""

    def __init__(self, trained: torch.nn.Module, initial: torch.nn.Module) -> None:
        super().__init__()
        self.trained, self.initial = trained, initial

    def forward(self, x: Tensor) -> Tensor:
        difference: Tensor = self.trained(x) - self.initial(x)
        return difference


def _predictor(trained: torch.nn.Module, initial: torch.nn.Module, run: Mapping[str, Any]) -> Any:
    """What is trained: f, or f − f₀ with α-scaling (the factor α cancels in D and G)."""
    if run["training"]["alpha"] is None:
        return trained
    return _Difference(trained, initial)


def _hidden_layer(net: torch.nn.Module, data: Prepared) -> dict[str, Variable]:
    layers = dict(net.named_children())
    if not data.uninformative or "hidden" not in layers:
        return {}
    weight = layers["hidden"].get_parameter("weight").detach().cpu()
    return {
        "hidden_weight": Variable(("neuron", "feature"), weight.numpy(), "first-layer weights w"),
        "compression": Variable(
            (), np.array(float(compression(weight, data.uninformative))), "compression λ of the weights"
        ),
    }


def _blank(cell: dict[str, Variable]) -> dict[str, Variable]:
    """A measurement of a net that there is none of: coordinates stay, the rest is NaN."""
    return {
        name: v if v.dims == (name,) else v._replace(values=np.full_like(v.values, np.nan)) for name, v in cell.items()
    }


def _stacked(cells: list[dict[str, Variable]], seeds: Sequence[int]) -> dict[str, Variable]:
    """Cells in the order seed, state, as arrays with these two dimensions first; coordinates stand once."""
    stacked = {
        "seed": Variable(("seed",), np.array(seeds), "seed of subset, initialisation and order"),
        "state": Variable(("state",), np.array(STATES), "state of the net", ""),
    }
    for name, first in cells[0].items():
        if first.dims == (name,) or name == "rms_displacement":
            stacked[name] = first
            continue
        values = np.stack([cell[name].values for cell in cells])
        values = values.reshape(len(seeds), len(STATES), *values.shape[1:])
        stacked[name] = first._replace(dims=("seed", "state", *first.dims), values=values)
    return stacked
