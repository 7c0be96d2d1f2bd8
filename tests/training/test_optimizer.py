import copy
import math
import subprocess
import sys

import pytest
import torch

import relative_stability as rs
from relative_stability.training import optimizer as module
from relative_stability.training.optimizer import OPTIMIZERS
from relative_stability.training.schedule import Schedule

STEPS = 12
OPTIONS = {
    "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01, "schedule": "constant", "batch_size": 8,
    "steps": STEPS, "evaluations": 1,
}  # fmt: skip


def build(name, net, **changes):
    options = {**OPTIONS, **changes}
    return OPTIMIZERS[name](list(net.parameters()), options, Schedule(options, P=8))


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
@pytest.mark.parametrize("piece", [1 << 16, 1000])
def test_equal_to_torch(monkeypatch, name, schedule, piece):
    monkeypatch.setattr(module, "PIECE", piece)  # however the vector is cut
    ours = rs.build_net("cnn", 1, 10, 16, seed=0).double()
    theirs = copy.deepcopy(ours)
    x = torch.randn(STEPS, 8, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(8)
    mine = build(name, ours, schedule=schedule)
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
    optimizer = build("sgd", net)
    for name, p in net.named_parameters():
        assert torch.equal(p, before[name])
        assert p.data_ptr() >= optimizer.values.data_ptr()
    optimizer.values.zero_()
    assert all(not p.any() for p in net.parameters())


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_stack_is_each_of_its_nets(name):
    """Weight decay falls on the weights of each net alone, though stacked biases have two dimensions."""
    nets = [rs.build_net("lenet", 1, 10, 16, seed=seed).double() for seed in range(3)]
    alone = [build(name, net) for net in nets]
    stack = [
        torch.nn.Parameter(torch.stack([p.detach() for p in group]))
        for group in zip(*(n.parameters() for n in nets), strict=True)
    ]
    together = OPTIMIZERS[name](stack, OPTIONS, Schedule(OPTIONS, P=8), stacked=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for k, parameter in enumerate(stack):
            parameter.grad.normal_(generator=generator)
            for seed, net in enumerate(nets):
                list(net.parameters())[k].grad.copy_(parameter.grad[seed])
        together.step()
        for optimizer in alone:
            optimizer.step()
    for k, parameter in enumerate(stack):
        for seed, net in enumerate(nets):
            torch.testing.assert_close(parameter[seed], list(net.parameters())[k])


def test_the_updates_of_torch_come_without_its_compiler():
    """Its import would take longer than a small run trains."""
    code = """
import sys, torch
from relative_stability.training.optimizer import OPTIMIZERS
from relative_stability.training.schedule import Schedule
options = dict(learning_rate=0.1, momentum=0.9, weight_decay=0.1, schedule="constant", batch_size=8, steps=1, evaluations=1)
for cls in OPTIMIZERS.values():
    cls([torch.nn.Parameter(torch.ones(2, 2))], options, Schedule(options, P=8)).step()
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
