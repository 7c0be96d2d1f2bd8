import math

import pytest

import relative_stability as rs
from relative_stability.perturbations.temperature import check_displacements


@pytest.mark.parametrize(("n", "cut"), [(16, 3), (28, 5), (32, 15)])
def test_range_runs_from_half_a_pixel_to_overhanging(n, cut):
    low, high = rs.temperature_range(n, cut)
    assert rs.displacement(low, n, cut) == pytest.approx(0.5)
    assert rs.displacement(high, n, cut) == pytest.approx(n / (math.pi * cut))


def test_temperature_inverts_displacement():
    assert rs.displacement(rs.temperature(1.3, 28, 5), 28, 5) == pytest.approx(1.3)
    # δ = (n/2) √(π T ln c), by hand
    assert rs.displacement(0.001, 32, 3) == pytest.approx(16 * math.sqrt(math.pi * 0.001 * math.log(3)))


def test_cut_one_is_refused():
    with pytest.raises(rs.InputError, match="cut = 1 is refused"):
        rs.temperature(1, 16, 1)


def test_empty_range_names_the_bound():
    with pytest.raises(rs.InputError, match=r"cut < 2n/π = 10\.2"):
        rs.temperature_range(16, 11)


def test_displacements_outside_the_range_are_named_with_the_bound():
    assert check_displacements([0.5, 1, 1.69], 16, 3) == []
    (sentence,) = check_displacements([0.1, 1, 3], 16, 3)
    assert "displacement 0.1, 3 lies outside" in sentence
    assert "0.5 to 1.698 pixels" in sentence
