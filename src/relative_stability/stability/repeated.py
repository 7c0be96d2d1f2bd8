"""R of a net again and again: images and perturbations are made once, and a call takes three passes."""

import warnings

import torch
from torch import Tensor

from relative_stability.core.errors import InputError
from relative_stability.perturbations.base import probes
from relative_stability.perturbations.diffeomorphism import Diffeomorphism
from relative_stability.stability.activations import Net
from relative_stability.stability.evaluation_mode import BatchNorm, evaluation_mode, statistics_rule
from relative_stability.stability.forward_passes import NOISE


class RelativeStability:
    """Relative stability of a net to diffeomorphisms, called as often as one likes: after every epoch, say.

        R = ⟨‖f(τx)−f(x)‖²⟩ / ⟨‖f(x+η)−f(x)‖²⟩

    images: (N, C, n, n), as the net is trained on them; displacement: δ in pixels; cut: c; seed: of the perturbations,
    as in `measure`, whose R this is; batch_norm: see `measure`; batch_size: images in a pass; differentiable: keep the
    graph, so that R can be lowered by gradients. Three times the images stay in memory. Warns about a displacement
    outside the useful range. Raises InputError for images that cannot be deformed.
    Source: Petrini et al. 2021, arXiv 2105.02468, eqs. 6 to 8.

    >>> images = torch.randn(100, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> R = RelativeStability(images, displacement=1)
    >>> net = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten())
    >>> R(net).shape, bool(R(net) == R(net))
    (torch.Size([]), True)
    """

    def __init__(
        self,
        images: Tensor,
        displacement: float = 1.0,
        cut: int = 3,
        *,
        seed: int = 0,
        batch_norm: BatchNorm = "auto",
        batch_size: int = 500,
        differentiable: bool = False,
    ) -> None:
        if images.ndim != 4 or len(images) < 2:
            raise InputError(f"images of shape {tuple(images.shape)}: at least two, (N, C, n, n), are needed")
        family, shape, every = Diffeomorphism(cut), tuple(images.shape[1:]), range(len(images))
        for sentence in family.check(shape, (displacement,)):
            warnings.warn(sentence, stacklevel=2)
        self.batch_norm, self.batch_size, self.differentiable = batch_norm, batch_size, differentiable
        self.images = images
        self.deformed = family.apply(images, family.prepare(probes(family, shape, seed, every), images), displacement)
        norm = torch.linalg.vector_norm((self.deformed - images).flatten(1), dim=1).mean()
        noise = NOISE.prepare(probes(NOISE, shape, seed, every, stream="matched noise"), images)
        self.noisy = NOISE.apply(images, noise, norm)

    def __call__(self, net: Net) -> Tensor:
        """R of a net from (B, C, n, n) to (B, …), a scalar; the net's state is as before."""
        rule = statistics_rule(net, self.batch_norm)
        changes = [torch.zeros((), device=self.images.device), torch.zeros((), device=self.images.device)]
        with evaluation_mode(net, rule, self.images.device) as mode, torch.set_grad_enabled(self.differentiable):
            for start in range(0, len(self.images), self.batch_size):
                rows = slice(start, start + self.batch_size)
                with mode.clean():
                    clean = net(self.images[rows].clone())
                for k, changed in enumerate((self.deformed, self.noisy)):
                    changes[k] = changes[k] + (net(changed[rows].clone()) - clean).square().sum()
        return changes[0] / changes[1]
