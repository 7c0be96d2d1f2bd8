"""What only a GPU can show; skipped where there is none."""

import pytest
import torch

import relative_stability as rs

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
