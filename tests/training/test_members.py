"""Seeds that train together are those that train alone."""

import numpy as np
import pytest
import torch

import relative_stability as rs
from relative_stability.nets import ARCHITECTURES
from relative_stability.training.members import Together, train_together
from tests.training.small import ADAM, CNN, CPU, FC, HIDDEN, HINGE, LENET, digits, stripe, train

pytestmark = pytest.mark.slow

RESNET = {"architecture": "resnet18", "width": 0.125}


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # attention is mapped slowly on a CPU
@pytest.mark.parametrize(
    ("net", "changes"),
    [
        (FC, ADAM), (LENET, {"learning_rate": 0.02}), (CNN, {}), (RESNET, {"steps": 6, "P": 32, "learning_rate": 0.002}),
        ({"architecture": "vit_small", "width": 0.125}, {"steps": 6, "P": 32, "learning_rate": 0.01}),
        (CNN, {"augmentation": ["crop", "flip", "diffeomorphism"], "learning_rate": 0.01}),
        (CNN, {"schedule": "one_cycle", "label_smoothing": 0.1, "epochs": 7}),
    ],
    ids=str,
)  # fmt: skip
def test_together_is_alone(net, changes):
    """Curves, weights and the running statistics of batch normalisation, within the rounding of sums."""
    changes = {"snapshots": 3, **changes}
    alone, together = (train(digits(), net, seeds=range(3), how=how, **changes) for how in ("alone", "together"))
    assert (alone.attributes["seeds_together"], together.attributes["seeds_together"]) == (1, 3)
    for name, variable in alone.curves.items():
        np.testing.assert_allclose(together.curves[name].values, variable.values, rtol=2e-3, atol=2e-3, err_msg=name)
    assert alone.weights.keys() == together.weights.keys()
    for name, tensor in alone.weights.items():
        assert tensor.dtype == together.weights[name].dtype
        if name.startswith(("init", "last")):
            torch.testing.assert_close(together.weights[name], tensor, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_together_is_alone_for_the_linear_model(alpha):
    changes = {**HINGE, "learning_rate": 20, "alpha": alpha, "batch_size": 64, "steps": 100}
    alone, together = (train(stripe(), HIDDEN, seeds=range(4), how=how, **changes) for how in ("alone", "together"))
    np.testing.assert_allclose(
        together.curves["train_loss"].values, alone.curves["train_loss"].values, rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(
        together.weights["last/hidden.weight"], alone.weights["last/hidden.weight"], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("name", [name for name, known in ARCHITECTURES.items() if known.stacks])
def test_nets_that_take_a_stack_compute_what_a_map_over_it_does(name):
    nets = [rs.build_net(name, 2, 3, 8, seed=seed) for seed in range(3)]
    x = torch.randn(3, 5, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    ours, mapped = (Together(nets, stacks, False, CPU)._forward(x) for stacks in (True, False))
    torch.testing.assert_close(ours, mapped)
    torch.testing.assert_close(ours, torch.stack([net(images) for net, images in zip(nets, x, strict=True)]))


def test_running_statistics_are_those_of_each_seed_alone():
    nets = [rs.build_net("cnn", 1, 10, 12, seed=seed, width=0.25) for seed in range(2)]
    x = torch.randn(2, 8, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    stack = Together(nets, False, False, CPU)
    stack.forward(x)
    for seed, net in enumerate(nets):
        net.train()(x[seed])
        for name, buffer in net.named_buffers():
            torch.testing.assert_close(stack.tensors()[name][seed], buffer, msg=name)


def test_the_choice():
    def chosen(choice, name, device="cpu", batch=128, channels=1, size=28, **options):
        net = rs.build_net(name, channels, 10, size, **options)
        return train_together(choice, name, net, torch.device(device), batch)

    assert chosen("auto", "fc4") and not chosen("auto", "fc4", width=1024)
    assert chosen("auto", "one_hidden", channels=10, size=1, width=500)
    assert not chosen("auto", "one_hidden", channels=10, size=1, width=500, batch=2048)
    assert not chosen("auto", "lenet") and chosen("auto", "lenet", device="cuda")
    assert not chosen("auto", "resnet18", device="cuda") and chosen("together", "resnet18", width=0.25)
    assert not chosen("alone", "fc4") and not chosen("together", "alexnet")
