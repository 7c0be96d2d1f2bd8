"""Where magnitudes of the simple families make sense. Without torch: a config is checked before that is imported."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from relative_stability.core.errors import InputError


class Range(NamedTuple):
    """What a magnitude is called, its units, from and to where it makes sense, and what is wrong beyond."""

    magnitude: str
    units: str
    low: float = 0.0
    high: float = math.inf
    reason: str = ""


def useful(family: str, n: int) -> Range:
    """Of a family that moves pixels, on images of n×n."""
    return {
        "rotation": Range("angle", "degree", 0, 180, "beyond half a turn angles repeat"),
        "scaling": Range(
            "log_scale", "1", 0, math.log(2), "beyond a factor of two most of the image is lost or border"
        ),
        "translation": Range(
            "displacement", "pixel", 0, n / 2, "beyond half of the side most of the image is repeated border"
        ),
    }[family]


def check_magnitudes(family: str, known: Range, magnitudes: Sequence[float]) -> list[str]:
    """Raise InputError for magnitudes that cannot be; return a warning sentence for those outside the range."""
    if not magnitudes:
        raise InputError(f"{known.magnitude}: no value is given; at least one is needed")
    for magnitude in magnitudes:
        if not (magnitude > 0 and math.isfinite(magnitude)):
            raise InputError(
                f"{known.magnitude} = {magnitude} is refused: a finite number > 0 is needed ({known.units})"
            )
    outside = ", ".join(f"{m:g}" for m in magnitudes if not known.low <= m <= known.high)
    if not outside:
        return []
    return [
        f"{family}: {known.magnitude} {outside} lies outside the useful range of {known.low:g} to {known.high:.4g} "
        f"({known.units}): {known.reason}; it is measured all the same"
    ]
