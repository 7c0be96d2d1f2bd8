"""What is measured on a trained run, for each of its seeds.

- output: D, G, R of the output, at initialisation and after training;
- depth: the same for every layer;
- dynamics: the same for the output, at the log-spaced snapshots that training kept;
- dimension, alignment, information: of every layer, what others have asked of representations, before and after;
- dimension_dynamics, alignment_dynamics: the first two for the output, at the snapshots.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from relative_stability.core.logs import log
from relative_stability.core.store import labelled
from relative_stability.datasets.prepared import Prepared
from relative_stability.perturbations import DISPLACING
from relative_stability.perturbations.base import probes
from relative_stability.representations.alignment import alignment
from relative_stability.representations.dimension import intrinsic_dimension
from relative_stability.representations.gram import layer_activations, layer_grams
from relative_stability.representations.information import information
from relative_stability.representations.tangent_kernel import tangent_kernel
from relative_stability.stability.activations import OUTPUT
from relative_stability.stability.measure import build_families, stability_dataset
from relative_stability.training.compact import decompress
from relative_stability.training.given import given_net, has_start
from relative_stability.training.gradient_flow.linear_model import compression
from relative_stability.training.members import make_net
from relative_stability.training.records import snapshot_state
from relative_stability.training.run import Weights, load_net

KEPT = 2**20  # numbers that the images may have for their perturbations to be kept
LARGEST = 2**24  # numbers in a batch of images
# Options that joined later, and are not in a request where they have these values.
LATER = {"noise_matching": "auto", "interpolation": "bilinear", "modes": "disc", "kernel_images": 100, "bin_size": 0.1}
Index = tuple[int, ...]  # of a net: the position of its seed, perhaps that of its alpha


class Cell(NamedTuple):
    """One net to be measured. there: False for a net that there is none of, as its seed had diverged before."""

    label: str
    weights: str
    fresh: bool  # at initialisation, where batch normalisation has no running statistics
    there: bool = True


def measure_run(
    request: Mapping[str, Any], data: Prepared, curves: xr.Dataset, weights: Weights, device: torch.device
) -> xr.Dataset:
    """The observable of a request on every seed of a run, with dimensions (seed, state or snapshot, …).

    curves, weights: as `train_run` made them, or `flow_run`; then dimensions are (seed, alpha, state or time, …). NaN
    after training, or from that snapshot on, for seeds that diverged.
    """
    kind = {"gradient_flow": _Flow, "none": _Given}.get(request["run"]["training"]["optimizer"], _Run)
    return OBSERVABLES[request["observable"]](kind(request, data, curves, weights, device))


def output(run: "_Run") -> xr.Dataset:
    """D, G, R of the output with dimensions (seed, state, …).

    For a net with one hidden layer on data with uninformative inputs, also the hidden weights and their compression.
    """
    return run.over(
        run.states, run.state_axis, lambda index, cell: run.stability(index, cell).assign(run.hidden_layer(index, cell))
    )


def depth(run: "_Run") -> xr.Dataset:
    """D, G, R of every layer with dimensions (seed, state, layer, …). With α-scaling, of f itself."""
    layers = run.settings["layers"]
    return run.over(run.states, run.state_axis, lambda index, cell: run.stability(index, cell, layers))


def dynamics(run: "_Run") -> xr.Dataset:
    """D, G, R of the output with dimensions (seed, snapshot, …), the first of which is the initialisation."""
    return run.over(run.snapshots, run.moments, run.stability)


def dimension(run: "_Run") -> xr.Dataset:
    """Intrinsic dimension of every layer's representation of the images, with dimensions (seed, state, layer)."""
    layers = run.settings["layers"]
    return run.over(run.states, run.state_axis, lambda index, cell: run.represented(index, cell, _dimensions, layers))


def dimension_dynamics(run: "_Run") -> xr.Dataset:
    """That of the output at the snapshots, with dimensions (seed, snapshot)."""
    return run.over(
        run.snapshots,
        run.moments,
        lambda index, cell: run.represented(index, cell, _dimensions).isel(layer=0, drop=True),
    )


def aligned(run: "_Run") -> xr.Dataset:
    """Alignment of every layer's representation with the labels (seed, state, layer), and of the tangent kernel."""
    layers = run.settings["layers"]
    return run.over(run.states, run.state_axis, lambda index, cell: _alignments(run, index, cell, layers))


def alignment_dynamics(run: "_Run") -> xr.Dataset:
    """Those of the output and of the tangent kernel at the snapshots, with dimensions (seed, snapshot)."""
    return run.over(
        run.snapshots, run.moments, lambda index, cell: _alignments(run, index, cell).isel(layer=0, drop=True)
    )


def _dimensions(grams: Mapping[str, Tensor]) -> xr.Dataset:
    found = np.array([intrinsic_dimension(gram) for gram in grams.values()])
    words = "intrinsic dimension of the representation"
    return xr.Dataset(
        {
            "intrinsic_dimension": labelled(("layer",), found[:, 0], words),
            "intrinsic_dimension_interval": labelled(
                ("bound", "layer"), found[:, 1:3].T, f"95 % interval of the {words}"
            ),
            "intrinsic_dimension_decimated": labelled(
                ("decimation", "layer"), found[:, 3:].T, f"{words}, of every second and fourth image"
            ),
        },
        {"bound": ["lower", "upper"], "decimation": [2, 4]},
    )


def _alignments(run: "_Run", index: Index, cell: Cell, layers: str | Sequence[str] | None = None) -> xr.Dataset:
    def of(grams: Mapping[str, Tensor]) -> xr.Dataset:
        values = [alignment(gram, run.classes, run.data.classes) for gram in grams.values()]
        words = "alignment of the representation with the labels"
        return xr.Dataset({"alignment": labelled(("layer",), values, words)})

    found, few, value = run.represented(index, cell, of, layers), run.images[: run.settings["kernel_images"]], np.nan
    if cell.there:
        kernel = tangent_kernel(run.load(index, cell.weights), few, run.rule(cell))
        value = alignment(kernel, run.classes[: len(few)], run.data.classes)
    return found.assign(kernel_alignment=labelled((), value, "alignment of the tangent kernel with the labels"))


def information_of(run: "_Run") -> xr.Dataset:
    """I(T; X) and I(T; Y) of every layer by binning, with dimensions (seed, state, layer)."""

    def of(held: Mapping[str, Tensor]) -> xr.Dataset:
        labels, size = run.classes.numpy(), run.settings["bin_size"]
        found = np.array([information(values.numpy(), labels, size) for values in held.values()])
        return xr.Dataset(
            {
                "information_X": labelled(("layer",), found[:, 0], "information on the input, by binning", "bit"),
                "information_Y": labelled(("layer",), found[:, 1], "information on the label, by binning", "bit"),
            }
        )

    layers = run.settings["layers"]
    return run.over(
        run.states, run.state_axis, lambda index, cell: run.represented(index, cell, of, layers, activations=True)
    )


class _Run:
    """The nets of a run, measured one by one on the same images."""

    labels: tuple[str, ...] = ("init", "trained")  # of `states`

    def __init__(
        self, request: Mapping[str, Any], data: Prepared, curves: xr.Dataset, weights: Weights, device: torch.device
    ) -> None:
        self.run, self.observable = request["run"], request["observable"]
        self.settings = {**LATER, **request["stability"]}
        self.data, self.curves, self.weights, self.device = data, curves, weights, device
        settings = self.settings
        chosen = data.test_subset(settings["images"], settings["seed"])
        self.images, self.classes = self.seen(chosen), data.labels[chosen].long()
        displacing = settings["perturbation"] in DISPLACING
        self.magnitudes: Any = settings.get("displacement" if displacing else "magnitude")
        self.families = (
            []
            if self.magnitudes is None
            else build_families(
                settings["perturbation"],
                settings.get("cut", ()),
                data.uninformative,
                settings["interpolation"],
                settings["modes"],
            )
        )
        # All nets meet the same perturbations, which take longer to draw than small nets to run.
        self.probes = lru_cache(maxsize=32)(probes) if self.images.numel() <= KEPT else probes
        self.last = xr.Dataset()
        self.measured: tuple[Index, str, xr.Dataset] = ((), "", self.last)

    def seen(self, indices: Tensor) -> Tensor:
        """Samples as the nets see them."""
        return self.data.seen(indices, self.device)

    @property
    def members(self) -> dict[str, xr.Variable]:
        """What a run has several nets along: seeds, perhaps alpha."""
        return {str(dim): self.curves[dim].variable for dim in self.curves["diverged_epoch"].dims}

    @property
    def state_axis(self) -> dict[str, xr.Variable]:
        """The axis of `states`."""
        return {"state": labelled(("state",), self.labels, "state of the net", "")}

    @property
    def moments(self) -> dict[str, xr.Variable]:
        """The axis of dynamics, with what else lies along it."""
        steps, epochs = (
            self.curves[name].variable.pad(snapshot=(1, 0), constant_values=0)
            for name in ("snapshot_step", "snapshot_epoch")
        )
        number = labelled(("snapshot",), np.arange(steps.size), "number of the snapshot")
        return {"snapshot": number, "snapshot_step": steps, "snapshot_epoch": epochs}

    def states(self, index: Index) -> list[Cell]:
        """The net of a seed at initialisation and after training."""
        diverged = bool(np.isfinite(self.curves["diverged_epoch"].values[index]))
        trained = Cell("trained", self.settings["trained_weights"], fresh=False, there=not diverged)
        return [Cell("init", "init", fresh=True), trained]

    def snapshots(self, index: Index) -> list[Cell]:
        """The net of a seed at initialisation and at its snapshots."""
        taken = zip(self.curves["snapshot_step"].values, self.curves["snapshot_train_loss"].values[index], strict=True)
        later = [Cell(f"step {s}", snapshot_state(s), fresh=False, there=bool(np.isfinite(loss))) for s, loss in taken]
        return [Cell("init", "init", fresh=True), *later]

    def over(
        self,
        cells: Callable[[Index], list[Cell]],
        axis: Mapping[str, xr.Variable],
        measured: Callable[[Index, Cell], xr.Dataset],
    ) -> xr.Dataset:
        """Every net at every cell, with these dimensions first. axis: its coordinate, with what else lies along it."""
        outer = [*self.members, next(iter(axis))]

        def nested(index: Index) -> Any:
            if len(index) == len(outer) - 1:
                return [measured(index, cell) for cell in cells(index)]
            return [nested((*index, k)) for k in range(self.curves.sizes[outer[len(index)]])]

        # What is the same for every net, such as the displacement in pixels, is a coordinate.
        found: xr.Dataset = xr.combine_nested(
            nested(()), outer, data_vars="all", coords="minimal", compat="override", join="exact",
            combine_attrs="override",
        )  # fmt: skip
        return found.transpose(*outer, ...).assign({**self.members, **axis}).reset_coords()

    def stability(self, index: Index, cell: Cell, layers: str | Sequence[str] | None = None) -> xr.Dataset:
        """D, G, R of one net, or NaN where there is none."""
        if not cell.there:
            return xr.full_like(self.last, np.nan)
        self.last = stability_dataset(
            self._net(index, cell, whole=layers is None),
            self.images,
            self.families,
            self.magnitudes,
            layers=layers,
            batch_norm=self.rule(cell),
            estimator=self.settings["estimator"],
            noise_matching=self.settings["noise_matching"],
            draws=self.settings["draws"],
            batch_size=max(16, min(500, LARGEST // self.images[0].numel())),
            probes=self.probes,
            seed=self.settings["seed"],
        )
        log.info("net at position %s, %s: R %s", index, cell.label, np.round(self.last["R"].values, 3).tolist())
        return self.last

    def rule(self, cell: Cell) -> Any:
        """Which statistics its batch normalisation is measured with."""
        # From the statistics alone the state would have to be guessed; here it is known. Early snapshots have running
        # values that hardly left those of initialisation: one rule for all of them, or its change would look like R's.
        by_batch = (cell.fresh or self.observable.endswith("dynamics")) and self.run["net"].get("pretrained") is None
        rule = self.settings["batch_norm"]
        return ("batch" if by_batch else "running") if rule == "auto" else rule

    def represented(
        self,
        index: Index,
        cell: Cell,
        of: Callable[[Mapping[str, Tensor]], xr.Dataset],
        layers: str | Sequence[str] | None = None,
        activations: bool = False,
    ) -> xr.Dataset:
        """What follows from the Gram matrices of layers, or from their activations; NaN where there is no net.

        Without layers of the output.
        """
        if cell.there:
            read = layer_activations if activations else layer_grams
            found = read(self.load(index, cell.weights), self.images, layers, self.rule(cell))
            self.last = of(found).assign_coords(layer=labelled(("layer",), [n or OUTPUT for n in found], "layer", ""))
            return self.last
        return xr.full_like(self.last, np.nan)

    def hidden_layer(self, index: Index, cell: Cell) -> xr.Dataset:
        """First-layer weights of a net with one hidden layer, and their compression."""
        net = self.load(index, cell.weights)
        layers = dict(net.named_children())
        if not self.data.uninformative or "hidden" not in layers:
            return xr.Dataset()
        weight = layers["hidden"].get_parameter("weight").detach().cpu()
        found = xr.Dataset(
            {
                "hidden_weight": labelled(("neuron", "feature"), weight.numpy(), "first-layer weights w"),
                "compression": labelled(
                    (), float(compression(weight, self.data.uninformative)), "compression λ of the weights"
                ),
            }
        )
        return found if cell.there else xr.full_like(found, np.nan)

    def _net(self, index: Index, cell: Cell, whole: bool) -> torch.nn.Module:
        """What is trained: f, or f − f₀ with α-scaling (the factor α cancels in D and G)."""
        net = self.load(index, cell.weights)
        if self.run["training"]["alpha"] is None or cell.fresh or not whole:
            return net
        return _Difference(net, self.load(index, "init"))

    def load(self, index: Index, state: str) -> torch.nn.Module:
        """The net of a member in this state."""
        return load_net(self.run, self.data, self.weights, state, index, self.device)


class _Flow(_Run):
    """The nets of a run that followed a gradient flow, at its recorded times: states are numbers of these, or t*."""

    labels = ("init", "fitted", "trained")

    def ended(self, index: Index) -> int:
        """The last time that a net was recorded at."""
        recorded = np.isfinite(self.curves["hidden_weight"].values[index][:, 0, 0])
        return int(np.flatnonzero(recorded)[-1])

    @property
    def moments(self) -> dict[str, xr.Variable]:
        return {"time": self.curves["time"].variable}

    def states(self, index: Index) -> list[Cell]:
        there, fitted = (np.isfinite(self.curves[name].values[index]) for name in ("diverged_epoch", "fitted_time"))
        return [
            Cell("init", "0", fresh=True),
            Cell("fitted", "fitted", fresh=False, there=bool(fitted)),
            Cell("trained", str(self.ended(index)), fresh=False, there=not there),
        ]

    def snapshots(self, index: Index) -> list[Cell]:
        times, last = self.curves["time"].values, self.ended(index)
        return [Cell(f"t = {t:g}", str(min(k, last)), fresh=k == 0) for k, t in enumerate(times)]

    def hidden_layer(self, index: Index, cell: Cell) -> xr.Dataset:
        return xr.Dataset()  # its weights are among the curves

    def stability(self, index: Index, cell: Cell, layers: str | Sequence[str] | None = None) -> xr.Dataset:
        if not cell.there:
            return super().stability(index, cell, layers)
        if self.measured[:2] != (index, cell.weights):  # a flow that has ended stays where it is
            self.measured = index, cell.weights, super().stability(index, cell, layers)
        return self.measured[2]

    def load(self, index: Index, state: str) -> torch.nn.Module:
        fitted = state == "fitted"
        at = index if fitted else (*index, 0 if state == "init" else int(state))
        net = make_net(self.run["net"], self.data, self.run["training"]["loss"], seed=0)
        first = torch.from_numpy(self.curves["fitted_weight" if fitted else "hidden_weight"].values[at])
        kind = "fitted/" if fitted else "time/"
        rest = {name.removeprefix(kind): t[at] for name, t in self.weights.items() if name.startswith(kind)}
        missing = (name for name in net.state_dict() if name not in rest)
        net.load_state_dict({next(missing): first, **rest})
        return net.to(self.device)


class _Given(_Run):
    """A net that was given, and, where that is known, how its training may have begun."""

    @property
    def seed(self) -> int:
        return int(self.curves["seed"].values[0])

    def seen(self, indices: Tensor) -> Tensor:
        self.given = given_net(self.run["net"], self.seed, trained=False)
        return self.given.seen(self.data, indices, self.device)

    def states(self, index: Index) -> list[Cell]:
        start = Cell("init", "init", fresh=True, there=has_start(self.run["net"]))
        return [start, Cell("trained", "last", fresh=False)]

    def represented(self, index: Index, cell: Cell, *arguments: Any, **others: Any) -> xr.Dataset:
        if not cell.there:
            super().represented(index, self.states(index)[1], *arguments, **others)
        return super().represented(index, cell, *arguments, **others)

    def stability(self, index: Index, cell: Cell, layers: str | Sequence[str] | None = None) -> xr.Dataset:
        if not cell.there:  # what is not there has the shape of what is
            super().stability(index, self.states(index)[1], layers)
        # In pixels of the net's own images, which other nets of a sweep may take in another size.
        return super().stability(index, cell, layers).drop_vars("rms_displacement", errors="ignore")

    def hidden_layer(self, index: Index, cell: Cell) -> xr.Dataset:
        return xr.Dataset()

    def over(self, *arguments: Any) -> xr.Dataset:
        return super().over(*arguments).assign_attrs(given=1)

    def load(self, index: Index, state: str) -> torch.nn.Module:
        net = given_net(self.run["net"], self.seed, trained=False).net
        if state != "init":
            net.load_state_dict(decompress(self.weights, state, 0))
        return net.to(self.device)


class _Difference(torch.nn.Module):
    """f − f₀. A module, so that both nets are put into the same mode when it is observed."""

    def __init__(self, trained: torch.nn.Module, initial: torch.nn.Module) -> None:
        super().__init__()
        self.trained, self.initial = trained, initial

    def forward(self, x: Tensor) -> Tensor:
        difference: Tensor = self.trained(x) - self.initial(x)
        return difference


OBSERVABLES: dict[str, Callable[[_Run], xr.Dataset]] = {
    "output": output,
    "depth": depth,
    "dynamics": dynamics,
    "dimension": dimension,
    "dimension_dynamics": dimension_dynamics,
    "alignment": aligned,
    "alignment_dynamics": alignment_dynamics,
    "information": information_of,
}
