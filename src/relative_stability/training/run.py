"""A run: its seeds trained together or one after another, and what they made, for the store."""

import resource
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xarray as xr
from torch import Tensor

from relative_stability.core.errors import InputError, Stopped
from relative_stability.core.logs import log
from relative_stability.core.randomness import seeded_globally
from relative_stability.datasets.base import below
from relative_stability.datasets.prepared import Prepared
from relative_stability.nets import ARCHITECTURES
from relative_stability.training.checkpoints import Checkpoints
from relative_stability.training.compact import decompress
from relative_stability.training.engine import OutOfMemory, Training
from relative_stability.training.members import Alone, Members, Together, make_net, start_net, train_together
from relative_stability.training.numerics import check_compiler, numerics, out_of_memory
from relative_stability.training.pool import Pool
from relative_stability.training.progress import Progress
from relative_stability.training.records import curves_dataset
from relative_stability.training.schedule import Schedule

Weights = dict[str, Tensor]


class Execution(NamedTuple):
    """How a run is trained, which its numbers do not depend on beyond rounding. seeds: auto, together or alone."""

    seeds: str = "auto"
    compile: bool = False
    checkpoint_minutes: float = 10


class Trained(NamedTuple):
    """A run: curves, weights named `state/parameter` with a first dimension for the seeds, and how."""

    curves: xr.Dataset
    weights: Weights
    attributes: dict[str, int | float | str]


def train_run(
    request: Mapping[str, Any],
    data: Prepared,
    seeds: range,
    device: torch.device,
    data_root: Path = Path(),
    execution: Execution = Execution(),  # noqa: B008, it cannot change
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train a run, or go on with it where its checkpoints say.

    data_root: the folder that `pretrained` is looked for in. A seed that diverged is stored with the epoch at which it
    did, and its curves are NaN from there on; one that collapsed is marked. Raises Stopped when a signal asked to
    leave, with all that was done in the checkpoints, and InputError where memory is too small.
    """
    if execution.compile:
        check_compiler()
    run = _Run(request, data, seeds, device, data_root, execution, checkpoints)
    with numerics(request["training"].get("precision", "float32"), device):
        parts = run.train()
    for seed, diverged, collapsed in zip(seeds, parts.curves["diverged"], parts.curves["collapsed"], strict=True):
        if diverged.isfinite():
            log.warning("seed %d diverged: its loss is not finite at epoch %d; it enters no average", seed, diverged)
        if collapsed:
            log.warning(
                "seed %d collapsed: its output is the same for every sample; it enters no average. Another "
                "learning_rate may help",
                seed,
            )
    return Trained(curves_dataset(seeds, run.schedule, parts.curves), parts.weights, run.attributes(parts))


class _Part(NamedTuple):
    """What a group of seeds made, or all of them. facts: how, and how long it took."""

    curves: dict[str, Tensor]
    weights: Weights
    facts: dict[str, Any]


@dataclass
class _Run:
    """The groups of a run, one after another."""

    request: Mapping[str, Any]
    data: Prepared
    seeds: range
    device: torch.device
    data_root: Path
    execution: Execution
    checkpoints: Checkpoints | None

    def __post_init__(self) -> None:
        self.net, self.options = self.request["net"], self.request["training"]
        self.P = self.request["P"]
        self.schedule = Schedule(self.options, self.P)
        self.architecture = ARCHITECTURES[self.net["architecture"]]
        named = self.net.get("pretrained")
        self.pretrained = None if named is None else below(self.data_root, named)
        self.pool = Pool(self.data, self.device)

    def train(self) -> _Part:
        """All seeds, together or one by one."""
        single = [range(seed, seed + 1) for seed in self.seeds]
        if self._together():
            try:
                return self._group(self.seeds)
            except OutOfMemory as error:
                log.warning("%s; going on with one seed at a time", error)
                self.pool.buffers.clear()
                if self.checkpoints is not None:
                    self.checkpoints.drop(_name(self.seeds))
        parts = [self._group(seeds) for seeds in single]
        return _Part(
            {name: torch.cat([part.curves[name] for part in parts]) for name in parts[0].curves},
            {name: torch.cat([part.weights[name] for part in parts]) for name in parts[0].weights},
            {
                name: max(part.facts[name] for part in parts)
                if name in ("parts", "together")
                else sum(part.facts[name] for part in parts)
                for name in parts[0].facts
            },
        )

    def _together(self) -> bool:
        if len(self.seeds) == 1:
            return False
        model = make_net(self.net, self.data, self.options["loss"], self.seeds[0])
        chosen = train_together(
            self.execution.seeds, self.net["architecture"], model, self.device, self.schedule.batch_size
        )
        begun = self.checkpoints.groups() if self.checkpoints is not None else []
        if begun and chosen != (_name(self.seeds) in begun):
            log.info("the checkpoints say that seeds train %s, and so they go on", "alone" if chosen else "together")
            return not chosen
        return chosen

    def _members(self, seeds: range) -> Members:
        started = [
            start_net(self.net, self.data, self.options["loss"], seed, self.device, self.pretrained) for seed in seeds
        ]
        if len(started) == 1:
            return Alone(started[0], self.execution.compile, self.device)
        return Together(started, self.architecture.stacks, self.execution.compile, self.device)

    def _group(self, seeds: range) -> _Part:
        """The training of some seeds, from its checkpoint or from the start, to its end."""
        saved = None if self.checkpoints is None else self.checkpoints.load(_name(seeds))
        if saved is not None and saved[1]["finished"]:
            return _part(*saved)
        try:
            return self._trained(seeds, saved)
        except (RuntimeError, MemoryError) as error:  # while nets are made or evaluated: those of a step are handled
            if not out_of_memory(error):
                raise
            raise OutOfMemory(f"out of memory with {len(seeds)} seed(s) at once; give the job more") from None

    def _trained(self, seeds: range, saved: tuple[Weights, dict[str, Any]] | None) -> _Part:
        dropout = self.architecture.dropout
        check_stopped = (lambda: None) if self.checkpoints is None else self.checkpoints.check_stopped
        with seeded_globally(seeds[0], "dropout", device=self.device) if dropout else nullcontext():
            training = Training(
                self._members(seeds), self.pool, self.P, self.options, seeds,
                batch_norm=self.architecture.batch_norm, dropout=dropout, check_stopped=check_stopped,
            )  # fmt: skip
            before = {"train_time_s": 0.0, "restarts": 0}
            if saved is not None:
                training.resume(*saved)
                before = {"train_time_s": saved[1]["train_time_s"], "restarts": saved[1]["restarts"] + 1}
                log.info("%s: goes on after %d of %d steps", _name(seeds), training.taken, self.schedule.steps)
            return self._finished(training, _name(seeds), before)

    def _finished(self, training: Training, name: str, before: Mapping[str, Any]) -> _Part:
        started = time.monotonic()
        progress = Progress(f"{self.net['architecture']} P={self.P} {name}", training)

        def facts(finished: bool) -> dict[str, Any]:
            spent = round(before["train_time_s"] + time.monotonic() - started, 3)
            how = {"train_time_s": spent, "restarts": before["restarts"], "together": training.members.count}
            return {**training.facts(), **how, "finished": finished}

        try:
            while not training.finished:
                training.advance()
                progress.show()
                if self.checkpoints is not None and self.checkpoints.due:
                    self.checkpoints.try_to_save(name, training.tensors(), facts(finished=False))
            training.finish()
        except Stopped:
            if self.checkpoints is not None:
                self.checkpoints.save(name, training.tensors(), facts(finished=False))
            raise
        finally:
            progress.close()
        part = training.records.tensors(), facts(finished=True)
        if self.checkpoints is not None and training.members.count < len(self.seeds):
            self.checkpoints.try_to_save(name, *part)
        return _part(*part)

    def attributes(self, part: _Part) -> dict[str, int | float | str]:
        """How the run was trained, for the result."""
        facts = part.facts
        in_steps = max(facts["train_time_s"] - facts["evaluation_s"], 1e-9)
        images = facts["taken"] / self.schedule.steps_an_epoch * self.P * facts["together"]
        # Counted from the start of the process, imports and data included: what a job has to ask for.
        peak = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        if self.device.type == "cuda":
            peak["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated(self.device) / 2**20
        return {
            "precision": self.options.get("precision", "float32"),
            "seeds_together": facts["together"],
            "batch_parts": facts["parts"],
            "compiled": int(self.execution.compile),
            "threads": torch.get_num_threads(),
            "restarts": facts["restarts"],
            "train_time_s": round(facts["train_time_s"], 3),
            "evaluation_time_s": round(facts["evaluation_s"], 3),
            "images_per_second": round(images / in_steps, 1),
            **{name: round(megabytes, 1) for name, megabytes in peak.items()},
        }


def _name(seeds: range) -> str:
    return f"seeds{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else f"seed{seeds[0]}"


def _part(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> _Part:
    def below_prefix(prefix: str) -> Weights:
        return {n.removeprefix(prefix): t.cpu() for n, t in tensors.items() if n.startswith(prefix)}

    kept = {name: facts[name] for name in ("taken", "parts", "evaluation_s", "train_time_s", "restarts", "together")}
    return _Part(below_prefix("curves/"), below_prefix("kept/"), kept)


def load_net(
    request: Mapping[str, Any],
    data: Prepared,
    weights: Weights,
    state: str,
    index: int | tuple[int, ...],
    device: torch.device,
) -> torch.nn.Module:
    """The net of a run, for the seed at position `index`. state: init, best, last, or that of `snapshot_state`."""
    model = make_net(request["net"], data, request["training"]["loss"], seed=0)
    try:
        model.load_state_dict(decompress(weights, state, index))
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the weights of a run do not fit its net, in state {state!r} ({reason}); delete them"
        ) from None
    return model.to(device)
