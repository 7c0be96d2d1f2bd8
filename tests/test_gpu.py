"""What only a GPU can show; skipped where there is none."""

import numpy as np
import pytest
import torch

import relative_stability as rs
from relative_stability.training.run import Execution, train_run
from tests.training.small import ADAM, CNN, FC, LENET, digits, request, same

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.mark.parametrize("estimator", ["mean", "median"])
@pytest.mark.parametrize("layers", [None, "blocks"])
def test_a_gpu_measures_what_the_cpu_does(estimator, layers):
    """The same images, and reference numbers without TF32."""
    net = rs.build_net("cnn", in_channels=3, image_size=32, seed=0)
    images = torch.randn(300, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    options = {"displacement": [0.5, 1, 2], "estimator": estimator, "layers": layers, "batch_size": 128}
    here = rs.measure(net, images, **options)
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    there = rs.measure(net.cuda(), images.cuda(), **options)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
    for name in ("D", "G", "R", "noise_norm"):
        torch.testing.assert_close(
            torch.from_numpy(there[name].values), torch.from_numpy(here[name].values), rtol=1e-3, atol=0
        )


def trained(net, device="cuda", seeds="auto", compiled=False, **changes):
    return train_run(
        request(net, **changes), digits(), range(3), torch.device(device), execution=Execution(seeds, compiled)
    )


@pytest.mark.parametrize(("net", "changes"), [(CNN, {"learning_rate": 0.01}), (FC, ADAM), (LENET, {})], ids=str)
def test_a_gpu_trains_as_the_cpu_does(net, changes):
    here, together, alone = (
        trained(net, "cpu", **changes),
        trained(net, **changes),
        trained(net, seeds="alone", **changes),
    )
    assert together.attributes["seeds_together"] == 3 and together.attributes["peak_gpu_memory_mb"] > 0
    for there in (together, alone):
        for name in ("train_loss", "test_error"):
            np.testing.assert_allclose(there.curves[name].values, here.curves[name].values, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("seeds", ["together", "alone"])
def test_a_gpu_gives_the_same_numbers_twice(seeds):
    assert same(
        trained(CNN, seeds=seeds, augmentation=["crop", "flip", "diffeomorphism"]),
        trained(CNN, seeds=seeds, augmentation=["crop", "flip", "diffeomorphism"]),
    )


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_every_way_of_training_learns(precision, compiled):
    errors = trained(CNN, compiled=compiled, precision=precision, P=512, steps=200).curves["test_error"].values
    assert (errors[:, -1] < 0.3).all()


def test_a_net_too_large_for_the_gpu_is_cut_or_refused():
    free, _ = torch.cuda.mem_get_info()
    hog = torch.empty(max(1, free - 300 * 2**20), dtype=torch.uint8, device="cuda")
    result = trained({"architecture": "lenet", "width": 24}, P=1024, batch_size=1024, steps=2, seeds="alone")
    assert result.attributes["batch_parts"] > 1
    with pytest.raises(rs.InputError, match="out of GPU memory at a batch of 1024 samples"):
        trained({"architecture": "cnn", "width": 24}, P=1024, batch_size=1024, steps=2, seeds="alone")
    del hog
