"""The tangent kernel of any net, summed over its outputs, without holding the Jacobian of more than memory allows."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp

from relative_stability.core.errors import InputError
from relative_stability.stability.evaluation_mode import BatchNorm, evaluation_mode, statistics_rule

HELD = 2**27  # numbers of the Jacobian that may be held
Parameters = dict[str, Tensor]
Net = Callable[[Parameters, Tensor], Tensor]


def tangent_kernel(net: nn.Module, images: Tensor, batch_norm: BatchNorm = "auto") -> Tensor:
    """Θ(x, x') = Σ_k ∂f_k(x)/∂θ · ∂f_k(x')/∂θ of all pairs of images, (N, N), in double precision.

    net: from (B, C, n, n) to (B, K), measured in evaluation mode; images: (N, C, n, n). Where the Jacobian, N·K times
    the number of parameters, fits into memory it is made an image at a time and multiplied; else every row of it is
    followed through the net by a derivative forward, which takes N·K passes over all images and the memory of one.
    Raises InputError for an output that is no row of scores for each image. Source: Jacot et al. 2018 (1806.07572).

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    >>> images = torch.randn(5, 1, 2, 2)
    >>> torch.allclose(tangent_kernel(net, images).float(), images.flatten(1) @ images.flatten(1).T, atol=1e-5)
    True
    """
    rule = statistics_rule(net, batch_norm)
    # Statistics of the batch would couple the images: those of the images together then stand for all.
    rule = "clean" if rule == "batch" else rule
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    count = sum(p.numel() for p in parameters.values())
    with evaluation_mode(net, rule, images.device) as mode:
        with mode.clean(), torch.no_grad():
            outputs = net(images.clone())
        if not isinstance(outputs, Tensor) or outputs.ndim != 2:
            raise InputError(
                "the tangent kernel needs a net that gives a row of scores for each image, and this one does not"
            )
        N, K = outputs.shape

        def f(values: Parameters, x: Tensor) -> Tensor:
            found: Tensor = functional_call(net, values, (x,))
            return found

        if N * K * count <= HELD:
            return _held(f, parameters, images, K)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit")  # which torch.func uses itself
            return _followed(f, parameters, images, K)


def _held(f: Net, parameters: Parameters, images: Tensor, K: int) -> Tensor:
    """With all gradients at once."""
    rows = []
    for x in images.split(1):
        pull = _pull(f, parameters, x)
        gradients = torch.vmap(pull)(torch.eye(K, dtype=images.dtype, device=images.device))
        rows.append(torch.cat([g.flatten(1) for g in gradients.values()], 1))
    J = torch.stack(rows)  # (N, K, parameters)
    return torch.einsum("ikp,jkp->ij", J, J).double().cpu()


def _followed(f: Net, parameters: Parameters, images: Tensor, K: int) -> Tensor:
    """One gradient at a time, whose products with all others are a derivative along it."""
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)
    for i, x in enumerate(images.split(1)):
        pull = _pull(f, parameters, x)
        for k, direction in enumerate(torch.eye(K, dtype=images.dtype, device=images.device)):
            along: Tensor = jvp(lambda values: f(values, images), (parameters,), (pull(direction),))[1]
            kernel[i] += along[:, k].double().cpu()
    return (kernel + kernel.T) / 2


def _pull(f: Net, parameters: Parameters, x: Tensor) -> Callable[[Tensor], Parameters]:
    """From weights of the outputs of one image to the gradient of their sum."""
    pull: Any = vjp(lambda values: f(values, x)[0], parameters)[1]
    return lambda weights: pull(weights)[0]
