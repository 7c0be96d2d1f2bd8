"""The two limits of the linear model's flow that need no flow: α → 0, and α → ∞ at infinite width."""

import math

import torch
from torch import Tensor, nn

STARTS, STEPS = 64, 300  # directions that are followed at once, and how far


def fastest_growth(inputs: Tensor, signs: Tensor, generator: torch.Generator) -> Tensor:
    """The direction in which a neuron grows fastest as α → 0: (d + 1,), of length 1, its weights w and its bias b.

    While no sample meets the margin, the gradient flow of f(x) = (1/h) Σ_j β_j σ(w_j·x/√d + b_j) grows each neuron by

        θ̇_j = ± ∇g(θ_j) / αh,   g(w, b) = (1/P) Σ_i y_i σ(w·x_i/√d + b),   σ = relu,

    so that its length grows at the rate |g(θ_j)|/‖θ_j‖ once it is large. As α → 0, this goes on for so long that those
    at the maximum of |g| over the sphere are all that is seen: their compression λ is that of the first layer at t*
    (after Paccolat et al. 2020, arXiv 2007.11471, Sec. 3). inputs: (P, d); signs: y = ±1, (P,); generator: of the
    directions that the ascent starts from.

    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(2000, 5, generator=generator)
    >>> w = fastest_growth(x, torch.where((x[:, 0] < -0.3) | (x[:, 0] > 1.18549), 1.0, -1.0), generator)[:-1]
    >>> bool(w[0].abs() > 20 * w[1:].square().mean().sqrt())
    True
    """
    P, d = inputs.shape
    seen = torch.cat([inputs.double() / math.sqrt(d), torch.ones(P, 1, dtype=torch.float64)], 1)
    along = nn.functional.normalize(torch.randn(STARTS, d + 1, generator=generator, dtype=torch.float64), dim=1)
    for step in range(STEPS):
        gradient = _growth_gradient(seen, signs, along)
        sense = (gradient * along).sum(1, keepdim=True).sign()  # g is homogeneous: g = θ·∇g
        along = nn.functional.normalize(along + 0.98**step * sense * nn.functional.normalize(gradient, dim=1), dim=1)
    rates = (_growth_gradient(seen, signs, along) * along).sum(1).abs()
    return along[rates.argmax()]


def _growth_gradient(seen: Tensor, signs: Tensor, along: Tensor) -> Tensor:
    """∇g of every direction. seen: (P, d + 1), the last of which is 1; along: (n, d + 1)."""
    active = (seen @ along.T > 0).double()  # (P, n)
    return (active * signs.double()[:, None]).T @ seen / len(seen)


def tangent_kernel_at_infinite_width(x: Tensor, z: Tensor) -> Tensor:
    """Θ(x, z) of f(x) = (1/√h) Σ_j β_j σ(w_j·x/√d + b_j) as h → ∞, all parameters N(0, 1).

    x: (P, d); z: (N, d); returns (P, N). With s = x·z/d + 1 and its angle θ, cos θ = s(x, z)/√(s(x, x) s(z, z)):

        Θ = √(s(x, x) s(z, z)) (sin θ + (π − θ) cos θ)/2π + s (π − θ)/2π,

    the first term from β, the second from w and b (Jacot et al. 2018, arXiv 1806.07572; Cho and Saul 2009).

    >>> round(float(tangent_kernel_at_infinite_width(torch.zeros(1, 3), torch.zeros(1, 3))), 3)
    1.0
    """
    d = x.shape[1]
    s = x @ z.T / d + 1
    norms = torch.outer(x.square().sum(1) / d + 1, z.square().sum(1) / d + 1).sqrt()
    cosine = (s / norms).clamp(-1, 1)
    angle = cosine.acos()
    return (norms * (angle.sin() + (math.pi - angle) * cosine) + s * (math.pi - angle)) / (2 * math.pi)


class LazyLimit(nn.Module):
    """What the flow of the hinge loss comes to as α → ∞ at infinite width: the tangent kernel's hard-margin classifier.

    Trained on inputs (P, d) and signs y = ±1, (P,), by scikit-learn's SVC, which adds a constant to the output that the
    flow has not. A module on images (B, d, 1, 1), so that `measure` takes it; outputs (B, 1).
    """

    HARD = 1e10  # the penalty on a margin that is not met

    def __init__(self, inputs: Tensor, signs: Tensor) -> None:
        super().__init__()
        from sklearn.svm import SVC

        inputs = inputs.double()
        kernel = tangent_kernel_at_infinite_width(inputs, inputs)
        fitted = SVC(C=self.HARD, kernel="precomputed", cache_size=1000).fit(kernel.numpy(), signs.numpy())
        self.register_buffer("support", inputs[fitted.support_])
        self.register_buffer("factors", torch.from_numpy(fitted.dual_coef_.T))
        self.constant = float(fitted.intercept_[0])

    def forward(self, x: Tensor) -> Tensor:
        kernel = tangent_kernel_at_infinite_width(x.flatten(1).double(), self.get_buffer("support"))
        return (kernel @ self.get_buffer("factors") + self.constant).to(x.dtype)
