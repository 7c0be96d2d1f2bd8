"""The forward passes of a measurement: every image at every setting, streamed, and what is kept of them.

Memory stays within a batch, whatever the number of settings: of each image and setting one number is kept, the squared
change ‖f(x')−f(x)‖². Medians over images need the changes of all images at once, component by component; they are
stored for as many settings together as take no more room than the images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from relative_stability.core.errors import InputError
from relative_stability.core.randomness import generator
from relative_stability.perturbations.base import Perturbation, probes
from relative_stability.perturbations.noise import Noise
from relative_stability.stability.activations import Activations, tensors_in
from relative_stability.stability.differences import Differences, Medians, flat, squared_norm
from relative_stability.stability.estimators import (
    Stability,
    assemble,
    bootstrap_weights,
    joined,
    mean_change,
    mean_pair_distance,
    median_pair_distance,
    to_cpu,
)
from relative_stability.stability.evaluation_mode import EvaluationMode

Matching = str  # "mean": every image gets noise of the mean norm; "image": each of its own
PERTURBED = "perturbed"
NOISE = Noise()
ENDS = ("softmax", "log-softmax")


class Setting(NamedTuple):
    """One family at one magnitude."""

    family: Perturbation
    magnitude: float

    def __str__(self) -> str:
        cut = f", cut {self.family.cut}" if hasattr(self.family, "cut") else ""
        return f"{self.family.magnitude_name} {self.magnitude:g} {self.family.units}{cut}"


class Plan(NamedTuple):
    """How a measurement is made. estimators: each with the matching rule of its noise; probes: draws random numbers."""

    settings: Sequence[Setting]
    estimators: dict[str, Matching]
    progress: Callable[[int, int], None] | None = None
    draws: int = 1
    seed: int = 0
    batch_size: int = 500
    bootstrap: int = 1000
    probes: Callable[..., Tensor] = probes


class Measured(NamedTuple):
    """Stability for each estimator and layer, and the mean norm ⟨‖τx−x‖⟩ at each setting, (M,).

    scores: how many the net gives each image, 0 for a net that gives none; predicted: the class of the highest, (N,);
    ends_in: softmax or log-softmax, where the scores of every image are such.
    """

    stability: dict[str, list[Stability]]
    norms: Tensor
    scores: int
    predicted: Tensor
    ends_in: str


@torch.no_grad()
def measure_passes(
    activations: Activations, layers: Mapping[str, int], images: Tensor, plan: Plan, mode: EvaluationMode
) -> Measured:
    """Run every pass of a measurement. layers: what is measured, with how many numbers each gives for an image.

    Raises InputError where activations are not finite, naming the setting.
    """
    return _Measurement(activations, layers, images, plan, mode).run()


class _Measurement:
    def __init__(
        self, activations: Activations, layers: Mapping[str, int], images: Tensor, plan: Plan, mode: EvaluationMode
    ) -> None:
        self.activations, self.images, self.plan, self.mode = activations, images, plan, mode
        self.position = {name: k for k, name in enumerate(layers)}
        self.sizes = sizes = list(layers.values())
        self.working = images.dtype if images.dtype == torch.float64 else torch.float32
        count = len(images)
        # Batches never mix draws: with statistics of the batch, an image is not to meet itself. They are of equal
        # size, as far as may be: a last one of a single image would have no statistics.
        batches = -(-count // plan.batch_size)
        ends = [count * k // batches for k in range(batches + 1)]
        parts = [slice(*pair) for pair in pairwise(ends)]
        self.rows = [slice(d * count + p.start, d * count + p.stop) for d in range(plan.draws) for p in parts]
        self.total = count * plan.draws
        rules = dict.fromkeys(plan.estimators.values())
        shape = (len(plan.settings), self.total)
        self.norms = torch.zeros(shape, dtype=self.working, device=images.device)
        precise = torch.float32 if images.device.type == "mps" else torch.float64
        self.squares = {
            kind: torch.zeros(len(sizes), *shape, dtype=precise, device=images.device) for kind in (PERTURBED, *rules)
        }
        self.rules = list(rules)
        # Few numbers are kept for all images, and many made again for every batch.
        few = self.total * sum(sizes) <= images.numel() and not mode.follows_clean
        self.keeps_clean = few or len(parts) == 1
        self.kept: dict[int, list[Tensor]] = {}
        self.weights = bootstrap_weights(count, plan.bootstrap, generator(plan.seed, "bootstrap"))
        there = self.weights.to(images.device, precise)
        self.medians = Medians(sizes, self.total, there, plan.seed) if "median" in plan.estimators else None
        self.difference = Differences(images.device)
        self.done = self.scores = 0
        self.predicted = torch.full((count,), -1)
        self.ends = set(ENDS)

    def run(self) -> Measured:
        spread, outputs = self._unchanged()
        plan, count, weights = self.plan, len(self.images), self.weights
        room = self.images.numel() // (self.total * sum(self.sizes))
        stored = self.medians is not None and len(self.rows) > 1
        step = max(1, room) if stored else len(plan.settings)
        for start in range(0, len(plan.settings), step):
            chunk = range(start, min(start + step, len(plan.settings)))
            self._perturbed(chunk)
            for rule in self.rules:
                self._noisy(rule, chunk)
            self._refuse_not_finite(chunk)
            if self.medians:
                self.medians.reduce(len(chunk))
        per_image = {k: v.cpu().unflatten(-1, (plan.draws, count)) for k, v in self.squares.items()}

        def stability(layer: int, name: str, rule: Matching) -> Stability:
            if self.medians is not None and name == "median":
                found = (to_cpu(joined(self.medians.estimates[k][layer])) for k in (PERTURBED, rule))
                distance = median_pair_distance(outputs[layer], weights)
            else:
                found = (mean_change(per_image[k][layer], weights) for k in (PERTURBED, rule))
                distance = mean_pair_distance(spread[layer], weights)
            return assemble(next(found), next(found), distance)

        layers = range(len(self.sizes))
        measured = {name: [stability(i, name, rule) for i in layers] for name, rule in plan.estimators.items()}
        ends_in = next(iter(self.ends), "") if self.scores > 1 else ""
        return Measured(measured, self.norms.cpu().double().mean(1), self.scores, self.predicted, ends_in)

    def _batch(self, rows: slice) -> Tensor:
        """The images of these rows at magnitude zero, in working precision."""
        start = rows.start % len(self.images)
        batch = self.images[start : start + rows.stop - rows.start].to(self.working)
        return self.plan.settings[0].family.reference(batch)

    def _clean(self, rows: slice) -> list[Tensor]:
        """Activations of the unchanged images, one tensor a layer."""
        start = rows.start % len(self.images)
        if start in self.kept:
            return self.kept[start]
        activations: dict[int, Tensor] = {}
        with self.mode.clean():
            # A copy, as a net may overwrite its input.
            output = self._forward(self._batch(rows).clone(), lambda k, x: activations.update({k: flat(x).clone()}))
        if self.predicted[start] < 0:
            self._classes(slice(start, start + rows.stop - rows.start), output)
        found = [activations[k] for k in range(len(self.sizes))]
        if self.keeps_clean:
            self.kept[start] = found
        return found

    def _classes(self, images: slice, output: Any) -> None:
        """What the net says these images are: the first part of its output that has a row of scores for each."""
        found = (t for t in tensors_in(output) if t.ndim == 2 and len(t) == images.stop - images.start)
        scores = next(found, torch.empty(0, 0)).double()
        self.scores = scores.shape[1]
        if self.scores:
            self.predicted[images] = scores.argmax(1).cpu()
            one = torch.ones(len(scores), dtype=torch.float64, device=scores.device)
            self.ends &= {
                name
                for name, part in zip(ENDS, (scores, scores.exp()), strict=True)
                if bool((part >= 0).all()) and torch.allclose(part.sum(1), one, atol=0.01)
            }

    def _unchanged(self) -> tuple[list[Tensor], list[Tensor]]:
        """For each layer ‖f(x)−f̄‖² of each image, (N,), and, where medians are asked for, f itself, (N, K)."""
        parts = [rows for rows in self.rows if rows.stop <= len(self.images)]
        sums: list[Tensor] = []
        for rows in parts:
            found = [x.sum(0) for x in self._clean(rows)]
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
        centres = [s / len(self.images) for s in sums]
        spread: list[list[Tensor]] = [[] for _ in self.sizes]
        outputs: list[list[Tensor]] = [[] for _ in self.sizes]
        for rows in parts:
            for i, (x, centre) in enumerate(zip(self._clean(rows), centres, strict=True)):
                spread[i].append(squared_norm(x - centre).cpu())
                if self.medians:
                    outputs[i].append(x.cpu())
        joined_spread = [torch.cat(s) for s in spread]
        if not all(bool(torch.isfinite(s).all()) for s in joined_spread):
            raise _not_finite("the unchanged images")
        return joined_spread, [torch.cat(o) for o in outputs] if self.medians else []

    def _perturbed(self, chunk: range) -> None:
        for rows in self.rows:
            batch, clean = self._batch(rows), self._clean(rows)
            for s, family, prepared in self._prepared(chunk, rows, batch):
                changed = family.apply(batch, prepared, self.plan.settings[s].magnitude)
                self.norms[s, rows] = torch.linalg.vector_norm((changed - batch).flatten(1), dim=1)
                self._pass(changed, clean, PERTURBED, s, rows, chunk)

    def _prepared(self, chunk: range, rows: slice, batch: Tensor) -> Iterator[tuple[int, Perturbation, Tensor]]:
        """Each setting with what its family prepared once for all of its magnitudes."""
        family, prepared = None, batch
        for s in chunk:
            if self.plan.settings[s].family is not family:
                family = self.plan.settings[s].family
                prepared = self._draw(family, rows, batch)
            yield s, family, prepared

    def _draw(self, family: Perturbation, rows: slice, batch: Tensor, stream: str = "") -> Tensor:
        draw, start = divmod(rows.start, len(self.images))
        images = range(start, start + rows.stop - rows.start)
        drawn = self.plan.probes(family, tuple(batch.shape[1:]), self.plan.seed, images, draw, stream)
        return family.prepare(drawn, batch)

    def _noisy(self, rule: Matching, chunk: range) -> None:
        for rows in self.rows:
            batch, clean = self._batch(rows), self._clean(rows)
            direction = self._draw(NOISE, rows, batch, stream="matched noise")
            for s in chunk:
                norms = self.norms[s].mean().expand(len(batch)) if rule == "mean" else self.norms[s, rows]
                noisy = NOISE.apply(batch, direction, norms.view(-1, *[1] * (batch.ndim - 1)))
                self._pass(noisy, clean, rule, s, rows, chunk)

    def _pass(self, batch: Tensor, clean: list[Tensor], kind: str, s: int, rows: slice, chunk: range) -> None:
        """One forward pass, and the squared changes of every layer as soon as it has run."""

        def visit(layer: int, x: Tensor) -> None:
            squares = self.squares[kind][layer, s, rows]
            if self.medians is None:
                self.difference.squares(x, clean[layer], squares)
            else:
                with self.medians.room(clean[layer], kind, layer, s - chunk.start, len(chunk), rows) as change:
                    self.difference.squares(x, clean[layer], squares, change)

        self._forward(batch, visit)
        self.done += 1
        passes = len(self.plan.settings) * len(self.rows) * (1 + len(self.rules))
        if self.plan.progress:
            self.plan.progress(self.done, passes)

    def _forward(self, batch: Tensor, visit: Callable[[int, Tensor], None]) -> Any:
        """One pass, and its output; `visit` gets each layer that is measured, by its position."""

        def known(name: str, x: Tensor) -> None:
            if name not in self.position:
                return
            k = self.position[name]
            if x.numel() != len(x) * self.sizes[k]:
                raise InputError(
                    f"layer {name!r} gave {self.sizes[k]} numbers an image in one pass and {x.numel() // len(x)} in "
                    "another; leave it out of `layers`"
                )
            visit(k, x)

        with self.mode.forward():
            return self.activations.run(batch.to(self.images.dtype), known)

    def _refuse_not_finite(self, chunk: range) -> None:
        """One look at the device for all settings of a chunk."""
        for kind, squares in self.squares.items():
            good = torch.isfinite(squares[:, chunk.start : chunk.stop]).all(dim=-1).all(dim=0).tolist()
            if not all(good):
                setting = self.plan.settings[chunk[good.index(False)]]
                raise _not_finite(f"images at {setting}" if kind == PERTURBED else f"noisy images that match {setting}")


def _not_finite(what: str) -> InputError:
    return InputError(f"the net's output on {what} is not finite (NaN or infinity): check its weights and input")
