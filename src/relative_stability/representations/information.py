"""What layers of a small net have in common with inputs and labels, by binning, and why that says little."""

import math
from typing import NamedTuple

import numpy as np

from relative_stability.core.errors import InputError

MOST = 4096  # neurons of a layer


class Information(NamedTuple):
    """In bits."""

    inputs: float
    labels: float


def information(activations: np.ndarray, labels: np.ndarray, bin_size: float = 0.1) -> Information:
    """I(T; X) and I(T; Y) of activations T that are rounded to bins of one size.

        I(T; X) = H(T),   I(T; Y) = H(T) − Σ_y p(y) H(T | Y = y),   H(T) = −Σ_t p(t) log₂ p(t)

    activations: (N, neurons); labels: (N,). As a net is deterministic, H(T | X) is zero after binning and infinite
    without it: both numbers are of the bins as much as of the net, and log₂ N, the largest they can have, is where
    they stay as soon as every image falls into bins of its own (Saxe et al. 2018, ICLR, sec. 2: with ReLU nothing
    compresses, and where tanh does it is by saturation). They are here to be compared with, as Shwartz-Ziv and Tishby
    2017 (arXiv 1703.00810) have computed them.

    Raises InputError for layers of more than 4,096 neurons, where every image has bins of its own.

    >>> information(np.array([[0.0], [0.01], [1.0], [1.01]]), np.array([0, 0, 1, 1]))
    Information(inputs=1.0, labels=1.0)
    """
    if activations.shape[1] > MOST:
        raise InputError(
            f"information of {activations.shape[1]} neurons is refused: {MOST} or fewer are needed, as every image "
            "has bins of its own in more"
        )
    if bin_size <= 0:
        raise InputError(f"bin_size = {bin_size} is refused: more than 0 is needed")
    bins = np.unique(np.floor(activations / bin_size), axis=0, return_inverse=True)[1].ravel()
    whole = _entropy(bins)
    shares = [(np.mean(labels == y), _entropy(bins[labels == y])) for y in np.unique(labels)]
    return Information(whole, whole - math.fsum(share * entropy for share, entropy in shares))


def _entropy(bins: np.ndarray) -> float:
    shares = np.unique(bins, return_counts=True)[1] / len(bins)
    return float(-(shares * np.log2(shares)).sum()) + 0.0
