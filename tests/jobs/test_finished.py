import os
import zlib
from pathlib import Path

import pytest
import torch
import xarray as xr

from relative_stability.core.store import write_dataset, write_tensors
from relative_stability.jobs.finished import forget, keep, kept, take

DIGEST = "0123456789"


@pytest.fixture
def run(tmp_path):
    """Curves and weights, and the folder of second names."""
    curves, weights = tmp_path / f"fc/P8/seeds0.{DIGEST}.nc", tmp_path / f"fc/P8/seeds0.{DIGEST}.safetensors"
    write_dataset(curves, xr.Dataset({"x": ("n", torch.arange(3.0).numpy())}, attrs={"digest": DIGEST}))
    write_tensors(weights, {"w": torch.ones(2)}, {"digest": DIGEST})
    return [curves, weights], str(tmp_path / "finished")


def test_what_snakemake_deletes_is_put_back(run):
    paths, folder = run
    keep(paths, folder)
    before = [path.read_bytes() for path in paths]
    assert all(path.samefile(kept(path, folder)) for path in paths)  # no room is taken
    for path in paths:
        path.unlink()
    assert take(paths, DIGEST, folder)
    assert [path.read_bytes() for path in paths] == before
    forget(paths, folder)
    assert not list(Path(folder).iterdir()) and take(paths, DIGEST, folder)


def test_one_of_two_is_put_back(run):
    paths, folder = run
    keep(paths, folder)
    paths[1].unlink()
    assert take(paths, DIGEST, folder)


def test_nothing_there_is_nothing_taken(run):
    paths, folder = run
    for path in paths:
        path.unlink()
    assert not take(paths, DIGEST, folder) and not take(paths, DIGEST)


def test_another_digest_is_not_taken(run):
    paths, folder = run
    assert not take(paths, "9876543210", folder)


@pytest.mark.parametrize("which", [0, 1])
def test_a_broken_second_name_is_removed_and_not_taken(run, which):
    paths, folder = run
    keep(paths, folder)
    for path in paths:
        path.unlink()
    second = kept(paths[which], folder)
    second.write_bytes(second.read_bytes()[:-20])
    assert not take(paths, DIGEST, folder)
    assert not second.exists() and not paths[which].exists()


def test_damage_inside_a_file_is_noticed(run):
    paths, folder = run
    keep(paths[:1], folder)
    second = kept(paths[0], folder)
    whole = bytearray(second.read_bytes())
    place = whole.rindex(zlib.compress(torch.arange(3.0).numpy().tobytes(), 1)[:2])  # where the packed numbers begin
    whole[place + 4] ^= 255
    second.write_bytes(whole)
    paths[0].unlink(missing_ok=True)
    assert not take(paths[:1], DIGEST, folder)


def test_where_there_are_no_hard_links_the_log_says_so(run, monkeypatch, caplog):
    def refuse(*names):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    paths, folder = run
    with caplog.at_level("INFO", "relative_stability"):
        keep(paths, folder)
    assert "has no second name (Operation not supported)" in caplog.text and not list(Path(folder).iterdir())
    assert take(paths, DIGEST, folder)  # as they are there


def test_everybody_who_may_read_curves_may_read_weights(run):
    curves, weights = run[0]
    assert weights.stat().st_mode == curves.stat().st_mode
