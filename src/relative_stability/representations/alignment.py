"""How well the inner products of a representation, or of a tangent kernel, agree with the labels."""

import torch
from torch import Tensor


def centred(kernel: Tensor) -> Tensor:
    """H K H with H = 1 − 1/N: the kernel of features whose mean is taken off. kernel: (N, N)."""
    return kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()


def alignment(kernel: Tensor, labels: Tensor, classes: int) -> float:
    """Centred alignment ⟨H K H, H L H⟩ / (‖H K H‖ ‖H L H‖) of a kernel with that of the labels, from 0 to 1.

    kernel: (N, N), inner products, of activations or of gradients; labels: (N,), classes from 0; L_ij is 1 where
    images i and j are of one class, else 0. Of a layer's activations it is the linear CKA of Kornblith et al. 2019
    (arXiv 1905.00414, eqs. 3 and 5) with the labels; of a tangent kernel the alignment of Cortes et al. 2012, on which
    Paccolat et al. 2020 (arXiv 2007.11471) and others base what they say of learning. NaN for one class, and for a
    kernel that is constant.

    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> alignment((labels[:, None] == labels).double(), labels, classes=2)
    1.0
    """
    hot = torch.nn.functional.one_hot(labels, classes).to(kernel)
    K, L = centred(kernel), centred(hot @ hot.T)
    norms = float(K.norm() * L.norm())
    return round(float((K * L).sum()) / norms, 12) if norms > 0 else float("nan")
