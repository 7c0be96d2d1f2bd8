import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from relative_stability.plan.marks import Asked, digest_in, is_made, making
from relative_stability.plan.outputs import Published

A, B = (f"results/.requests/sweeps/s.nc.{digit * 10}" for digit in "ab")


@dataclass(frozen=True)
class Text(Published):
    """Something published under the name of a sweep."""

    word: str
    path: str = "results/sweeps/s.nc"

    @property
    def request(self):
        return {"word": self.word}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(result):
    with making(result.mark):
        Path(result.path).parent.mkdir(parents=True, exist_ok=True)
        Path(result.path).write_text(result.word)


def asked(*results, in_earnest=True):
    return Asked(results, in_earnest=lambda: in_earnest)


def test_a_result_is_what_was_made_last():
    for mark, other in ((A, B), (B, A), (A, B)):
        with making(mark):
            assert not is_made(A) and not is_made(B)
        assert is_made(mark) and not is_made(other) and not Path(other).exists()


def test_what_fails_while_it_is_written_was_not_made():
    with making(A):
        pass
    with pytest.raises(OSError, match="full"), making(A):
        raise OSError("full")
    assert not is_made(A)


def test_marks_of_other_results_stay():
    other = "results/.requests/sweeps/other.nc.cccccccccc"
    with making(other):
        pass
    with making(A):
        pass
    assert is_made(other) and digest_in(other) == "c" * 10


def test_what_an_earlier_version_has_asked_for_was_not_made():
    Path(A).parent.mkdir(parents=True)
    Path(A).write_text("asked for 2026-01-01T00:00:00+00:00\n")
    assert not is_made(A)
    Path(A).write_text("made 2026-01-01T00:00:00+00:00\n")
    assert is_made(A)


def test_only_what_is_not_what_is_asked_for_has_a_newer_input():
    one, other = Text("one"), Text("other")
    make(one)
    assert asked(one, other)(one) == []
    (newer,) = asked(one, other)(other)
    assert Path(newer).stat().st_mtime >= Path(one.path).stat().st_mtime
    make(other)
    assert asked(one, other)(other) == [] and asked(one, other)(one) != []


def test_that_input_is_newer_than_results_from_the_future_too():
    one, other = Text("one"), Text("other", "results/sweeps/t.nc")
    make(one)
    make(other)
    later = time.time() + 86_400
    os.utime(other.path, (later, later))
    (newer,) = asked(Text("another"), other)(Text("another"))
    assert Path(newer).stat().st_mtime > later


def test_a_dry_run_leaves_nothing_in_the_results():
    dry = asked(Text("one"), in_earnest=False)
    (newer,) = dry(Text("one"))
    assert Path(newer).is_file() and not Path("results").exists()
    del dry
    assert not Path(newer).exists()
