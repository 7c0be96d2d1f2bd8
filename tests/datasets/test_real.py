"""The real datasets, where they lie at hand: shapes, means and label counts against the known ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from relative_stability import datasets
from relative_stability.datasets.prepared import channel_statistics

ROOT = Path(os.environ.get(datasets.DATA) or "nowhere")
EQUAL = [5000] * 10, [1000] * 10
JPEG = {"folder": "cifar10-jpeg75.tar.gz", "image_size": 32, "channels": 3, "test_fraction": 0.2}
KNOWN = {
    "mnist": (
        "MNIST", {}, [0.1307], [0.3081],
        ([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
         [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ),
    "fashionmnist": ("FashionMNIST", {}, [0.2860], [0.3530], ([6000] * 10, [1000] * 10)),
    "cifar10": ("cifar-10-python.tar.gz", {}, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], EQUAL),
    "imagefolder": (JPEG["folder"], JPEG, [0.4913, 0.4821, 0.4465], [0.2452, 0.2428, 0.2606], EQUAL),
}  # fmt: skip


@pytest.mark.parametrize("source", KNOWN)
def test_shapes_means_and_label_counts_are_the_known_ones(source):
    needed, options, mean, std, counts = KNOWN[source]
    if not (ROOT / needed).exists():
        pytest.skip(f"RELATIVE_STABILITY_DATA names no folder with {needed}")
    facts, samples = datasets.facts(source, ROOT, **options), datasets.load(source, ROOT, **options)
    assert samples.images.shape[1:] == (facts.channels, facts.image_size, facts.image_size)
    assert samples.images.dtype == np.uint8
    assert (~samples.test).sum() == facts.train_size and samples.test.sum() == facts.test_size
    for split, expected in zip((~samples.test, samples.test), counts, strict=True):
        assert np.bincount(samples.labels[split]).tolist() == expected
    found = channel_statistics(samples.images[~samples.test])
    np.testing.assert_allclose(found, (mean, std), atol=1e-4)
    assert len(samples.class_names) == facts.classes == 10
