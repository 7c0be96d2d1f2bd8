"""Hold a net still while it is measured, and hand it back as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import nn

from relative_stability.errors import InputError, nearest

BatchNorm = Literal["auto", "batch", "clean", "running"]
BATCH_NORMS: tuple[str, ...] = get_args(BatchNorm)
_BATCH_NORM = nn.modules.batchnorm._BatchNorm
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "momentum", "training", "track_running_stats")


def statistics_rule(net: Callable[..., Any], batch_norm: BatchNorm) -> BatchNorm:
    """Which statistics a net's batch normalisation is measured with: "batch", "clean" or "running".

    "running" are the layers' own running values; "batch" those of each batch fed, clean, deformed and noisy
    separately (the later code of Petrini et al. 2021); "clean" those of each clean batch, held fixed for its
    deformed and noisy versions. "auto" is "batch" for a net whose running values were never updated, which is a net
    at initialisation, else "running". Raises InputError for an unknown rule.
    """
    if batch_norm not in BATCH_NORMS:
        raise InputError(f"batch_norm {batch_norm!r} is unknown; {nearest(batch_norm, BATCH_NORMS)}")
    if batch_norm != "auto":
        return batch_norm
    layers = _batch_norms(net)
    tracked = [m for m in layers if m.track_running_stats]
    updated = any(m.num_batches_tracked is not None and m.num_batches_tracked > 0 for m in tracked)
    return "batch" if tracked and not updated else "running"


def _batch_norms(net: Callable[..., Any]) -> list[Any]:
    return [m for m in net.modules() if isinstance(m, _BATCH_NORM)] if isinstance(net, nn.Module) else []


class Held:
    """A net that is held still. `clean()` is to surround the pass of each unchanged batch."""

    def __init__(self, layers: list[Any], rule: BatchNorm) -> None:
        self.layers, self.rule = layers, rule

    @contextmanager
    def clean(self) -> Iterator[None]:
        """With the rule "clean", record the statistics of the batch fed, which later passes then use."""
        recording = self.layers if self.rule == "clean" else []
        for layer in recording:
            layer.training = True
        try:
            yield
        finally:
            for layer in recording:
                layer.training = False


@contextmanager
def held(
    net: Callable[..., Any], rule: BatchNorm, device: torch.device, mixed_precision: bool = False
) -> Iterator[Held]:
    """Hold a net in evaluation mode, with the statistics of `rule`; then put back modes, statistics and generators.

    mixed_precision: bfloat16 autocast, and TF32 where the device has it; without it neither, whatever is set outside.
    """
    modules = list(net.modules()) if isinstance(net, nn.Module) else []
    layers = _batch_norms(net)
    modes = [(m, m.training) for m in modules]
    kept = [(layer, {key: getattr(layer, key) for key in _STATISTICS}) for layer in layers]
    generators = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    try:
        if isinstance(net, nn.Module):
            net.eval()
        for layer in layers:
            if rule == "batch":
                # In training mode without tracking, a layer uses the batch's statistics and updates nothing.
                layer.training, layer.track_running_stats = True, False
            elif rule == "clean":
                # Statistics are recorded beside the layer's own, which are put back untouched.
                like = layer.weight if layer.weight is not None else torch.zeros((), device=device)
                layer.running_mean = torch.zeros(layer.num_features, device=like.device, dtype=like.dtype)
                layer.running_var = torch.ones(layer.num_features, device=like.device, dtype=like.dtype)
                layer.num_batches_tracked = torch.zeros((), dtype=torch.long, device=like.device)
                layer.momentum, layer.track_running_stats = 1.0, True
        with generators, _precision(device, mixed_precision):
            yield Held(layers, rule)
    finally:
        for layer, values in kept:
            for key, value in values.items():
                setattr(layer, key, value)
        for module, training in modes:
            module.training = training


@contextmanager
def _precision(device: torch.device, mixed: bool) -> Iterator[None]:
    """Full float32, or bfloat16 autocast with TF32, inside the block."""
    settings: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul) if device.type == "cuda" else ()
    before = [setting.allow_tf32 for setting in settings]
    known = device.type in ("cpu", "cuda")
    try:
        for setting in settings:
            setting.allow_tf32 = mixed
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed) if known else nullcontext():
            yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.allow_tf32 = value
