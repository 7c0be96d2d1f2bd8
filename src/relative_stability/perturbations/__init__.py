"""What is done to x: families of perturbations, by name.

A new family is one file with a subclass of `base.Perturbation`, and one line in NAMES.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from relative_stability.errors import InputError, nearest

if TYPE_CHECKING:
    from relative_stability.perturbations.base import Perturbation

# name: (module, class), imported at first use: a config is checked without torch.
NAMES = {
    "diffeomorphism": ("diffeomorphism", "Diffeomorphism"),
    "noise": ("noise", "Noise"),
    "subspace": ("subspace", "Subspace"),
}


def build_perturbation(name: str, **options: Any) -> "Perturbation":
    """A family by name. Raises InputError with the list where the name is unknown."""
    if name not in NAMES:
        raise InputError(f"perturbation {name!r} is unknown; {nearest(name, NAMES)}")
    module, cls = NAMES[name]
    family: Perturbation = getattr(import_module(f"relative_stability.perturbations.{module}"), cls)(**options)
    return family
