"""Fully connected nets as the papers parametrise them: weights start as N(0, 1), the scale is in the layer.

They take the weights of S nets as well, (S, …), and then images (S, B, C, n, n): so that seeds train together.
"""

import itertools
import math

import torch
from torch import Tensor, nn


class ScaledLinear(nn.Module):
    """y = x Wᵀ · scale + b, with W and b drawn from N(0, 1).

    x: (B, d), W: (h, d), y: (B, h); or of S nets at once x: (S, B, d), W: (S, h, d), y: (S, B, h). scale = 1/√d keeps
    pre-activations of order one for any width; a last layer with scale 1/d makes the output small at initialisation,
    where features are learnt.
    """

    def __init__(self, d: int, h: int, scale: float, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(h, d))
        self.bias = nn.Parameter(torch.randn(h)) if bias else None
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.ndim == 3:  # neurons first: so the gradient of W comes out in the order of W
            if self.bias is None:
                return torch.bmm(self.weight, x.mT).mT * self.scale
            return torch.baddbmm(self.bias[..., None], self.weight, x.mT, alpha=self.scale).mT
        if self.bias is None:
            return (x @ self.weight.T) * self.scale
        return torch.addmm(self.bias, x, self.weight.T, alpha=self.scale)


def fc(in_channels: int, num_outputs: int, image_size: int, depth: int = 3, width: int = 64) -> nn.Module:
    """`depth` hidden layers of `width` neurons with ReLU: y = xW/√d + b, and xW/d in the last layer.

    The fully connected nets of Petrini et al. 2021 (arXiv 2105.02468), whose depths are 2, 4 and 6.
    """
    sizes = [in_channels * image_size**2] + [width] * depth
    layers: list[nn.Module] = [nn.Flatten(-3)]
    for d, h in itertools.pairwise(sizes):
        layers += [ScaledLinear(d, h, 1 / math.sqrt(d)), nn.ReLU()]
    return nn.Sequential(*layers, ScaledLinear(width, num_outputs, 1 / width, bias=False))


def one_hidden(in_channels: int, num_outputs: int, image_size: int, width: int = 1000) -> nn.Module:
    """f(x) = (1/h) Σ_j β_j relu(w_j·x/√d + b_j), with h = width (Paccolat et al. 2020, arXiv 2007.11471, eq. 1)."""
    d = in_channels * image_size**2
    net = nn.Sequential()
    net.add_module("flatten", nn.Flatten(-3))
    net.add_module("hidden", ScaledLinear(d, width, 1 / math.sqrt(d)))
    net.add_module("relu", nn.ReLU())
    net.add_module("output", ScaledLinear(width, num_outputs, 1 / width, bias=False))
    return net
