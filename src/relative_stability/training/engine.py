"""The loop that trains a group of seeds, as fast as the device allows, and that can stop and go on at any step.

All randomness of an epoch (order, augmentation, dropout) follows from seed and epoch and is drawn at its start. So the
state of a run is where it is, its weights and what was recorded; a run that goes on from there makes the same numbers.
The test set is evaluated at a few epochs: at every one it would cost more than the training at small P.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from relative_stability.core.errors import InputError
from relative_stability.core.logs import log
from relative_stability.core.randomness import generator, seed_globally
from relative_stability.training.augmentation import build_augmentation
from relative_stability.training.members import Members, State
from relative_stability.training.numerics import autocast, numerics, out_of_memory
from relative_stability.training.objective import Objective
from relative_stability.training.optimizer import OPTIMIZERS
from relative_stability.training.pool import Pool
from relative_stability.training.records import Records, Scores
from relative_stability.training.schedule import Schedule

COLLAPSED = 1e-4  # a net whose output varies by less of its size has died
SETTLED = 50  # steps before which the running statistics of batch normalisation may make a living net look dead
EVALUATION_BATCH = 128  # larger ones leave the cache and take several times as long


class Training:
    """The training of one group of seeds, a step at a time.

    members: the nets, initialised; options: those of training. batch_norm, dropout: whether the nets have them: no
    batch is then cut when memory is short, as they would notice. check_stopped: called between any two pieces of
    work; what it raises leaves a state that `tensors` can save.
    """

    def __init__(
        self,
        members: Members,
        pool: Pool,
        P: int,
        options: Mapping[str, Any],
        seeds: Sequence[int],
        batch_norm: bool = False,
        dropout: bool = False,
        check_stopped: Callable[[], None] = lambda: None,
    ) -> None:
        self.members, self.pool, self.P, self.seeds = members, pool, P, list(seeds)
        self.batch_norm, self.dropout, self.check_stopped = batch_norm, dropout, check_stopped
        self.schedule = Schedule(options, P)
        self.objective = Objective(options["loss"], options["alpha"], options.get("label_smoothing", 0.0))
        self.precision = options.get("precision", "float32")
        self.patience = options.get("zero_loss_epochs")
        self.optimizer = OPTIMIZERS[options["optimizer"]](members.parameters, options, self.schedule, members.stacked)
        self.augmentations = build_augmentation(options)
        self.train = pool.subsets(P, self.seeds)
        self.test = pool.test[None]  # the same for every seed
        self.initial = self._raw(self.train) if self.objective.alpha is not None else None
        self.initial_test = self._raw(self.test) if self.objective.alpha is not None else None
        self.records = Records(self.schedule, members.tensors())
        self.observed = -1  # steps after which what was due was recorded
        self.epoch, self.order, self.drawn = 0, self.train, list[Tensor]()
        self.over = False  # whether every seed has diverged or ended
        self.evaluation_s = 0.0
        # Sum over the batches of this epoch; on the device, one look at it in an epoch.
        self.epoch_losses = torch.zeros(len(self.seeds), device=pool.device)
        self.parts = 1  # pieces that a batch is cut into

    @property
    def taken(self) -> int:
        """Steps so far."""
        return self.optimizer.taken

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.observed == self.taken and (self.over or self.taken == self.schedule.steps)

    def advance(self) -> None:
        """Do what comes next: record what is due after the steps so far, or take one more."""
        self.check_stopped()
        if self.observed < self.taken:
            self._observe()
            self.observed = self.taken
        else:
            self._step()

    def finish(self) -> None:
        """After the last step: see which nets have collapsed to an output that is the same for all samples.

        That is, over samples of several classes it varied by less than COLLAPSED of its size at the last record.
        """
        if self.batch_norm and self.taken < SETTLED:
            return
        labels = self.pool.labels[self.train]
        several = (labels != labels[:, :1]).any(1).cpu()
        constant = self.records.curves["variation"] <= COLLAPSED
        self.records.curves["collapsed"] = several & constant & self.records.curves["diverged"].isnan()

    def _step(self) -> None:
        epoch, batch = divmod(self.taken, self.schedule.steps_an_epoch)
        if self.epoch != epoch + 1:
            self._draw(epoch + 1)
        start = batch * self.schedule.batch_size
        # A seed that is over goes on in its stack, and is not looked at any more.
        self.epoch_losses += self._gradient(range(start, min(start + self.schedule.batch_size, self.P)))
        self.optimizer.step()

    def _draw(self, epoch: int) -> None:
        """Order and augmentation of an epoch, counted from 1."""
        device = self.pool.device
        orders = [torch.randperm(self.P, generator=generator(seed, "order", epoch)) for seed in self.seeds]
        self.order = torch.stack(orders).to(device)
        self.drawn = []
        for number, augmentation in enumerate(self.augmentations):
            streams = [generator(seed, "augmentation", number, epoch) for seed in self.seeds]
            self.drawn.append(torch.stack([augmentation.draw(self.P, stream) for stream in streams]).to(device))
        if self.dropout:
            seed_globally(self.seeds[0], "dropout", epoch, device=device)
        self.epoch = epoch

    def _gradient(self, batch: range) -> Tensor:
        """Add the gradient of the mean loss over a batch to the optimiser's; returns these losses, (S,)."""
        while True:
            try:
                size = -(-len(batch) // self.parts)
                parts = [batch[k : k + size] for k in range(0, len(batch), size)]
                losses = self._part(parts[0], len(batch))
                for part in parts[1:]:
                    losses += self._part(part, len(batch))
                return losses
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if self.batch_norm or self.dropout or self.parts >= len(batch):
                    raise OutOfMemory(self._advice(len(batch))) from None
            self.optimizer.gradient.zero_()
            self.pool.buffers.clear()
            self.parts *= 2
            log.warning("memory is short: batches are cut into %d parts, which leaves the result as it is", self.parts)

    def _part(self, part: range, whole: int) -> Tensor:
        columns = slice(part.start, part.stop)
        places = self.order[:, columns]
        indices = self.train.gather(1, places)
        images = self.pool.fetch(indices, self.augmentations, [numbers[:, columns] for numbers in self.drawn])
        initial = None
        if self.initial is not None:
            initial = self.initial.gather(1, places[..., None].expand(-1, -1, self.initial.shape[-1]))
        with autocast(self.precision, self.pool.device):
            raw = self.members.forward(images)
        losses = self.objective.losses(self.objective.outputs(raw.float(), initial), self.pool.labels[indices])
        mean = losses.sum(1) / whole
        mean.sum().backward()
        return mean.detach()

    def _advice(self, batch: int) -> str:
        where = "GPU memory" if self.pool.device.type == "cuda" else "memory"
        remedy = "take a smaller batch_size, or give the job more memory"
        if self.members.count > 1:
            remedy = "set engine.seeds: alone, " + remedy
        return f"out of {where} at a batch of {batch} samples for {self.members.count} seed(s) at once; {remedy}"

    def _observe(self) -> None:
        """Record what is due after the steps taken so far."""
        epoch, inside = divmod(self.taken, self.schedule.steps_an_epoch)
        due = self.taken in self.schedule.snapshots
        scores = None
        if due:
            scores = self._scores()
            which = self.records.active() & scores.losses.isfinite()
            self.records.snapshot(self.schedule.snapshots.index(self.taken), scores, self.members.tensors(), which)
        if inside:
            return
        epoch_losses = self.epoch_losses.cpu()
        if epoch > 0:
            self.records.diverge(~epoch_losses.isfinite(), epoch)
        zero = (epoch_losses == 0) & (epoch > 0)
        streak = torch.where(zero, self.records.curves["zero_epochs"] + 1, 0)
        ended = self.records.active() & (streak >= self.patience) if self.patience else torch.zeros_like(zero)
        if epoch in self.schedule.epochs or bool(ended.any()):
            scores = scores or self._scores()
            current = self.members.tensors()
            self.records.diverge(~scores.losses.isfinite(), epoch)
            if epoch in self.schedule.epochs:
                column = self.schedule.epochs.index(epoch)
                self.records.record(column, scores, current, self.records.active())
            self.records.end(ended & self.records.active(), epoch, scores, current)
        self.records.curves["zero_epochs"].copy_(streak)
        self.over = not bool(self.records.active().any())
        self.epoch_losses.zero_()

    def _raw(self, indices: Tensor) -> Tensor:
        """Outputs in evaluation mode and in float32, (S, M, K). indices: (S, M), or (1, M) for the same samples."""
        outputs = []
        with self.members.evaluating(), numerics("float32", self.pool.device):
            for part in indices.split(EVALUATION_BATCH, dim=1):
                self.check_stopped()
                images = self.pool.fetch(part).expand(len(self.seeds), -1, -1, -1, -1)
                outputs.append(self.members.evaluate(images))
        return torch.cat(outputs, dim=1)

    @torch.no_grad()
    def _scores(self) -> Scores:
        """How every seed does now, on the CPU."""
        started = time.perf_counter()
        raw = self._raw(self.train)
        train = self.objective.outputs(raw, self.initial)
        test = self.objective.outputs(self._raw(self.test), self.initial_test)
        scores = Scores(
            self.objective.losses(train, self.pool.labels[self.train]).double().mean(1).cpu(),
            self.objective.errors(test, self.pool.labels[self.test]).double().mean(1).cpu(),
            variation(raw).cpu(),
        )
        self.evaluation_s += time.perf_counter() - started
        return scores

    def tensors(self) -> State:
        """All that a checkpoint needs, with `facts`."""
        now = {f"now/{name}": tensor for name, tensor in self.members.tensors().items()}
        moments = {f"optimizer/{name}": tensor for name, tensor in self.optimizer.vectors.items() if name != "values"}
        found = {**now, **moments, **self.records.tensors(), "epoch_losses": self.epoch_losses}
        if self.dropout:
            found["random/cpu"] = torch.get_rng_state()
            if self.pool.device.type == "cuda":
                found["random/cuda"] = torch.cuda.get_rng_state(self.pool.device)
        return found

    def facts(self) -> dict[str, float]:
        """Where the training is."""
        evaluation_s = round(self.evaluation_s, 3)
        return {"taken": self.taken, "observed": self.observed, "parts": self.parts, "evaluation_s": evaluation_s}

    def resume(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go on from a checkpoint of this training."""
        self.members.load({name.removeprefix("now/"): t for name, t in tensors.items() if name.startswith("now/")})
        for name, vector in self.optimizer.vectors.items():
            if name != "values":
                vector.copy_(tensors[f"optimizer/{name}"])
        self.records.load(tensors)
        self.epoch_losses.copy_(tensors["epoch_losses"])
        self.optimizer.taken, self.observed, self.parts = facts["taken"], facts["observed"], facts["parts"]
        self.evaluation_s, self.over = facts["evaluation_s"], not bool(self.records.active().any())
        epoch, inside = divmod(self.taken, self.schedule.steps_an_epoch)
        if inside:
            self._draw(epoch + 1)
            if self.dropout:
                torch.set_rng_state(tensors["random/cpu"])
                if self.pool.device.type == "cuda" and "random/cuda" in tensors:  # it may have begun on a CPU
                    torch.cuda.set_rng_state(tensors["random/cuda"], self.pool.device)


class OutOfMemory(InputError):
    """Memory is short, and no batch can be cut."""


def variation(outputs: Tensor) -> Tensor:
    """The norm of outputs less their mean over samples, over the norm of the outputs, (S,). outputs: (S, P, K)."""
    outputs = outputs.double()
    centred = outputs - outputs.mean(1, keepdim=True)
    share: Tensor = centred.flatten(1).norm(dim=1) / outputs.flatten(1).norm(dim=1).clamp(min=1e-300)
    return share
