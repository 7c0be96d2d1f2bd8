import os
from pathlib import Path

import pytest

from relative_stability.plan.marks import ask, digest_in, is_made, settle

A, B = (f"results/.requests/sweeps/s.nc.{digit * 10}" for digit in "ab")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def age(mark):
    os.utime(mark, (1, 1))


def is_new(mark):
    return Path(mark).stat().st_mtime > 1


def is_settled(mark):
    return Path(mark).exists() and Path(mark).read_text().startswith("made")


def test_what_is_asked_for_stays_new_until_it_is_made():
    ask([A])
    age(A)
    ask([A])
    assert is_new(A)
    settle(A)
    age(A)
    ask([A])
    assert not is_new(A)


def test_another_request_is_new_even_where_snakemake_has_touched_the_result_since():
    """The submitting process does so minutes after a job has ended; a dry run may have asked for something else by then."""
    ask([A])
    settle(A)
    ask([B])  # and the result is touched now
    age(B)
    ask([B])
    assert is_new(B)


def test_going_back_is_a_new_request():
    ask([A, B])
    settle(A)
    assert Path(A).exists() and not is_settled(B)
    settle(B)
    ask([A])
    assert is_new(A) and not Path(A).read_text().startswith("made")


def test_marks_of_other_results_stay():
    other = "results/.requests/sweeps/other.nc.cccccccccc"
    ask([A, other])
    settle(A)
    assert Path(other).exists() and digest_in(other) == "c" * 10


def test_an_empty_mark_of_an_earlier_version_is_left_alone():
    Path(A).parent.mkdir(parents=True)
    Path(A).touch()
    age(A)
    ask([A])
    assert not is_new(A)


def test_a_result_is_made_from_its_mark_on():
    result = Path("results/sweeps/s.nc")
    result.parent.mkdir(parents=True)
    result.touch()
    assert not is_made(A, result)
    settle(A)
    age(result)
    assert not is_made(A, result)
    result.touch()
    assert is_made(A, result) and not is_made(B, result) and not is_made(A, Path("results/sweeps/t.nc"))
    ask([B])
    assert not is_made(B, result)
