"""Train one net on P samples from one seed: subset, initialisation and order all follow from that seed.

The data are one tensor on the device and batches are slices of it. The test set is evaluated at a few epochs: at every
one it would cost more than the training at small P.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from relative_stability.datasets.prepared import Prepared
from relative_stability.logs import log
from relative_stability.nets import build_net
from relative_stability.randomness import generator, seeded_globally
from relative_stability.training.augmentation import build_augmentation
from relative_stability.training.objective import Objective, output_count
from relative_stability.training.optimizer import OPTIMIZERS
from relative_stability.weights import load_weights

State = dict[str, Tensor]
STATES = ("init", "best", "last")
EVALUATION_BATCH = 128  # larger ones leave the cache and take several times as long


class Trained(NamedTuple):
    """One trained seed: curves at the recorded epochs, and the weights of each of STATES.

    diverged_epoch is the first epoch whose loss was not finite, or None; training stopped there, later records are
    NaN, and the weights `best` and `last` are those of the last epoch that was recorded before it.
    """

    train_loss: list[float]
    test_error: list[float]
    best: int
    weights: dict[str, State]
    diverged_epoch: int | None
    snapshots: "list[Snapshot]"
    collapsed: bool  # see `_Split.collapsed`


class Snapshot(NamedTuple):
    """The net after some steps of training. Where the run had diverged before, numbers are NaN and weights None."""

    step: int
    train_loss: float
    test_error: float
    weights: State | None


def snapshot_steps(total: int, count: int) -> list[int]:
    """About `count` log-spaced numbers of steps, from the first step to the last of `total`; none for count = 0.

    >>> snapshot_steps(1000, 4), snapshot_steps(3, 8), snapshot_steps(1000, 1)
    ([1, 10, 100, 1000], [1, 2, 3], [1000])
    """
    spaced = [round(total ** (i / (count - 1))) for i in range(count)] if count > 1 else [total] * count
    return sorted(set(spaced))


def recorded_epochs(options: Mapping[str, Any], P: int) -> list[int]:
    """Epochs at which curves are recorded: 0, and up to `evaluations` evenly spaced ones that end with the last.

    That is the one that completes `steps`, or `max_epochs`, whichever comes first.

    >>> recorded_epochs({"steps": 100, "batch_size": 16, "evaluations": 5}, P=32)
    [0, 10, 20, 30, 40, 50]
    """
    last = math.ceil(options["steps"] / math.ceil(P / min(options["batch_size"], P)))
    last = min(last, options.get("max_epochs") or last)
    count = min(options["evaluations"], last)
    return [0] + [round(last * (i + 1) / count) for i in range(count)]


def make_net(net: Mapping[str, Any], data: Prepared, loss: str, seed: int) -> nn.Module:
    """The net of a run, initialised from its seed. net: `architecture` and its options, without `training`.

    Weights that `pretrained` names are not loaded here.
    """
    options = {key: value for key, value in net.items() if key not in ("architecture", "training", "pretrained")}
    _, channels, size, _ = data.images.shape
    return build_net(net["architecture"], channels, output_count(loss, data.classes), size, seed=seed, **options)


def _snapshot(model: nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


class _Split:
    """Samples, labels and, with α-scaling, the outputs at initialisation."""

    def __init__(self, data: Prepared, indices: Tensor, device: torch.device) -> None:
        self.images = data.seen(indices, device)
        if self.images.shape[-1] > 1:
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.labels = data.labels[indices].to(device)
        self.initial: Tensor | None = None

    @torch.no_grad()
    def raw(self, model: nn.Module) -> Tensor:
        """Outputs of the model in evaluation mode on every sample."""
        model.eval()
        outputs = torch.cat([model(batch) for batch in self.images.split(EVALUATION_BATCH)])
        model.train()
        return outputs

    def collapsed(self, model: nn.Module) -> bool:
        """Whether the output of the model has become a constant, as that of one whose neurons have died.

        That is, over samples of several classes it varies by less than 1e-4 of its size.
        """
        outputs = self.raw(model).double()
        varies = (outputs - outputs.mean(0)).norm()
        return len(self.labels.unique()) > 1 and bool(varies <= 1e-4 * outputs.norm())

    def scores(self, model: nn.Module, objective: Objective) -> tuple[float, float]:
        """Mean loss and error."""
        outputs = objective.outputs(self.raw(model), self.initial)
        loss, error = (
            objective.value(outputs, self.labels),
            objective.errors(outputs, self.labels).double().mean(),
        )
        return float(loss), float(error)


def train_seed(
    net: Mapping[str, Any],
    data: Prepared,
    P: int,
    options: Mapping[str, Any],
    seed: int,
    device: torch.device,
    report: Callable[[int, float, float], None] = lambda epoch, loss, error: None,
    pretrained: Path | None = None,
) -> Trained:
    """Train from one seed. net, options: as in a run's configuration; report: called at every recorded epoch.

    pretrained: file of weights to start from, in place of the seed's initialisation (of all but a last layer for
    another number of classes).
    A loss that is not finite ends the run and is recorded; it is no error.
    """
    model = make_net(net, data, options["loss"], seed)
    if pretrained is not None:
        new_head = load_weights(model, pretrained, new_head=True)
        log.info("seed %d starts from %s%s", seed, pretrained, ", with a last layer at random" if new_head else "")
    with seeded_globally(seed, "dropout", device=device):  # dropout and stochastic depth take no generator
        return _trained(model.to(device), data, P, options, seed, device, report)


def _trained(
    model: nn.Module,
    data: Prepared,
    P: int,
    options: Mapping[str, Any],
    seed: int,
    device: torch.device,
    report: Callable[[int, float, float], None],
) -> Trained:
    objective = Objective(options["loss"], options["alpha"])
    train = _Split(data, data.training_subset(P, seed), device)
    test = _Split(data, torch.nonzero(data.test).flatten(), device)
    if objective.alpha is not None:
        train.initial, test.initial = train.raw(model), test.raw(model)
    batch_size = min(options["batch_size"], P)
    epochs = recorded_epochs(options, P)
    total = epochs[-1] * math.ceil(P / batch_size)
    optimizer = OPTIMIZERS[options["optimizer"]](model, options, total)
    order, changes = generator(seed, "order"), generator(seed, "augmentation")
    augment = build_augmentation(options.get("augmentation", ()), data, device)
    moments = snapshot_steps(total, options.get("snapshots", 0))
    snapshots: list[Snapshot] = []
    steps = 0

    losses, errors = [math.nan] * len(epochs), [math.nan] * len(epochs)
    weights = dict.fromkeys(STATES, _snapshot(model))
    best, diverged = 0, None
    model.train()
    for epoch in range(epochs[-1] + 1):
        if epoch > 0:
            epoch_loss = torch.zeros((), device=device)
            for indices in torch.randperm(P, generator=order).to(device).split(batch_size):
                initial = None if train.initial is None else train.initial[indices]
                outputs = objective.outputs(model(augment(train.images[indices], changes)), initial)
                loss = objective.value(outputs, train.labels[indices])
                loss.backward()
                optimizer.step()
                epoch_loss += loss.detach()  # stays on the device: one look at it in an epoch
                steps += 1
                if steps in moments:
                    snapshots.append(_taken(steps, model, objective, train, test))
            if not torch.isfinite(epoch_loss):
                diverged = epoch
                break
        if epoch in epochs:
            record = epochs.index(epoch)
            loss_now, _ = train.scores(model, objective)
            if not math.isfinite(loss_now):
                diverged = epoch
                break
            losses[record], (_, errors[record]) = loss_now, test.scores(model, objective)
            report(epoch, losses[record], errors[record])
            weights["last"] = _snapshot(model)
            if record <= 1 or errors[record] < errors[best]:
                best, weights["best"] = record, weights["last"]
    missing = moments[len(snapshots) :]
    snapshots += [Snapshot(step, math.nan, math.nan, None) for step in missing]
    collapsed = diverged is None and train.collapsed(model)
    return Trained(losses, errors, best, weights, diverged, snapshots, collapsed)


def _taken(step: int, model: nn.Module, objective: Objective, train: _Split, test: _Split) -> Snapshot:
    """A snapshot, unless the loss is not finite any more."""
    loss, _ = train.scores(model, objective)
    if not math.isfinite(loss):
        return Snapshot(step, math.nan, math.nan, None)
    return Snapshot(step, loss, test.scores(model, objective)[1], _snapshot(model))
