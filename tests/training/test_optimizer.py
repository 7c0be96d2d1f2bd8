import copy
import math

import pytest
import torch

import relative_stability as rs
from relative_stability.training.optimizer import OPTIMIZERS

STEPS = 12
OPTIONS = {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01, "schedule": "constant"}


def reference(name, net):
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": OPTIONS["weight_decay"]},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "adam":
        return torch.optim.Adam(groups, lr=OPTIONS["learning_rate"])
    return torch.optim.SGD(groups, lr=OPTIONS["learning_rate"], momentum=OPTIONS["momentum"])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_equal_to_torch(name, schedule):
    ours = rs.build_net("cnn", 1, 10, 16, seed=0).double()
    theirs = copy.deepcopy(ours)
    x = torch.randn(STEPS, 8, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(8)
    mine = OPTIMIZERS[name](ours, {**OPTIONS, "schedule": schedule}, STEPS)
    other = reference(name, theirs)
    for step, batch in enumerate(x):
        torch.nn.functional.cross_entropy(ours(batch), y).backward()
        mine.step()
        if schedule == "cosine":
            for group in other.param_groups:
                group["lr"] = OPTIONS["learning_rate"] * (1 + math.cos(math.pi * step / STEPS)) / 2
        other.zero_grad()
        torch.nn.functional.cross_entropy(theirs(batch), y).backward()
        other.step()
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8, msg=key)


def test_parameters_become_views_with_their_values():
    net = rs.build_net("cnn", 1, 10, 16, seed=0)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = OPTIMIZERS["sgd"](net, OPTIONS, 1)
    for name, p in net.named_parameters():
        assert torch.equal(p, before[name])
        assert p.data_ptr() >= optimizer.values.data_ptr()
    optimizer.values.zero_()
    assert all(not p.any() for p in net.parameters())
