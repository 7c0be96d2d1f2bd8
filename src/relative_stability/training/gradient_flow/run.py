"""A run by gradient flow: its seeds at every alpha, on one device, and what they made as arrays for the store."""

import resource
import time
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from relative_stability.core.errors import Stopped
from relative_stability.core.logs import log
from relative_stability.core.randomness import generator
from relative_stability.datasets.prepared import Prepared
from relative_stability.training.checkpoints import Checkpoints
from relative_stability.training.gradient_flow.flow import Flow
from relative_stability.training.gradient_flow.limits import fastest_growth
from relative_stability.training.gradient_flow.linear_model import compression
from relative_stability.training.gradient_flow.records import FlowRecords, Now, curves_dataset, plane, record_times
from relative_stability.training.gradient_flow.tangent_kernel import stacked
from relative_stability.training.members import make_net
from relative_stability.training.numerics import numerics
from relative_stability.training.run import Execution, Trained

SILENCE = 60  # seconds after which the log says how far a flow is
PRECISE = 1e4  # weights that move by less than 1/alpha of themselves take double precision beyond this alpha

Member = tuple[int, float]  # seed and alpha


def flow_run(
    request: Mapping[str, Any],
    data: Prepared,
    seeds: range,
    device: torch.device,
    execution: Execution = Execution(),  # noqa: B008, it cannot change
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Follow the gradient flow of every seed at every alpha, or go on with it where the checkpoints say.

    On a CPU one net after another, so that a seed has the same bits in whichever range it stands; on a GPU, or with
    `seeds: together`, all at once. Raises Stopped when a signal asked to leave, with all that was done in the
    checkpoints.
    """
    alphas = request["training"]["alpha"]
    members = list(product(seeds, alphas))
    together = execution.seeds == "together" or (execution.seeds == "auto" and device.type == "cuda")
    groups = [members] if together else [[member] for member in members]
    with torch.no_grad(), numerics("float32", device):
        parts = [_Group(request, data, group, device, checkpoints).finished() for group in groups]
    records = parts[0].records
    for name in records.tensors:
        records.tensors[name] = torch.cat([part.records.tensors[name] for part in parts])
    for (seed, alpha), stuck in zip(members, records.tensors["diverged"], strict=True):
        if stuck.isfinite():
            log.warning(
                "seed %d, alpha %g: no step is short enough at t = %g; it enters no average", seed, alpha, stuck
            )
    source = request["dataset"]["options"]["source"]
    shape = (len(seeds), len(alphas))
    kept = {n: t for n, t in records.tensors.items() if n.startswith(("time/", "fitted/"))}
    weights = {n: t.view(*shape, *t.shape[1:]) for n, t in kept.items() if not n.endswith(f"/{records.first}")}
    each = torch.stack([data.training_subset(request["P"], seed) for seed in seeds])
    samples = data.seen(each.flatten(), torch.device("cpu")).view(*each.shape, -1), 2 * data.labels[each] - 1
    limits = torch.full((len(seeds),), torch.nan, dtype=torch.float64)
    if request["net"]["architecture"] == "one_hidden":
        for k, seed in enumerate(seeds):
            fastest = fastest_growth(samples[0][k], samples[1][k], generator(seed, "growth"))
            limits[k] = compression(fastest[None, :-1], data.uninformative)
    found = curves_dataset(seeds, alphas, records, samples, limits, source)
    return Trained(found, weights, _attributes(parts, device, len(groups[0])))


class _Group:
    """Some nets that follow their flows side by side."""

    def __init__(
        self, request: Mapping[str, Any], data: Prepared, members: Sequence[Member], device: torch.device,
        checkpoints: Checkpoints | None,
    ) -> None:  # fmt: skip
        options = request["training"]
        self.members, self.checkpoints = members, checkpoints
        self.name = "-".join(f"seed{seed}.alpha{alpha:g}" for seed, alpha in (members[0], members[-1])[: len(members)])
        dtype = torch.float64 if max(alpha for _, alpha in members) > PRECISE else torch.float32

        def samples(indices: Tensor) -> tuple[Tensor, Tensor]:
            return data.seen(indices, device).flatten(1).to(dtype), (2 * data.labels[indices].to(device) - 1).to(dtype)

        models = [make_net(request["net"], data, options["loss"], seed).to(device) for seed, _ in members]
        nets, self.names = stacked(models, dtype)
        training = [samples(data.training_subset(request["P"], seed)) for seed, _ in members]
        inputs, signs = (torch.stack(parts) for parts in zip(*training, strict=True))
        alpha = torch.tensor([alpha for _, alpha in members], device=device, dtype=dtype)
        self.flow = Flow(nets, inputs, signs, alpha, options["tolerance"])
        test, self.test_signs = samples(torch.nonzero(data.test).flatten())
        surface = plane(test.shape[1], data.uninformative).to(test)
        self.elsewhere = [x.expand(len(members), -1, -1) for x in (test[None], surface)]
        self.former = [nets.outputs(x) for x in self.elsewhere]
        self.ends_fitted = options["flow_end"] == "fitted"
        self.times = torch.tensor(record_times(options), dtype=torch.float64, device=device)
        self.records = FlowRecords(self.times.tolist(), self._weights(), data.uninformative)
        self.due = torch.zeros(len(members), dtype=torch.long)  # next column to be recorded
        self.spent, self.restarts, self.recording = 0.0, 0, 0.0
        self.said = time.monotonic()

    def finished(self) -> "_Group":
        """The group with all its flows at their ends."""
        if self.checkpoints is not None and (saved := self.checkpoints.load(self.name)) is not None:
            self._resume(*saved)
        before, started = self.spent, time.monotonic()
        try:
            while len(active := (self.due < len(self.times)).nonzero().flatten()):
                if self.checkpoints is not None:
                    self.checkpoints.check_stopped()
                self._advance(active)
                self.spent = before + time.monotonic() - started
                if self.checkpoints is not None and self.checkpoints.due:
                    self.checkpoints.try_to_save(self.name, *self._saved())
        except Stopped:
            if self.checkpoints is not None:
                self.checkpoints.save(self.name, *self._saved())
            raise
        if self.checkpoints is not None:
            self.checkpoints.try_to_save(self.name, *self._saved())
        return self

    def _advance(self, active: Tensor) -> None:
        """Record what is due, then try a step of those that go on."""
        state = self.flow.state
        times, over = self.times.cpu(), (self.flow.met | self.flow.stuck).cpu()
        if self.ends_fitted:
            over |= state.fitted.cpu().isfinite()
        reached = state.time.cpu() >= times[self.due.clamp(max=len(times) - 1)]
        if bool((reached | over)[active].any()):
            self._record([k for k in active.tolist() if reached[k] or over[k]], over)
        going = active[self.due[active] < len(times)].to(self.times.device)
        if len(going):
            before = state.fitted[going].isnan()
            self.flow.advance(going, self.times[self.due[going.cpu()].to(self.times.device)])
            if len(fitted := going[before & self.flow.state.fitted[going].isfinite()]):
                self._record_fitted(fitted.tolist())

    def _record_fitted(self, which: Sequence[int]) -> None:
        """The nets that have just come to t*."""
        started, state, now = time.monotonic(), self.flow.state, self._now(self._outputs()[0])
        for k in which:
            self.records.record_fitted(k, float(state.fitted[k]), float(self.flow.meeting(state.margins)[k]), now)
        self.recording += time.monotonic() - started

    def _record(self, which: Sequence[int], over: Tensor) -> None:
        started, state = time.monotonic(), self.flow.state
        test, surface = self._outputs()
        now = self._now(test)
        for k in which:
            self.records.record(k, int(self.due[k]), now)
            self.due[k] = len(self.times) if over[k] else self.due[k] + 1
            if time.monotonic() - self.said > SILENCE:
                log.info("seed %d, alpha %g: loss %.4g at t = %.4g", *self.members[k], now.loss[k], state.time[k])
                self.said = time.monotonic()
            if self.due[k] == len(self.times):
                met, stuck, end = bool(self.flow.met[k]), bool(self.flow.stuck[k]), float(state.time[k])
                self.records.end(k, end, int(state.steps[k]), met, stuck and not met, surface[k])
                self._say(k, met, end)
        self.recording += time.monotonic() - started

    def _say(self, k: int, met: bool, end: float) -> None:
        last = {name: float(self.records.tensors[name][k, -1]) for name in ("train_loss", "test_error", "compression")}
        log.info(
            "seed %d, alpha %g: %s at t = %.4g after %d steps; training loss %.4g, test error %.4g, compression %.4g",
            *self.members[k], "every margin is met" if met else "margins are left unmet", end,
            int(self.flow.state.steps[k]), *last.values(),
        )  # fmt: skip

    def _now(self, test: Tensor) -> Now:
        signs = self.test_signs.expand(len(self.members), -1)
        return Now(self._weights(), (1 - self.flow.state.margins).clamp(min=0).mean(1), test, signs)

    def _outputs(self) -> list[Tensor]:
        """α(f − f₀) on the test set and on the plane, (M, …)."""
        nets = self.flow.nets.like(self.flow.state.weights)
        pairs = zip(self.elsewhere, self.former, strict=True)
        return [self.flow.alpha[:, None] * (nets.outputs(x) - initial) for x, initial in pairs]

    def _weights(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.flow.state.weights, strict=True))

    def _saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a checkpoint needs."""
        weights, *rest = self.flow.state
        tensors = {f"now/{n}": w for n, w in zip(self.names, weights, strict=True)}
        tensors |= {f"state/{n}": t for n, t in zip(self.flow.state._fields[1:], rest, strict=True)}
        tensors |= {f"kept/{n}": t for n, t in self.records.tensors.items()} | {"due": self.due}
        if (kernel := self.flow.kernel) is not None:  # its matrix is made anew
            tensors |= {"kernel/which": kernel.which, "kernel/mask": kernel.mask}
            tensors |= {f"kernel/{n}": w for n, w in zip(self.names, kernel.weights, strict=True)}
        return tensors, {
            "spent": round(self.spent, 3),
            "restarts": self.restarts,
            "recording": round(self.recording, 3),
        }

    def _resume(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        for name, tensor in self._weights().items():
            tensor.copy_(tensors[f"now/{name}"])
        for name, tensor in zip(self.flow.state._fields[1:], self.flow.state[1:], strict=True):
            tensor.copy_(tensors[f"state/{name}"])
        for name, tensor in self.records.tensors.items():
            tensor.copy_(tensors[f"kept/{name}"])
        self.due = tensors["due"]
        if "kernel/mask" in tensors:
            device = self.times.device
            weights = [tensors[f"kernel/{name}"].to(device) for name in self.names]
            self.flow.kernel = self.flow.make_kernel(
                tensors["kernel/which"].to(device), weights, tensors["kernel/mask"].to(device)
            )
        self.spent, self.recording = facts["spent"], facts["recording"]
        if bool((self.due < len(self.times)).any()):
            self.restarts = facts["restarts"] + 1
            log.info("%s: goes on after %d steps", self.name, int(self.flow.state.steps.sum()))


def _attributes(parts: Sequence[_Group], device: torch.device, together: int) -> dict[str, int | float | str]:
    """How the run was followed, for the result."""
    spent, recording = sum(part.spent for part in parts), sum(part.recording for part in parts)
    steps = sum(int(part.flow.state.steps.sum()) for part in parts)
    peak = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if device.type == "cuda":
        peak["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    return {
        "precision": str(parts[0].flow.signs.dtype).removeprefix("torch."),
        "nets_together": together,
        "threads": torch.get_num_threads(),
        "restarts": sum(part.restarts for part in parts),
        "train_time_s": round(spent, 3),
        "evaluation_time_s": round(recording, 3),
        "steps_per_second": round(steps / max(spent - recording, 1e-9), 1),
        **{name: round(megabytes, 1) for name, megabytes in peak.items()},
    }
