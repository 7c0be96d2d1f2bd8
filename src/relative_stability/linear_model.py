"""What the linear model says of the weights (Paccolat et al. 2020, arXiv 2007.11471)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def compression(weights: Tensor, uninformative: Sequence[int]) -> Tensor:
    """Anisotropy of the first layer, λ = √(⟨‖w_∥‖²⟩/d_∥) / √(⟨‖w_⊥‖²⟩/d_⊥), averaged over neurons.

    weights: (h, d); uninformative: the d_⊥ inputs that carry no information. Returns (), 1 for isotropic weights.
    The compression since initialisation is λ(t)/λ(0).
    """
    blind = torch.zeros(weights.shape[1], dtype=torch.bool)
    blind[list(uninformative)] = True
    squares = weights.double() ** 2
    return (squares[:, ~blind].mean() / squares[:, blind].mean()).sqrt()
