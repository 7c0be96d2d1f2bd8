"""A fully connected net with one output, and its tangent kernel, for M nets at once.

With f(x; θ) the output and J = ∂f/∂θ (P × parameters) its Jacobian over P samples, gradient flow needs f, Jᵀc, Jv and
JJᵀ. For a fully connected net all four are a few products of matrices, as ∂f/∂W_l = scale_l · d_l ⊗ x_(l−1): the
derivative of f by the pre-activations of a layer, times its inputs. So the kernel of P samples costs as much as P
passes, and no derivative is ever stored. All functions take inputs X of shape (M, P, d).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from relative_stability.nets.fully_connected import ScaledLinear
from relative_stability.training.gradient_flow.multipliers import padded_indices, taken

CACHED = 1 << 18  # activations made at a time on a CPU, which stay in its cache
ON_GPU = 1 << 28
BLOCKED = 256  # samples from which a symmetric product is made in blocks


class Layer(NamedTuple):
    """One layer of M nets, z = scale · x Wᵀ + b. weight: (M, h, d); bias: (M, h) or None."""

    weight: Tensor
    bias: Tensor | None
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return self.scale * (x @ self.weight.mT)
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT, alpha=self.scale)

    @property
    def parameters(self) -> list[Tensor]:
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def like(self, parameters: Iterator[Tensor]) -> "Layer":
        """The same layer with other parameters, in the order of `parameters`."""
        return Layer(next(parameters), None if self.bias is None else next(parameters), self.scale)


class Stack:
    """M fully connected nets of one shape, ReLU between layers, the last of which has one output and no bias."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.hidden, self.last = list(layers[:-1]), layers[-1]

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters, each (M, …), in the order of the layers."""
        return [p for layer in [*self.hidden, self.last] for p in layer.parameters]

    def like(self, parameters: Sequence[Tensor]) -> "Stack":
        """The same nets with other parameters: other values, or another number of nets."""
        values = iter(parameters)
        return Stack([layer.like(values) for layer in [*self.hidden, self.last]])

    def outputs(self, X: Tensor) -> Tensor:
        """f, (M, P)."""
        read = (self.last(self._inputs(x)[-1])[..., 0] for x in self._pieces(X))
        return torch.cat(list(read), 1)

    def pull(self, X: Tensor, c: Tensor) -> list[Tensor]:
        """Jᵀc = Σ_i c_i ∂f(x_i)/∂θ, in the order of `parameters`. c: (M, P); samples where it is 0 cost nothing."""
        rows, _ = padded_indices(c != 0)
        if not rows.shape[1]:
            return [torch.zeros_like(p) for p in self.parameters]
        X, c = taken(X, rows), c.gather(1, rows)
        pieces = zip(self._pieces(X), c.split(self._size(X), 1), strict=True)
        sums = [self._pull(x, part) for x, part in pieces]
        return sums[0] if len(sums) == 1 else [torch.stack(parts).sum(0) for parts in zip(*sums, strict=True)]

    def push(self, X: Tensor, v: Sequence[Tensor]) -> Tensor:
        """Jv, (M, P): how fast f changes where θ moves with velocity v."""
        moving = self.like(v)
        return torch.cat([self._push(x, moving) for x in self._pieces(X)], 1)

    def kernel(self, X: Tensor) -> Tensor:
        """The tangent kernel JJᵀ, (M, P, P)."""
        inputs = self._inputs(X)
        found = squared(inputs[-1]).mul_(self.last.scale**2)
        d = inputs[-1].sign() * (self.last.scale * self.last.weight)
        for number, layer in reversed(list(enumerate(self.hidden))):
            products = squared(inputs[number]).mul_(layer.scale**2)
            found.addcmul_(squared(d), products if layer.bias is None else products.add_(1))
            if number:
                d = self._below(d, number, inputs)
        return found

    def _pull(self, x: Tensor, c: Tensor) -> list[Tensor]:
        inputs, c = self._inputs(x), c[..., None]
        found = [self.last.scale * (c.mT @ inputs[-1])]
        # In the last hidden layer d = v · 1[z > 0], where v may stay out of the sum over samples.
        d, v, top = inputs[-1].sign(), self.last.scale * self.last.weight, True
        for number, layer in reversed(list(enumerate(self.hidden))):
            weight = c if top else torch.ones_like(c)
            thin = torch.cat([weight * inputs[number], weight], -1)
            sums = (thin.mT @ d).mT * (v.mT if top else 1)  # the thin factor first is several times as fast
            found[:0] = [layer.scale * sums[..., :-1]] + ([] if layer.bias is None else [sums[..., -1]])
            if number:
                d, top = self._below(d * v * c if top else d, number, inputs), False
        return found

    def _push(self, x: Tensor, moving: "Stack") -> Tensor:
        velocity = torch.zeros_like(x)
        for number, (layer, move) in enumerate(zip(self.hidden, moving.hidden, strict=True)):
            change = move(x)
            if number:
                change += layer.scale * (velocity @ layer.weight.mT)
            x = layer(x).relu_()
            velocity = change * x.sign()
        return self.last.scale * (velocity @ self.last.weight.mT + x @ moving.last.weight.mT)[..., 0]

    def _below(self, d: Tensor, number: int, inputs: Sequence[Tensor]) -> Tensor:
        """∂f/∂z of the hidden layer before this one, from that of this one."""
        layer = self.hidden[number]
        return (d @ layer.weight).mul_(layer.scale).mul_(inputs[number].sign())

    def _inputs(self, X: Tensor) -> list[Tensor]:
        """Of every layer."""
        found = [X]
        for layer in self.hidden:
            found.append(layer(found[-1]).relu_())
        return found

    def _pieces(self, X: Tensor) -> Sequence[Tensor]:
        """Some samples at a time."""
        pieces: Sequence[Tensor] = X.split(self._size(X), 1)
        return pieces

    def _size(self, X: Tensor) -> int:
        width = max(layer.weight.shape[1] for layer in self.hidden) * len(X)
        return max(16, (CACHED if X.device.type == "cpu" else ON_GPU) // width)


def squared(A: Tensor) -> Tensor:
    """AAᵀ of M matrices, (M, n, n), of which five eighths are computed and the others copied. A: (M, n, h)."""
    n = A.shape[1]
    if n < BLOCKED:
        return A @ A.mT
    found, size = A.new_empty(len(A), n, n), -(-n // 4)
    for start in range(0, n, size):
        end = min(start + size, n)
        found[:, start:end, start:] = A[:, start:end] @ A[:, start:].mT
        found[:, end:, start:end] = found[:, start:end, end:].mT
    return found


def stacked(models: Sequence[nn.Module], dtype: torch.dtype) -> tuple[Stack, list[str]]:
    """Nets of one shape as a stack, and the names of their parameters. models: made of ScaledLinear and ReLU."""
    layers, names = [], []
    for name, module in models[0].named_modules():
        if isinstance(module, ScaledLinear):
            keys = ["weight"] if module.bias is None else ["weight", "bias"]
            same = [model.get_submodule(name) for model in models]
            found = [torch.stack([m.get_parameter(key).detach().to(dtype) for m in same]) for key in keys]
            layers.append(Layer(found[0], found[1] if module.bias is not None else None, module.scale))
            names += [f"{name}.{key}" for key in keys]
    return Stack(layers), names
