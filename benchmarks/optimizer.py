"""A training step with our flat optimiser over one with torch's."""

from collections.abc import Iterator

import torch

import relative_stability as rs
from benchmarks.timing import ratio, report
from relative_stability.training.optimizer import OPTIMIZERS
from relative_stability.training.schedule import Schedule

STEPS = 50
OPTIONS = {
    "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "constant", "batch_size": 32,
    "steps": STEPS, "evaluations": 1,
}  # fmt: skip


def run() -> Iterator[str]:
    """SGD with momentum at batch 32."""
    for name in ("fc", "lenet", "cnn"):
        x = torch.randn(32, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        y = torch.arange(32) % 10
        mine, theirs = (rs.build_net(name, 1, 10, 16, seed=0) for _ in range(2))
        ours = OPTIMIZERS["sgd"](list(mine.parameters()), OPTIONS, Schedule(OPTIONS, P=32))
        other = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)

        def flat(net=mine, optimizer=ours, x=x, y=y):
            for _ in range(STEPS):
                torch.nn.functional.cross_entropy(net(x), y).backward()
                optimizer.step()

        def usual(net=theirs, optimizer=other, x=x, y=y):
            for _ in range(STEPS):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(x), y).backward()
                optimizer.step()

        yield report(f"step, our flat SGD / torch's fused SGD, {name}, batch 32 of 16×16", ratio(flat, usual))
