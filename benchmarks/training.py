"""The engine over a plain loop as it is usually written, and seeds trained together over one after another.

Both sides of a ratio train for the same number of steps, without evaluations, on images of MNIST's size.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

import relative_stability as rs
from benchmarks.timing import ratio, report
from relative_stability.datasets.prepared import Prepared
from relative_stability.training.engine import Training
from relative_stability.training.members import Alone, Members, Together
from relative_stability.training.pool import Pool

P, BATCH, SEEDS, CPU = 1024, 128, 16, torch.device("cpu")
NETS = {
    "lenet": {"optimizer": "sgd", "learning_rate": 0.01},
    "fc4": {"optimizer": "adam", "learning_rate": 0.1},
}
MEAN, STD = 0.1307, 0.3081
OPTIONS = {
    "loss": "cross_entropy", "alpha": None, "momentum": 0.9, "weight_decay": 0.0, "schedule": "constant",
    "batch_size": BATCH, "steps": 10**6, "evaluations": 1,
}  # fmt: skip


def run() -> Iterator[str]:
    """One epoch each; at one thread and at two."""
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name in NETS:
            found = ratio(plain_epoch(name), engine_epoch(name, 1), rounds=9)
            yield report(f"plain loop with a DataLoader / engine, {name}, P = {P}, threads: {threads}", found)
        many, one = engine_epoch("fc4", SEEDS), engine_epoch("fc4", 1)

        def one_by_one(one: Callable[[], None] = one) -> None:
            for _ in range(SEEDS):
                one()

        found = ratio(one_by_one, many, rounds=9)
        yield report(f"{SEEDS} seeds one by one / together, fc4, P = {P}, threads: {threads}", found)
    torch.set_num_threads(1)


def pictures() -> Prepared:
    """As many as MNIST has, of its size, at random."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (60_000, 1, 28, 28), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (60_000,), generator=generator)
    test = torch.arange(60_000) >= 59_000
    return Prepared(images, labels, test, torch.full((1, 1, 1), MEAN), torch.full((1, 1, 1), STD), 10, ())


def engine_epoch(name: str, seeds: int) -> Callable[[], None]:
    """An epoch of the engine, for so many seeds at once."""
    nets = [rs.build_net(name, 1, 10, 28, seed=seed) for seed in range(seeds)]
    members: Members = Alone(nets[0], False, CPU) if seeds == 1 else Together(nets, True, False, CPU)
    training = Training(members, Pool(pictures(), CPU), P, {**OPTIONS, **NETS[name]}, range(seeds))
    training.advance()  # the scores at initialisation

    def epoch() -> None:
        until = training.taken + P // BATCH
        while training.taken < until:
            training.advance()

    return epoch


class PerSample(Dataset):
    """Pictures transformed one by one, as torchvision's transforms do it: to a tensor, then normalised."""

    def __init__(self, pixels: np.ndarray, labels: torch.Tensor) -> None:
        from torchvision import transforms

        self.pixels, self.labels = pixels, labels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


def plain_epoch(name: str) -> Callable[[], None]:
    """An epoch of a loop with a DataLoader and torch's own optimiser."""
    data, net = pictures(), rs.build_net(name, 1, 10, 28, seed=0)
    loader = DataLoader(PerSample(data.images[:P, 0].numpy(), data.labels[:P]), BATCH, shuffle=True)
    rate = NETS[name]["learning_rate"]
    parameters = net.parameters()
    adam = NETS[name]["optimizer"] == "adam"
    optimizer = torch.optim.Adam(parameters, lr=rate) if adam else torch.optim.SGD(parameters, lr=rate, momentum=0.9)

    def epoch() -> None:
        for images, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()

    return epoch
