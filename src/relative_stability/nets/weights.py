"""Weights from a safetensors file into a net, all of them or none."""

from pathlib import Path
from typing import TYPE_CHECKING

from relative_stability.core.errors import InputError
from relative_stability.core.store import read_tensors

if TYPE_CHECKING:
    from torch import nn

AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")  # classifiers that serve training alone


def check_weights_file(path: Path) -> None:
    """Raise InputError unless `path` is a file that may hold weights."""
    if path.suffix != ".safetensors":
        raise InputError(
            f"weights {path} are no safetensors file; others can run code when they are opened, so convert them: "
            "safetensors.torch.save_file(net.state_dict(), 'weights.safetensors')"
        )
    if not path.is_file():
        raise InputError(f"weights {path} do not exist")


def load_weights(net: "nn.Module", path: Path, new_head: bool = False) -> bool:
    """Weights from a safetensors file into a net. Raises InputError, naming the first parameter that does not fit.

    new_head: the last layer stays as it is where the file's has another number of outputs. Returns whether it did.
    """
    check_weights_file(path)
    tensors, _ = read_tensors(path)
    wanted = net.state_dict()
    head = _head(net) if new_head else []
    kept = any(name in tensors and tensors[name].shape[:1] != wanted[name].shape[:1] for name in head)
    if kept:
        tensors = {**tensors, **{name: wanted[name] for name in head}}
    # Batch counters carry no weight, and files of other libraries leave them out.
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    tensors = {name: tensor for name, tensor in tensors.items() if name in wanted or not name.startswith(AUXILIARY)}
    unknown = [name for name in tensors if name not in wanted]
    if missing or unknown:
        what = f"it lacks {missing[0]!r}" if missing else f"it has {unknown[0]!r}, which the net does not know"
        raise InputError(f"weights {path} do not fit the net: {what} ({len(missing)} missing, {len(unknown)} unknown)")
    for name in wanted:
        if name in tensors and tensors[name].shape != wanted[name].shape:
            raise InputError(
                f"weights {path} do not fit the net: {name!r} is {tuple(tensors[name].shape)} there and "
                f"{tuple(wanted[name].shape)} in the net; are channels, classes, width and image size the same?"
            )
    net.load_state_dict(tensors, strict=False)
    for counter in (name for name in wanted if name.endswith("num_batches_tracked") and name not in tensors):
        net.get_buffer(counter).fill_(1)  # the running statistics are not those of initialisation
    return kept


def _head(net: "nn.Module") -> list[str]:
    """Names of the parameters of the last layer."""
    layer = [name for name, _ in net.named_parameters()][-1].rpartition(".")[0]
    return [f"{layer}.{name}" for name, _ in net.get_submodule(layer).named_parameters()]
