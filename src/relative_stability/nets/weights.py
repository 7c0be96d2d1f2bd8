"""Weights from a file into a net, all of them or none."""

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, NamedTuple

from relative_stability.core.errors import InputError
from relative_stability.core.store import read_tensors
from relative_stability.nets import PROGRAMS

if TYPE_CHECKING:
    from torch import Tensor, nn

AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")  # classifiers that serve training alone
PICKLED = (".pt", ".pth", ".ckpt", ".bin")  # what torch.save has written
# Dictionaries around a state dict, and what wrappers put before every name in it; looked for in this order.
AROUND = ("state_dict", "model_state_dict", "model", "net", "network", "ema", "model_ema", "state_dict_ema")
BEFORE = ("module.", "_orig_mod.", "model.", "net.", "network.")


class Loaded(NamedTuple):
    """new_head: whether the last layer stayed as it was; without: what was taken off around or before the weights."""

    new_head: bool
    without: tuple[str, ...]


def is_file(weights: str) -> bool:
    """Whether weights are named by their file; else it is by the name that a library has for them."""
    return Path(weights).suffix in (".safetensors", *PICKLED, *PROGRAMS) or "/" in weights


def check_weights_file(path: Path) -> None:
    """Raise InputError unless `path` is a file that may hold weights."""
    if path.suffix in PROGRAMS:
        raise InputError(f"weights {path} are a program, a net with its weights; give it as the net itself")
    if path.suffix not in (".safetensors", *PICKLED):
        raise InputError(f"weights {path} are no weights file; one of .safetensors, {', '.join(PICKLED)} is needed")
    if not path.is_file():
        raise InputError(f"weights {path} do not exist")


def read_weights(path: Path) -> tuple[dict[str, "Tensor"], tuple[str, ...]]:
    """Tensors of a file by name, and the keys of dictionaries around them, which were taken off.

    .safetensors, or what torch.save has written: of that tensors, numbers and text are read, and no code is run. Raises
    InputError for a file that holds anything else, or no tensors.
    """
    check_weights_file(path)
    found: Any = read_tensors(path)[0] if path.suffix == ".safetensors" else _unpickled(path)
    taken: list[str] = []
    while isinstance(found, Mapping) and (key := next((k for k in AROUND if _is_dict(found.get(k))), None)):
        taken.append(key)
        found = found[key]
    tensors = _tensors(found) if isinstance(found, Mapping) else {}
    if not tensors:
        what = ", ".join(map(str, list(found)[:8])) if isinstance(found, Mapping) else type(found).__name__
        raise InputError(f"weights {path} hold no tensors by name (found: {what}); save net.state_dict()")
    return tensors, tuple(taken)


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _tensors(found: Mapping[Any, Any]) -> dict[str, "Tensor"]:
    import torch

    return {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}


def _unpickled(path: Path) -> Any:
    import argparse

    import numpy as np
    import torch

    # Numbers of numpy and options of a command line stand in many checkpoints, and do nothing when they are made.
    scalar: Any = np.float64(0).__reduce__()[0]
    harmless: list[Any] = [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, argparse.Namespace]
    harmless += [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "?")]
    try:
        with torch.serialization.safe_globals(harmless):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if code := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InputError(
                f"weights {path} hold a {code[1]}, and reading it could run code; if you trust the file, convert it: "
                "torch.save(torch.load(file, weights_only=False).state_dict(), 'weights.pt')"
            ) from None
        raise InputError(f"weights {path} are no file that torch.save has written") from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        if "TorchScript" in str(error):
            raise InputError(f"weights {path} are a TorchScript program; give it as the net itself") from None
        raise InputError(f"weights {path} cannot be read ({_reason(error)}); is the file whole?") from None


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def load_weights(net: "nn.Module", path: str | Path, new_head: bool = False) -> Loaded:
    """Weights from a file into a net, all of them or none.

    path: .safetensors, or what torch.save has written (.pt, .pth, .ckpt, .bin), of which no code is run; dictionaries
    around the state dict (`state_dict`, `model`, `ema`, …) and prefixes of its names (`module.`, `model.`, …) are taken
    off; new_head: the last layer stays as it is where the file's has another number of outputs. Returns what was done.
    Raises InputError for what is no weights file, and for weights that do not fit, naming the first that does not.

    >>> import tempfile, torch
    >>> net, file = torch.nn.Linear(2, 3), tempfile.mkdtemp() + "/weights.pt"
    >>> torch.save({"epoch": 7, "model": {f"module.{k}": v for k, v in net.state_dict().items()}}, file)
    >>> load_weights(torch.nn.Linear(2, 3), file).without
    ('model', 'module.')
    """
    path = Path(path)
    tensors, taken = read_weights(path)
    wanted = net.state_dict()
    without = list(taken)
    if set(tensors) - set(wanted):
        tensors.pop("n_averaged", None)  # of torch's averaged models
    while prefix := next((p for p in BEFORE if all(n.startswith(p) for n in tensors) and not _any(wanted, p)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        without.append(prefix)
    head = _head(net) if new_head else []
    kept = any(name in tensors and tensors[name].shape[:1] != wanted[name].shape[:1] for name in head)
    if kept:
        tensors = {**tensors, **{name: wanted[name] for name in head}}
    # Batch counters carry no weight, and files of other libraries leave them out.
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    tensors = {name: tensor for name, tensor in tensors.items() if name in wanted or not name.startswith(AUXILIARY)}
    unknown = [name for name in tensors if name not in wanted]
    if missing or unknown:
        lacks, has = [f"it lacks {name!r}" for name in missing[:1]], [f"it has {name!r}" for name in unknown[:1]]
        what = " and ".join(lacks + [f"{words}, which the net does not know" for words in has])
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
    return Loaded(kept, tuple(without))


def _any(names: Mapping[str, Any], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _head(net: "nn.Module") -> list[str]:
    """Names of the parameters of the last layer."""
    layer = [name for name, _ in net.named_parameters()][-1].rpartition(".")[0]
    return [f"{layer}.{name}" for name, _ in net.get_submodule(layer).named_parameters()]
