"""The nets of some seeds as one function: a single net, or a stack of them that train together.

Stacked nets have parameters and buffers with a first dimension for the seeds. A net that takes such a stack itself is
called with it; any other is mapped over it by torch.func.vmap. Batch normalisation then sees, for every seed, that
seed's batch alone, and its running statistics, stacked likewise, are updated in place seed by seed by the layer's own
rule: they are those of training each seed alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from relative_stability.core.logs import log
from relative_stability.datasets.prepared import Prepared
from relative_stability.nets import ARCHITECTURES, build_net
from relative_stability.nets.weights import load_weights
from relative_stability.training.objective import output_count

State = dict[str, Tensor]
LAUNCH_BOUND = 1_000_000  # parameters below which a GPU waits for kernels to be launched rather than for arithmetic
CACHED = 1 << 19  # numbers that a step of one seed moves, below which a stack is faster on a CPU


def make_net(net: Mapping[str, Any], data: Prepared, loss: str, seed: int) -> nn.Module:
    """The net of a run, initialised from its seed. net: `architecture` and its options, without `training`.

    Weights that `pretrained` names are not loaded here.
    """
    options = {key: value for key, value in net.items() if key not in ("architecture", "training", "pretrained")}
    _, channels, size, _ = data.images.shape
    return build_net(net["architecture"], channels, output_count(loss, data.classes), size, seed=seed, **options)


def start_net(
    net: Mapping[str, Any], data: Prepared, loss: str, seed: int, device: torch.device, pretrained: Path | None
) -> nn.Module:
    """The net that a seed starts from, on its device.

    pretrained: file of weights to start from, in place of the seed's initialisation (of all but a last layer for
    another number of classes).
    """
    model = make_net(net, data, loss, seed)
    if pretrained is not None:
        new_head = load_weights(model, pretrained, new_head=True).new_head
        log.info("seed %d starts from %s%s", seed, pretrained, ", with a last layer at random" if new_head else "")
    return model.to(device)


def train_together(choice: str, architecture: str, model: nn.Module, device: torch.device, batch_size: int) -> bool:
    """Whether the seeds of a run train as one stack. choice: auto, together or alone.

    auto: where it gains. On a CPU that is fully connected nets of which one step moves at most CACHED numbers
    (parameters, and for each sample inputs and neurons): 1.0 to 2.6 times on one thread, measured with 4 and 16 seeds;
    beyond that, and with convolutions, a stack is slower. On a GPU it is every net of few parameters, which has not
    been measured. Never where dropout would draw other numbers for a stack than for one net.
    """
    known = ARCHITECTURES[architecture]
    if known.dropout:
        return False
    if choice != "auto":
        return choice == "together"
    weights = [p for p in model.parameters() if p.ndim > 1]
    parameters = sum(p.numel() for p in model.parameters())
    if device.type == "cuda":
        return parameters < LAUNCH_BOUND
    moved = parameters + batch_size * (weights[0].shape[1] + sum(len(w) for w in weights))
    return known.stacks and moved <= CACHED


class Members(ABC):
    """S nets with one forward pass."""

    parameters: list[nn.Parameter]
    stacked: bool
    count: int

    def __init__(self, model: nn.Module, compiled: bool, device: torch.device) -> None:
        self.model = model
        self.forward = self._forward
        if compiled:
            mode = "reduce-overhead" if device.type == "cuda" else None  # CUDA graphs
            self.forward = torch.compile(self._forward, mode=mode, dynamic=False)

    @abstractmethod
    def _forward(self, images: Tensor) -> Tensor:
        """Outputs, (S, B, K). images: (S, B, C, n, n)."""

    @abstractmethod
    def tensors(self) -> State:
        """Parameters and buffers as they are now, by name, each (S, …); views, not copies."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Set parameters and buffers to those that `tensors` returned once."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """In evaluation mode, and without gradients, inside the block."""
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train()

    def evaluate(self, images: Tensor) -> Tensor:
        """Outputs, (S, B, K), never compiled: batches of evaluation have sizes of their own."""
        return self._forward(images)


class Alone(Members):
    """One net, S = 1."""

    stacked, count = False, 1

    def __init__(self, model: nn.Module, compiled: bool, device: torch.device) -> None:
        super().__init__(model, compiled, device)
        self.parameters = list(model.parameters())

    def _forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.model(images[0])
        return outputs[None]

    def tensors(self) -> State:
        return {name: tensor.detach()[None] for name, tensor in self.model.state_dict().items()}


class Together(Members):
    """Several nets, stacked. stacks: whether the net takes a stack itself."""

    stacked = True

    def __init__(self, models: Sequence[nn.Module], stacks: bool, compiled: bool, device: torch.device) -> None:
        super().__init__(models[0], compiled, device)
        self.count, self.stacks = len(models), stacks
        states = [model.state_dict() for model in models]
        stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        trained = {name for name, _ in models[0].named_parameters()}
        self.stack: dict[str, Tensor] = {n: nn.Parameter(t) if n in trained else t for n, t in stacked.items()}
        self.parameters = [t for t in self.stack.values() if isinstance(t, nn.Parameter)]

    def _forward(self, images: Tensor) -> Tensor:
        def one(tensors: State, x: Tensor) -> Tensor:
            outputs: Tensor = functional_call(self.model, tensors, (x,))
            return outputs

        outputs: Tensor = one(self.stack, images) if self.stacks else vmap(one)(self.stack, images)
        return outputs

    def tensors(self) -> State:
        return {name: tensor.detach() for name, tensor in self.stack.items()}
