"""A whole measurement over the bare forward passes that it needs."""

from collections.abc import Iterator

import torch

import relative_stability as rs
from benchmarks.timing import ratio, report
from relative_stability.measurement import build_families, observed, stability_variables

IMAGES, DISPLACEMENTS = 500, 6


def run() -> Iterator[str]:
    """LeNet on 28×28 images and the small convolutional net on 16×16, one cut."""
    for name, size in (("lenet", 28), ("cnn", 16)):
        net = rs.build_net(name, 1, 10, size, seed=0).eval()
        images = torch.randn(IMAGES, 1, size, size, generator=torch.Generator().manual_seed(0))
        low, high = (rs.displacement(t, size, 3) for t in rs.temperature_range(size, 3))
        magnitudes = torch.linspace(low, high, DISPLACEMENTS).tolist()
        families = build_families("diffeomorphism", [3])

        def measured(net=net, images=images, families=families, magnitudes=magnitudes):
            with observed(net, "running"):
                stability_variables(net, images, families, magnitudes)

        @torch.no_grad()
        def forward(net=net, images=images):
            for _ in range(2 * DISPLACEMENTS + 1):
                net(images)

        label = f"measurement / forward passes, {name}, {IMAGES} images of {size}×{size}, {DISPLACEMENTS} displacements"
        yield report(label, ratio(measured, forward))
