"""A whole measurement over the bare forward passes that it makes, and all layers over the output alone."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import nn

import relative_stability as rs
from benchmarks.timing import ratio, report
from relative_stability.datasets.streamed import open_images
from relative_stability.nets.external import load_net
from relative_stability.stability.measure import build_families, stability_dataset

CUTS = (3, 5, 15)


def resnet18() -> nn.Module:
    """torchvision's, with the stem for images of 32×32 pixels."""
    from torchvision.models import resnet18

    net = resnet18(num_classes=10)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return net.eval()


def run() -> Iterator[str]:
    """LeNet as in the paper: 500 images, three cuts, 30 displacements. ResNet18 with fewer, which the ratio ignores."""
    lenet = rs.build_net("lenet", 1, 10, 28, seed=0).eval()
    yield whole("LeNet, 28×28", lenet, random_images(500, 1, 28), 30)
    images = random_images(50, 3, 32)
    net = resnet18()
    yield whole("ResNet18, 32×32", net, images, 4, rounds=3)
    for layers, estimator in (("blocks", "mean"), ("all", "mean"), ("blocks", "both"), ("all", "both")):
        yield deep(net, images, layers, estimator)
    yield from_disk()


def random_images(count: int, channels: int, n: int) -> torch.Tensor:
    """White images from a fixed seed."""
    return torch.randn(count, channels, n, n, generator=torch.Generator().manual_seed(0))


def magnitudes(n: int, count: int) -> list[float]:
    """Displacements over the useful range of the lowest cut."""
    low, high = (rs.displacement(t, n, CUTS[0]) for t in rs.temperature_range(n, CUTS[0]))
    return torch.linspace(low, high, count).tolist()


def whole(name: str, net: nn.Module, images: torch.Tensor, count: int, rounds: int = 5) -> str:
    """Both estimators, each with its own noise: the clean pass, and three passes for each setting."""
    families = build_families("diffeomorphism", CUTS)
    sizes = magnitudes(images.shape[-1], count)

    def measured():
        stability_dataset(net, images, families, sizes, estimator="both", batch_norm="running")

    @torch.no_grad()
    def forward():
        for _ in range(1 + 3 * len(CUTS) * count):
            net(images)

    label = f"measurement / its {1 + 3 * len(CUTS) * count} forward passes, {name}, {len(images)} images"
    return report(label, ratio(measured, forward, rounds))


def deep(net: nn.Module, images: torch.Tensor, layers: str, estimator: str) -> str:
    """Every layer over the output alone, of the same passes."""
    families, sizes = build_families("diffeomorphism", [3]), magnitudes(32, 8)
    options = {"estimator": estimator, "noise_matching": "image", "batch_norm": "running"}

    def every():
        stability_dataset(net, images, families, sizes, layers=layers, **options)

    def output():
        stability_dataset(net, images, families, sizes, **options)

    return report(f"{layers} of ResNet18 / output alone, {estimator}, {len(images)} images", ratio(every, output, 3))


def from_disk(count: int = 16, batch: int = 8) -> str:
    """ResNet50 on pictures of a folder, as the command measures it, over the same passes on images in memory."""
    pictures = np.random.default_rng(0).integers(256, size=(count, 280, 340, 3), dtype=np.uint8)
    net, preprocessing = load_net("torchvision:resnet50")
    net.eval()
    with TemporaryDirectory() as folder:
        for k, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(f"{folder}/{k}.jpg")
        with open_images(folder, preprocessing.transform, count) as images:
            ready = images[:].clone()

            def measured():
                rs.measure(net, images, displacement=[0.5, 1, 2], batch_size=batch, batch_norm="running")

            @torch.no_grad()
            def forward():
                for _ in range(7):
                    for start in range(0, count, batch):
                        net(ready[start : start + batch])

            label = f"measurement / its 7 forward passes, ResNet50, {count} pictures of 224×224 from disk"
            return report(label, ratio(measured, forward, 3))
