"""What is recorded of a gradient flow at log-spaced times: curves, first-layer weights, and the nets."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from relative_stability.core.store import labelled
from relative_stability.datasets.linear import boundary
from relative_stability.training.gradient_flow.linear_model import compression, neuron_compression

SPAN, POINTS = 3.0, 41  # of the plane on which the output at the end is kept, and points along each side
SAMPLES = 500  # training samples at most whose place on the plane is kept
SCALARS = {
    "train_loss": "training loss, mean of max(0, 1 - margin)",
    "test_error": "test error",
    "compression": "compression λ of the first layer's weights, over its initial value",
    "neuron_compression": "compression of the median neuron, over its initial value",
    "output_scale": "root of the mean square of the output over the test set",
}


def record_times(options: Mapping[str, Any]) -> list[float]:
    """0, and `snapshots` log-spaced times from `first_time` to `max_time`, to four digits.

    >>> record_times({"first_time": 1, "max_time": 1000, "snapshots": 4})
    [0.0, 1.0, 10.0, 100.0, 1000.0]
    """
    spaced = np.geomspace(options["first_time"], options["max_time"], options["snapshots"])
    return [0.0, *(float(f"{time:.4g}") for time in spaced[:-1]), float(options["max_time"])]


def plane(dimension: int, uninformative: Sequence[int]) -> Tensor:
    """Inputs (1, POINTS², d) on a plane: the first is x_∥, the second the first uninformative input, all others 0."""
    axis = torch.linspace(-SPAN, SPAN, POINTS)
    inputs = torch.zeros(POINTS, POINTS, dimension)
    inputs[..., 0], inputs[..., uninformative[0]] = axis[:, None], axis[None]
    return inputs.view(1, -1, dimension)


class Now(NamedTuple):
    """Of M nets: parameters by name, (M, …); training loss, (M,); outputs on the test set, (M, N), and their signs."""

    weights: Mapping[str, Tensor]
    loss: Tensor
    outputs: Tensor
    signs: Tensor


class FlowRecords:
    """Of M nets at T times. Scalars keep their last value after the end of a flow; weights are NaN there."""

    def __init__(self, times: Sequence[float], weights: Mapping[str, Tensor], uninformative: Sequence[int]) -> None:
        self.times, self.uninformative = list(times), uninformative
        self.first = next(iter(weights))  # the first layer's weights
        count = len(weights[self.first])

        def blank(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.full((count, *shape), torch.nan, dtype=dtype)

        self.tensors = {name: blank(len(times)) for name in SCALARS}
        self.tensors |= {f"time/{n}": blank(len(times), *w.shape[1:], dtype=torch.float32) for n, w in weights.items()}
        self.tensors |= {name: blank() for name in ("stop_time", "steps", "diverged")}
        self.tensors |= {f"fitted_{name}": blank() for name in SCALARS} | {
            "fitted_time": blank(),
            "fitted_share": blank(),
        }
        self.tensors |= {f"fitted/{n}": blank(*w.shape[1:], dtype=torch.float32) for n, w in weights.items()}
        self.tensors["met"] = torch.zeros(count, dtype=torch.bool)
        self.tensors["plane"] = blank(POINTS, POINTS, dtype=torch.float32)

    def record(self, member: int, column: int, now: Now) -> None:
        """A net at a time of the grid, or at its end before that; all later columns repeat its scalars."""
        for name, value in self._scores(member, now).items():
            self.tensors[name][member, column:] = value
        for name, weights in now.weights.items():
            self.tensors[f"time/{name}"][member, column] = weights[member].float().cpu()

    def record_fitted(self, member: int, time: float, share: float, now: Now) -> None:
        """A net at t*. share: of the samples that meet the margin."""
        for name, value in {**self._scores(member, now), "time": time, "share": share}.items():
            self.tensors[f"fitted_{name}"][member] = value
        for name, weights in now.weights.items():
            self.tensors[f"fitted/{name}"][member] = weights[member].float().cpu()

    def _scores(self, member: int, now: Now) -> dict[str, float]:
        first = now.weights[self.first][member].cpu()
        return {
            "train_loss": float(now.loss[member]),
            "test_error": float(((now.outputs[member] > 0) != (now.signs[member] > 0)).double().mean()),
            "compression": float(compression(first, self.uninformative)),
            "neuron_compression": float(neuron_compression(first, self.uninformative)),
            "output_scale": float(now.outputs[member].double().square().mean().sqrt()),
        }

    def end(self, member: int, time: float, steps: int, met: bool, stuck: bool, outputs: Tensor) -> None:
        """The end of a flow. outputs: on the plane, (POINTS²,)."""
        self.tensors["stop_time"][member], self.tensors["steps"][member] = time, steps
        self.tensors["met"][member] = met
        if stuck:
            self.tensors["diverged"][member] = time
        self.tensors["plane"][member] = outputs.float().cpu().view(POINTS, POINTS)


def curves_dataset(
    seeds: range, alphas: Sequence[float], records: FlowRecords, samples: tuple[Tensor, Tensor], limits: Tensor,
    source: str,
) -> xr.Dataset:  # fmt: skip
    """The curves of S seeds at A values of alpha as they are stored.

    records: of S·A nets, those of a seed together; samples: inputs (S, P, d) and labels ±1 (S, P) of every seed;
    limits: λ as α → 0, (S,); source: of the dataset, interface, stripe or cylinder.
    """

    def stored(name: str) -> np.ndarray:
        tensor = records.tensors[name]
        return tensor.view(len(seeds), len(alphas), *tensor.shape[1:]).numpy()

    inputs, signs = samples
    position = inputs[:, :SAMPLES, [0, records.uninformative[0]]]
    for name in ("compression", "neuron_compression"):
        records.tensors[f"fitted_{name}"] /= records.tensors[name][:, 0]
        records.tensors[name] /= records.tensors[name][:, :1].clone()
    along, axis = ("seed", "alpha"), np.linspace(-SPAN, SPAN, POINTS)
    hidden = f"time/{records.first}"
    variables = {
        "seed": labelled(("seed",), np.array(seeds), "seed of subset and initialisation"),
        "alpha": labelled(
            ("alpha",), np.array(alphas, float), "scale α of the output: small learns features, large is lazy"
        ),
        "time": labelled(("time",), np.array(records.times), "time of the gradient flow dθ/dt = -dL/dθ"),
        **{name: labelled((*along, "time"), stored(name), words) for name, words in SCALARS.items()},
        "hidden_weight": labelled(
            (*along, "time", "neuron", "feature"),
            stored(hidden),
            "first-layer weights w, NaN after the end of the flow",
        ),
        **{
            f"fitted_{name}": labelled(along, stored(f"fitted_{name}"), f"{words}, at t*")
            for name, words in SCALARS.items()
        },
        "fitted_time": labelled(along, stored("fitted_time"), "t*, first time that over a tenth of the margins is met"),
        "fitted_share": labelled(
            along, stored("fitted_share"), "part of the training samples that meet the margin at t*"
        ),
        "fitted_weight": labelled(
            (*along, "neuron", "feature"), stored(f"fitted/{records.first}"), "first-layer weights w at t*"
        ),
        "limit_compression": labelled(
            ("seed",), limits.numpy(), "compression λ of the neuron that grows fastest as α → 0"
        ),
        "stop_time": labelled(along, stored("stop_time"), "time at which every margin was met, or the flow was left"),
        "met": labelled(along, stored("met"), "whether every margin was met"),
        "flow_steps": labelled(along, stored("steps"), "steps of the flow"),
        "collapsed": labelled(along, np.zeros((len(seeds), len(alphas)), bool), "whether the output became a constant"),
        "diverged_epoch": labelled(along, stored("diverged"), "time at which no step was short enough"),
        "output_plane": labelled(
            (*along, "x_parallel", "x_perpendicular"), stored("plane"), "output at the end where all other inputs are 0"
        ),
        "x_parallel": labelled(("x_parallel",), axis, "first informative input"),
        "x_perpendicular": labelled(("x_perpendicular",), axis, "first uninformative input"),
        "sample_position": labelled(("seed", "sample", "place"), position.cpu().numpy(), "samples on the plane"),
        "sample_class": labelled(
            ("seed", "sample"), (signs[:, :SAMPLES] > 0).long().cpu().numpy(), "class of each sample"
        ),
        "boundary": labelled(("edge",), np.array(boundary(source)), "x_parallel where the label changes"),
        "dimension": labelled((), np.array(inputs.shape[2]), "number of inputs d"),
        "informative": labelled((), np.array(inputs.shape[2] - len(records.uninformative)), "informative inputs"),
        "task": labelled((), np.array(source), "what the label depends on", ""),
    }
    return xr.Dataset(variables)
