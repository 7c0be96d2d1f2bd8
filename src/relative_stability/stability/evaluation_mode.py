"""A net in evaluation mode while it is measured: freezes and restores the module's state."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from relative_stability.core.errors import InputError, nearest

BatchNorm = Literal["auto", "batch", "clean", "running"]
BATCH_NORMS: tuple[str, ...] = get_args(BatchNorm)
_BATCH_NORM = nn.modules.batchnorm._BatchNorm
_CHANGED = ("running_mean", "running_var", "track_running_stats")


def statistics_rule(net: Callable[..., Any], batch_norm: BatchNorm) -> BatchNorm:
    """Which statistics a net's batch normalisation is measured with: "batch", "clean" or "running".

    "running" are the layers' own running values; "batch" those of each batch fed, clean, deformed and noisy
    separately (the later code of Petrini et al. 2021); "clean" those of each clean batch, kept for its
    deformed and noisy versions. "auto" is "batch" for a net whose running values were never updated, which is a net
    at initialisation, or that keeps none; else "running". Raises InputError for an unknown rule, and for "batch" and
    "clean" where the layers cannot be reached: in scripted nets, and in callables that are no modules; for "clean" in
    compiled nets too, which heed no hooks that come later.
    """
    if batch_norm not in BATCH_NORMS:
        raise InputError(f"batch_norm {batch_norm!r} is unknown; {nearest(batch_norm, BATCH_NORMS)}")
    if batch_norm in ("batch", "clean"):
        scripted = isinstance(net, nn.Module) and any(isinstance(m, torch.jit.ScriptModule) for m in net.modules())
        compiled = batch_norm == "clean" and isinstance(net, nn.Module) and any(map(_compiled, net.modules()))
        if scripted or compiled or not isinstance(net, nn.Module):
            what = "is scripted" if scripted else "is compiled" if compiled else "is no torch.nn.Module"
            raise InputError(f"batch_norm = {batch_norm!r} cannot be used: the net {what}; use auto or running")
        return batch_norm
    layers = _batch_norms(net)
    if batch_norm == "running" or not layers:
        return "running"
    return "running" if any(map(_updated, layers)) else "batch"


def _compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _updated(layer: Any) -> bool:
    """Whether a layer has running values, and not those of initialisation."""
    if layer.running_mean is None or layer.running_var is None:
        return False
    counted = layer.num_batches_tracked is not None and bool(layer.num_batches_tracked > 0)
    return counted or bool((layer.running_mean != 0).any()) or bool((layer.running_var != 1).any())


def _batch_norms(net: Callable[..., Any]) -> list[Any]:
    return [m for m in net.modules() if isinstance(m, _BATCH_NORM)] if isinstance(net, nn.Module) else []


class _CleanStatistics:
    """A layer's statistics in the pass of a clean batch, used again in later passes, call by call."""

    def __init__(self) -> None:
        self.recorded: list[tuple[Tensor, Tensor]] = []
        self.calls = 0
        self.recording = False

    def before(self, layer: Any, inputs: tuple[Tensor, ...]) -> None:
        """Hook that runs before the layer, which takes what it finds as its running values."""
        if self.recording:
            x = inputs[0].float() if inputs[0].dtype != torch.float64 else inputs[0]
            others = [d for d in range(x.ndim) if d != 1]
            like = inputs[0] if layer.weight is None else layer.weight
            self.recorded.append((x.mean(others).to(like.dtype), x.var(others, unbiased=False).to(like.dtype)))
        call = len(self.recorded) - 1 if self.recording else self.calls % len(self.recorded)
        self.calls += not self.recording
        layer.running_mean, layer.running_var = self.recorded[call]


class EvaluationMode:
    """The mode of a net that is measured: `clean()` surrounds passes of unchanged batches, `forward()` every pass."""

    def __init__(self, statistics: list[_CleanStatistics], device: torch.device, mixed_precision: bool) -> None:
        self.statistics, self.device, self.mixed = statistics, device, mixed_precision

    @property
    def follows_clean(self) -> bool:
        """Whether later passes depend on the last clean one."""
        return bool(self.statistics)

    @contextmanager
    def clean(self) -> Iterator[None]:
        """With the rule "clean", record the statistics of the batch fed, which later passes then use."""
        for each in self.statistics:
            each.recorded, each.calls, each.recording = [], 0, True
        try:
            yield
        finally:
            for each in self.statistics:
                each.recording = False

    @contextmanager
    def forward(self) -> Iterator[None]:
        """The precision asked for: full, or bfloat16 autocast."""
        known = self.device.type in ("cpu", "cuda")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed) if known else nullcontext():
            yield


@contextmanager
def evaluation_mode(
    net: Callable[..., Any], rule: BatchNorm, device: torch.device, mixed_precision: bool = False
) -> Iterator[EvaluationMode]:
    """Put a net into evaluation mode, with the statistics of `rule`; then restore modes, statistics and generators.

    mixed_precision: bfloat16 autocast, and TF32 where the device has it; without it neither, whatever is set outside.
    A callable that is no module is taken as it is.
    """
    layers = _batch_norms(net)
    modes = [(m, m.training) for m in net.modules()] if isinstance(net, nn.Module) else []
    kept = [(layer, {key: getattr(layer, key) for key in _CHANGED}) for layer in layers]
    statistics: list[_CleanStatistics] = []
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
            stack.enter_context(torch.autocast(device.type, enabled=False) if device.type != "mps" else nullcontext())
            stack.enter_context(tf32(mixed_precision) if device.type == "cuda" else nullcontext())
            if isinstance(net, nn.Module):
                try:
                    net.eval()
                except NotImplementedError:  # an exported program has one mode; what is around it has two
                    for module in net.modules():
                        module.training = False
            for layer in layers:
                if rule == "batch":
                    # In training mode without tracking, a layer uses the batch's statistics and updates nothing.
                    layer.training, layer.track_running_stats = True, False
                elif rule == "clean":
                    statistics.append(_CleanStatistics())
                    stack.callback(layer.register_forward_pre_hook(statistics[-1].before).remove)
            yield EvaluationMode(statistics, device, mixed_precision)
    finally:
        for layer, values in kept:
            for key, value in values.items():
                setattr(layer, key, value)
        for module, training in modes:
            module.training = training


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Matrix products and convolutions on GPUs in TF32, or in full float32, inside the block."""
    backends = torch.backends
    if hasattr(backends.cuda.matmul, "fp32_precision"):  # torch 2.9 and later; the older names must not be mixed in
        settings: tuple[Any, ...] = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)  # type: ignore[attr-defined]
        name, value = "fp32_precision", "tf32" if allowed else "ieee"
    else:
        settings, name, value = (backends.cuda.matmul, backends.cudnn), "allow_tf32", allowed  # type: ignore[assignment]
    before = [getattr(setting, name) for setting in settings]
    try:
        for setting in settings:
            setattr(setting, name, value)
        yield
    finally:
        for setting, old in zip(settings, before, strict=True):
            setattr(setting, name, old)
