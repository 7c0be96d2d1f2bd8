"""What the linear model says (Paccolat et al. 2020, arXiv 2007.11471)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SMALL = 0.1  # αP beyond which a flow does not stand for α → 0


def compression(weights: "Tensor", uninformative: Sequence[int]) -> "Tensor":
    """Anisotropy of the first layer, λ = √(⟨‖w_∥‖²⟩/d_∥) / √(⟨‖w_⊥‖²⟩/d_⊥), averaged over neurons.

    weights: (h, d); uninformative: the d_⊥ inputs that carry no information. Returns (), 1 for isotropic weights.
    The compression since initialisation is λ(t)/λ(0).
    """
    seen, blind = _mean_squares(weights, uninformative)
    return (seen.mean() / blind.mean()).sqrt()


def neuron_compression(weights: "Tensor", uninformative: Sequence[int]) -> "Tensor":
    """The same of the median neuron: that of (‖w_∥‖/√d_∥) / (‖w_⊥‖/√d_⊥), which few large neurons do not move.

    weights: (h, d). Returns (). Not in the paper.
    """
    seen, blind = _mean_squares(weights, uninformative)
    return (seen / blind).sqrt().quantile(0.5)


def _mean_squares(weights: "Tensor", uninformative: Sequence[int]) -> tuple["Tensor", "Tensor"]:
    """Of each neuron, over informative inputs and over the others, each (h,)."""
    blind = weights.new_zeros(weights.shape[1]).bool()
    blind[list(uninformative)] = True
    squares = weights.double() ** 2
    return squares[:, ~blind].mean(1), squares[:, blind].mean(1)


def error_exponent(regime: str, d: int) -> float:
    """β of the test error P^(−β) of the stripe: (2d − 1)/(3d − 2) where features are learnt, d/(3d − 2) where not.

    >>> round(error_exponent("feature", 10), 3), round(error_exponent("lazy", 10), 3)
    (0.679, 0.357)
    """
    return (2 * d - 1 if regime == "feature" else d) / (3 * d - 2)
