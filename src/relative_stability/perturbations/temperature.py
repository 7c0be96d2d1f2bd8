"""Temperature, cut and displacement of the maximum-entropy diffeomorphisms: closed forms, without torch."""

import math
from collections.abc import Sequence

from relative_stability.core.errors import InputError


def _log_cut(cut: int) -> float:
    if cut < 2:
        raise InputError(
            f"cut = {cut} is refused: ln(cut), which sets the displacement, must be positive; use 2 or more"
        )
    return math.log(cut)


def check_modes(n: int, cut: int) -> None:
    """Raise InputError where fields with this cut cannot be drawn on n points: sin(iπu) vanishes there at i = n−1."""
    _log_cut(cut)
    if cut > n - 2:
        raise InputError(
            f"cut = {cut} is too high for images of {n} pixels, which do not resolve it; use n - 2 = {n - 2} or less"
        )


def temperature(displacement: float, n: int, cut: int) -> float:
    """Temperature T that gives a typical displacement δ: T = (2δ/n)² / (π ln c).

    displacement: δ, pixels; n: image side, pixels; cut: c. Returns T (dimensionless).
    Raises InputError for cut < 2, where ln c is not positive. Source: Petrini et al. 2021, Sec. 2.

    >>> round(temperature(1.0, 32, 3), 6)
    0.001132
    """
    return (2 * displacement / n) ** 2 / (math.pi * _log_cut(cut))


def displacement(temperature: float, n: int, cut: int) -> float:
    """Typical (nominal) displacement δ = (n/2) √(π T ln c), in pixels; asymptotic in c.

    temperature: T; n: image side, pixels; cut: c. Raises InputError for cut < 2.
    The exact root mean square is `diffeomorphism.rms_displacement`. Source: Petrini et al. 2021, Sec. 2.

    >>> round(displacement(temperature(1.0, 32, 3), 32, 3), 9)
    1.0
    """
    return n / 2 * math.sqrt(math.pi * temperature * _log_cut(cut))


def temperature_range(n: int, cut: int) -> tuple[float, float]:
    """Useful temperatures (T_min, T_max) = (1/(π n² ln c), 4/(π³ c² ln c)).

    At T_min the displacement is half a pixel; beyond T_max, where it is n/(πc) pixels, fields overhang and are no
    diffeomorphisms. Raises InputError where the range is empty (c >= 2n/π) or cut < 2.
    Source: Petrini et al. 2021, Sec. 2.

    >>> t_min, t_max = temperature_range(16, 3)
    >>> round(displacement(t_min, 16, 3), 6), round(displacement(t_max, 16, 3), 4)
    (0.5, 1.6977)
    """
    log_cut = _log_cut(cut)
    if cut >= 2 * n / math.pi:
        raise InputError(
            f"cut = {cut} is too high for images of {n} pixels: the useful temperature range is empty unless "
            f"cut < 2n/π = {2 * n / math.pi:.1f}; lower the cut or enlarge the images"
        )
    return 1 / (math.pi * n**2 * log_cut), 4 / (math.pi**3 * cut**2 * log_cut)


def check_displacements(displacements: Sequence[float], n: int, cut: int, used: str = "measured") -> list[str]:
    """One warning sentence that names the displacements outside the useful range, or none. used: what they are for.

    Raises InputError where that range is empty or the modes cannot be drawn on n points.
    """
    check_modes(n, cut)
    low, high = (displacement(t, n, cut) for t in temperature_range(n, cut))
    outside = [d for d in displacements if not low * (1 - 1e-9) <= d <= high * (1 + 1e-9)]
    if not outside:
        return []
    values = ", ".join(f"{d:g}" for d in outside)
    return [
        f"displacement {values} lies outside the useful range of {low:g} to {high:.4g} pixels for images of {n} pixels "
        f"at cut {cut} (below it pixels hardly move, above n/(π cut) fields overhang); it is {used} all the same"
    ]
