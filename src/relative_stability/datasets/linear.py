"""The linear model's data: Gaussian inputs x ~ N(0, I_d) whose label depends on x_∥ alone.

    interface:  y = sign(x_∥)
    stripe:     y = −1 for x_∥ in [−0.3, 1.18549], +1 outside
    cylinder:   y = −1 for ‖x_∥‖ < √(2 ln 2), +1 outside

x_∥ is the first input, or the first two for the cylinder, whose radius makes both classes equally likely (Paccolat et
al. 2020, arXiv 2007.11471, Sec. 2). The d inputs are stored as channels of a 1×1 image, so that every stage treats them
like any other dataset; class 0 is y = −1 and class 1 is y = +1.
"""

import math
from pathlib import Path

import numpy as np

from relative_stability.datasets.base import Facts, Samples

STRIPE = (-0.3, 1.18549)
RADIUS = math.sqrt(2 * math.log(2))
INFORMATIVE = {"interface": 1, "stripe": 1, "cylinder": 2}


def facts(source: str, root: Path, dimension: int, train_size: int, test_size: int, seed: int) -> Facts:
    """Sizes, and the inputs that carry no information."""
    return Facts(
        train_size, test_size, dimension, 1, classes=2, uninformative=tuple(range(INFORMATIVE[source], dimension))
    )


def label(source: str, informative: np.ndarray) -> np.ndarray:
    """Class (0 or 1) from x_∥, (N, d_∥)."""
    if source == "cylinder":
        return np.asarray(np.linalg.norm(informative, axis=1) > RADIUS, np.int64)
    first = informative[:, 0]
    if source == "interface":
        return (first > 0).astype(np.int64)
    low, high = STRIPE
    return ((first < low) | (first > high)).astype(np.int64)


def boundary(source: str) -> tuple[float, ...]:
    """Where the label changes along the first input, all others being 0."""
    return {"interface": (0.0,), "stripe": STRIPE, "cylinder": (-RADIUS, RADIUS)}[source]


def load(source: str, root: Path, dimension: int, train_size: int, test_size: int, seed: int) -> Samples:
    """Draw the samples: the same seed gives the same ones."""
    total = train_size + test_size
    inputs = np.random.default_rng(seed).standard_normal((total, dimension), dtype=np.float32)
    return Samples(
        inputs[:, :, None, None],
        label(source, inputs[:, : INFORMATIVE[source]]),
        np.arange(total) >= train_size,
        ("-1", "+1"),
        f"synthetic: {source}, Gaussian inputs, label from the first {INFORMATIVE[source]} of {dimension}",
        normalization="none",
    )
