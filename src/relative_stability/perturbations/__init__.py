"""What is done to x: families of perturbations, by name.

A new family is one file with a subclass of `base.Perturbation` (of `geometric.Geometric` if it moves pixels), and one
line in FAMILIES. Families of one's own need no line: `measure` takes an instance as well.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from relative_stability.core.errors import InputError, nearest

if TYPE_CHECKING:
    from relative_stability.perturbations.base import Perturbation

# name: (module, class), imported at first use: a config is checked without torch.
FAMILIES = {
    "diffeomorphism": ("diffeomorphism", "Diffeomorphism"),
    "noise": ("noise", "Noise"),
    "rotation": ("rotation", "Rotation"),
    "scaling": ("scaling", "Scaling"),
    "subspace": ("subspace", "Subspace"),
    "translation": ("translation", "Translation"),
}
# Families that move pixels, and take an interpolation.
GEOMETRIC = ("diffeomorphism", "rotation", "scaling", "translation")
# Families whose magnitude is a displacement in pixels; those of the others have units of their own.
DISPLACING = ("diffeomorphism", "translation")
# What magnitudes are called along a dimension of a result.
MAGNITUDES = ("displacement", "angle", "log_scale", "norm", "magnitude")


def build_perturbation(name: str, **options: Any) -> "Perturbation":
    """A family by name. Raises InputError with the list where the name is unknown."""
    if name not in FAMILIES:
        raise InputError(f"perturbation {name!r} is unknown; {nearest(name, FAMILIES)}")
    module, cls = FAMILIES[name]
    family: Perturbation = getattr(import_module(f"relative_stability.perturbations.{module}"), cls)(**options)
    return family
