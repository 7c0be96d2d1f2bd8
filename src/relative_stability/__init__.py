"""Which invariances does a net learn from P examples, and does that explain its error?

The public names are loaded at first use, so that `import relative_stability` costs next to nothing:
a dry run of the workflow never imports torch, and a training job never imports matplotlib.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

from relative_stability.core.errors import InputError

__version__ = version("relative-stability")

_HOME = {
    "RelativeStability": "stability.repeated",
    "build_net": "nets",
    "deform": "perturbations.interpolation",
    "displacement": "perturbations.temperature",
    "equivariance": "stability.equivariance",
    "load_run": "jobs.trained",
    "load_weights": "nets.weights",
    "measure": "stability.measure",
    "net_names": "nets",
    "open_sweep": "analysis.sweep",
    "plot": "figures",
    "sample_displacement": "perturbations.diffeomorphism",
    "temperature": "perturbations.temperature",
    "temperature_range": "perturbations.temperature",
}

__all__ = ["InputError", "__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'relative_stability' has no attribute {name!r}")
    value = getattr(import_module(f"relative_stability.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
