"""Activations of a net's layers, handed out while a forward pass runs.

Layers are modules, caught by hooks: any net will do, whatever Python its forward runs. What a module computes by
functions alone (`torch.relu(x)`, `x + y`) is seen in the output of the module around it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from relative_stability.core.errors import InputError, nearest

Net = Callable[[Tensor], Any]
Visit = Callable[[str, Tensor], None]
WHOLE = ""  # the output of the net, by the name that torch gives the root of all modules
OUTPUT = "output"  # what users call it, unless a module has that name
_PROBED = 7  # images in the pass that tells the order: few modules have a first dimension of 7 that is no batch
_CONTAINERS = (nn.Sequential, nn.ModuleList)


def blocks(net: nn.Module) -> list[str]:
    """Names of a net's building blocks: what its Sequentials and lists hold, and the modules beside them.

    A residual block, an Inception module or an encoder layer is one block, whatever it is made of; a plain Sequential
    is none, and its members are.
    """
    names: list[str] = []

    def descend(module: nn.Module, prefix: str) -> None:
        children = list(module.named_children())
        for name, child in children:
            member = isinstance(module, _CONTAINERS)
            wrapped = len(children) == 1 and _composite(child)
            if _is_sequence(child) or (not member and (wrapped or _holds_blocks(child))):
                descend(child, f"{prefix}{name}.")
            else:
                names.append(f"{prefix}{name}")

    descend(net, "")
    return names


def _composite(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _is_sequence(module: nn.Module) -> bool:
    """A container of blocks; a Sequential of its own class that holds elementary modules alone is one block."""
    return isinstance(module, _CONTAINERS) and (type(module) in _CONTAINERS or any(map(_composite, module.children())))


def _holds_blocks(module: nn.Module) -> bool:
    lists = [child for child in module.children() if isinstance(child, _CONTAINERS)]
    return any(sum(map(_composite, child.children())) >= 3 for child in lists)


def pick_layers(net: Net, layers: str | Sequence[str], images: Tensor) -> dict[str, int]:
    """The layers that `layers` asks for, in the order in which they run, with how many numbers each gives an image.

    layers: "blocks", "all" (every module), or names and patterns such as "layer?.*"; "output" is the output of the
    net, unless a module has that name. A module that runs several times in one pass appears as `name`, `name:1`, …,
    and is picked by its name. images: (N, C, n, n), of which a few are used for one pass that tells the order.
    Raises InputError for a name or pattern that matches no module, or none that runs.
    """
    wanted = [layers] if isinstance(layers, str) else list(layers)
    if not wanted:
        raise InputError("layers is empty; name layers, or use 'blocks', 'all', or None for the output")
    modules = [name for name, _ in net.named_modules() if name] if isinstance(net, nn.Module) else []
    if not modules and not set(wanted) <= {WHOLE, OUTPUT}:
        raise InputError(f"layers = {layers!r} needs a torch.nn.Module with named modules, and the net is none")
    names: list[str] = []
    for pattern in wanted:
        if pattern in ("blocks", "all") and isinstance(net, nn.Module):
            found = blocks(net) if pattern == "blocks" else modules
        else:
            found = [name for name in modules if fnmatchcase(name, pattern)]
            found = found or [WHOLE] * (pattern in (WHOLE, OUTPUT))
        if not found:
            raise InputError(f"layers: {pattern!r} matches no module of the net; {nearest(pattern, modules)}")
        names += found
    ran: dict[str, int] = {}
    with hooked(net, names) as activations:
        activations.run(images[:_PROBED].clone(), lambda name, x: ran.update({name: x[0].numel()}))
    idle = [pattern for pattern in wanted if pattern in names and pattern not in ran]
    if idle or not ran:
        missing = ", ".join(idle) or str(layers)
        why = " (a compiled net calls no hooks: measure it before it is compiled)" if hasattr(net, "_orig_mod") else ""
        raise InputError(f"layers: {missing} gives no output for each image in a forward pass{why}; name another layer")
    return ran


class Activations:
    """A net with hooks on some of its layers."""

    def __init__(self, net: Net, with_output: bool) -> None:
        self.net, self.with_output = net, with_output
        self._times: Counter[str] = Counter()
        self._visit: Visit | None = None
        self._batch = 0

    def run(self, batch: Tensor, visit: Visit) -> Any:
        """One forward pass; `visit(name, x)` gets the activations (B, …) of a layer, float32 or float64.

        Returns what the net returns.

        They are the net's own memory, which a later layer may overwrite: copy what is to last.
        """
        self._visit, self._batch = visit, len(batch)
        self._times.clear()
        try:
            output = self.net(batch)
        finally:
            self._visit = None
        if self.with_output:
            self._hand_out(WHOLE, output, visit)
        return output

    def hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def caught(module: nn.Module, inputs: Any, output: Any) -> None:
            if self._visit is not None:
                self._hand_out(name, output, self._visit)

        return caught

    def _hand_out(self, name: str, output: Any, visit: Visit) -> None:
        tensors = [t for t in tensors_in(output) if t.ndim > 0 and len(t) == self._batch]
        if not tensors:
            if name == WHOLE:
                raise InputError(f"the net's output holds no tensor with one entry for each of {self._batch} images")
            return
        label = f"{name}:{self._times[name]}" if self._times[name] else name
        self._times[name] += 1
        single = tensors[0] if len(tensors) == 1 else torch.cat([t.reshape(len(t), -1) for t in tensors], dim=1)
        visit(label, (single if single.dtype == torch.float64 else single.float()).detach())


def tensors_in(output: Any) -> list[Tensor]:
    """All floating-point tensors in a layer's output, however it nests tuples, lists and dictionaries."""
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    items = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return [tensor for item in items for tensor in tensors_in(item)]


@contextmanager
def hooked(net: Net, names: Sequence[str]) -> Iterator[Activations]:
    """A net whose layers `names` are caught inside the block; its own hooks stay as they are."""
    modules = dict(net.named_modules()) if isinstance(net, nn.Module) else {}
    caught = [name for name in dict.fromkeys(names) if name != WHOLE]
    activations = Activations(net, WHOLE in names)
    handles: list[RemovableHandle] = []
    try:
        handles += [modules[name].register_forward_hook(activations.hook(name)) for name in caught]
        yield activations
    finally:
        for handle in handles:
            handle.remove()
