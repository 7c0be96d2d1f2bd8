"""What is measured on a trained run, for each of its seeds: output, depth, dynamics.

- output: D, G, R of the output, at initialisation and after training;
- depth: the same for every layer;
- dynamics: the same for the output, at the log-spaced snapshots that training kept.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from relative_stability.datasets.prepared import Prepared
from relative_stability.linear_model import compression
from relative_stability.logs import log
from relative_stability.measurement import build_families, stability_variables
from relative_stability.perturbations import DISPLACING
from relative_stability.store import Variable
from relative_stability.training.records import snapshot_state
from relative_stability.training.run import Weights, load_net

STATES = ("init", "trained")
# Options that joined later, and are not in a request where they have these values.
LATER = {"noise_matching": "auto", "interpolation": "bilinear", "modes": "disc"}
STATE_AXIS = {"state": Variable(("state",), np.array(STATES), "state of the net", "")}
Curves = Mapping[str, Variable]
# The same for every seed and state.
_SHARED = ("rms_displacement", "depth")


class Cell(NamedTuple):
    """One net to be measured. there: False for a net that there is none of, as its seed had diverged before."""

    label: str
    weights: str
    fresh: bool  # at initialisation, where batch normalisation has no running statistics
    there: bool = True


def measure_run(
    request: Mapping[str, Any], data: Prepared, curves: Curves, weights: Weights, device: torch.device
) -> dict[str, Variable]:
    """The observable of a request on every seed of a run, with dimensions (seed, state or snapshot, …).

    curves, weights: as `train_run` made them. NaN after training, or from that snapshot on, for seeds that diverged.
    """
    return OBSERVABLES[request["observable"]](_Run(request, data, curves, weights, device))


def output(run: "_Run") -> dict[str, Variable]:
    """D, G, R of the output with dimensions (seed, state, …).

    For a net with one hidden layer on data with uninformative inputs, also the hidden weights and their compression.
    """
    return run.over(
        run.states, STATE_AXIS, lambda index, cell: {**run.stability(index, cell), **run.hidden_layer(index, cell)}
    )


def depth(run: "_Run") -> dict[str, Variable]:
    """D, G, R of every layer with dimensions (seed, state, layer, …). With α-scaling, of f itself."""
    layers = run.settings["layers"]
    return run.over(run.states, STATE_AXIS, lambda index, cell: run.stability(index, cell, layers))


def dynamics(run: "_Run") -> dict[str, Variable]:
    """D, G, R of the output with dimensions (seed, snapshot, …), the first of which is the initialisation."""
    steps, epochs = run.curves["snapshot_step"], run.curves["snapshot_epoch"]
    axis = {
        "snapshot": Variable(("snapshot",), np.arange(len(steps.values) + 1), "number of the snapshot", "1"),
        "snapshot_step": steps._replace(values=np.concatenate([[0], steps.values])),
        "snapshot_epoch": epochs._replace(values=np.concatenate([[0], epochs.values])),
    }
    return run.over(run.snapshots, axis, run.stability)


class _Run:
    """The nets of a run, measured one by one on the same images."""

    def __init__(
        self, request: Mapping[str, Any], data: Prepared, curves: Curves, weights: Weights, device: torch.device
    ) -> None:
        self.run, self.observable = request["run"], request["observable"]
        self.settings = {**LATER, **request["stability"]}
        self.data, self.curves, self.weights, self.device = data, curves, weights, device
        settings = self.settings
        self.images = data.seen(data.test_subset(settings["images"], settings["seed"]), device)
        self.families = build_families(
            settings["perturbation"],
            settings.get("cut", ()),
            data.uninformative,
            settings["interpolation"],
            settings["modes"],
        )
        displacing = settings["perturbation"] in DISPLACING
        self.magnitudes = settings["displacement" if displacing else "magnitude"]
        self.last: dict[str, Variable] = {}

    def states(self, index: int) -> list[Cell]:
        """The net of a seed at initialisation and after training."""
        diverged = bool(np.isfinite(self.curves["diverged_epoch"].values[index]))
        trained = Cell("trained", self.settings["trained_weights"], fresh=False, there=not diverged)
        return [Cell("init", "init", fresh=True), trained]

    def snapshots(self, index: int) -> list[Cell]:
        """The net of a seed at initialisation and at its snapshots."""
        taken = zip(self.curves["snapshot_step"].values, self.curves["snapshot_train_loss"].values[index], strict=True)
        later = [Cell(f"step {s}", snapshot_state(s), fresh=False, there=bool(np.isfinite(loss))) for s, loss in taken]
        return [Cell("init", "init", fresh=True), *later]

    def over(
        self,
        cells: Callable[[int], list[Cell]],
        axis: Mapping[str, Variable],
        measured: Callable[[int, Cell], dict[str, Variable]],
    ) -> dict[str, Variable]:
        """Every seed at every cell, as arrays with these two dimensions first. axis: see `_stacked`."""
        seeds = self.curves["seed"].values
        return _stacked([measured(index, cell) for index in range(len(seeds)) for cell in cells(index)], seeds, axis)

    def stability(self, index: int, cell: Cell, layers: str | Sequence[str] | None = None) -> dict[str, Variable]:
        """D, G, R of one net, or NaN where there is none."""
        if not cell.there:
            return _blank(self.last)
        rule: Any = self.settings["batch_norm"]
        # From the statistics alone the state would have to be guessed; here it is known. Early snapshots have running
        # values that hardly left those of initialisation: one rule for all of them, or its change would look like R's.
        by_batch = (cell.fresh or self.observable == "dynamics") and self.run["net"].get("pretrained") is None
        rule = ("batch" if by_batch else "running") if rule == "auto" else rule
        self.last = stability_variables(
            self._net(index, cell, whole=layers is None),
            self.images,
            self.families,
            self.magnitudes,
            layers=layers,
            batch_norm=rule,
            estimator=self.settings["estimator"],
            noise_matching=self.settings["noise_matching"],
            draws=self.settings["draws"],
            seed=self.settings["seed"],
        )
        log.info("seed at position %d, %s: R %s", index, cell.label, np.round(self.last["R"].values, 3).tolist())
        return self.last

    def hidden_layer(self, index: int, cell: Cell) -> dict[str, Variable]:
        """First-layer weights of a net with one hidden layer, and their compression."""
        net = load_net(self.run, self.data, self.weights, cell.weights, index, self.device)
        layers = dict(net.named_children())
        if not self.data.uninformative or "hidden" not in layers:
            return {}
        weight = layers["hidden"].get_parameter("weight").detach().cpu()
        found = {
            "hidden_weight": Variable(("neuron", "feature"), weight.numpy(), "first-layer weights w"),
            "compression": Variable(
                (), np.array(float(compression(weight, self.data.uninformative))), "compression λ of the weights"
            ),
        }
        return found if cell.there else _blank(found)

    def _net(self, index: int, cell: Cell, whole: bool) -> torch.nn.Module:
        """What is trained: f, or f − f₀ with α-scaling (the factor α cancels in D and G)."""
        net = load_net(self.run, self.data, self.weights, cell.weights, index, self.device)
        if self.run["training"]["alpha"] is None or cell.fresh or not whole:
            return net
        return _Difference(net, load_net(self.run, self.data, self.weights, "init", index, self.device))


class _Difference(torch.nn.Module):
    """f − f₀. A module, so that both nets are held in the same mode when it is observed."""

    def __init__(self, trained: torch.nn.Module, initial: torch.nn.Module) -> None:
        super().__init__()
        self.trained, self.initial = trained, initial

    def forward(self, x: Tensor) -> Tensor:
        difference: Tensor = self.trained(x) - self.initial(x)
        return difference


def _blank(cell: Mapping[str, Variable]) -> dict[str, Variable]:
    """A measurement of a net that there is none of: coordinates stay, the rest is NaN."""
    return {
        name: v if v.dims == (name,) or name in _SHARED else v._replace(values=np.full_like(v.values, np.nan))
        for name, v in cell.items()
    }


def _stacked(cells: list[dict[str, Variable]], seeds: np.ndarray, axis: Mapping[str, Variable]) -> dict[str, Variable]:
    """Cells in the order of seeds and then of the axis, as arrays with these two dimensions first.

    axis: its coordinate, with what else lies along it.
    """
    name, coordinate = next(iter(axis.items()))
    stacked = {"seed": Variable(("seed",), seeds, "seed of subset, initialisation and order"), **axis}
    for key, first in cells[0].items():
        if first.dims == (key,) or key in _SHARED:
            stacked[key] = first
            continue
        values = np.stack([cell[key].values for cell in cells])
        values = values.reshape(len(seeds), len(coordinate.values), *values.shape[1:])
        stacked[key] = first._replace(dims=("seed", name, *first.dims), values=values)
    return stacked


OBSERVABLES: dict[str, Callable[[_Run], dict[str, Variable]]] = {
    "output": output,
    "depth": depth,
    "dynamics": dynamics,
}
