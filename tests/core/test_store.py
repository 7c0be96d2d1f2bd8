import random
import signal
import subprocess
import sys
import time
from textwrap import dedent

import numpy as np
import pytest
import torch
import xarray as xr

from relative_stability import InputError
from relative_stability.core.store import (
    Variable,
    atomic,
    expect,
    open_dataset,
    read,
    read_tensors,
    to_dataset,
    write,
    write_dataset,
    write_tensors,
)

VARIABLES = {
    "P": Variable(("P",), np.array([32, 64]), "training-set size", "samples"),
    "R": Variable(("P", "seed"), np.array([[0.5, np.nan], [1.0, 2.0]]), "relative stability"),
    "diverged": Variable(("P",), np.array([True, False]), "diverged"),
    "net": Variable(("net",), np.array(["fc", "lenet"]), "net", ""),
    "count": Variable((), np.array(3), "a scalar"),
    "images": Variable(("P", "y"), np.array([[0, 255], [1, 2]], "u1"), "pixels"),
}


def test_round_trip_keeps_values_types_words_and_units(tmp_path):
    write(tmp_path / "a.nc", VARIABLES, {"digest": "abc", "wall_time_s": 1.5})
    found, attributes = read(tmp_path / "a.nc")
    assert attributes == {"digest": "abc", "wall_time_s": 1.5}
    for name, variable in VARIABLES.items():
        np.testing.assert_array_equal(found[name].values, variable.values)
        assert found[name].dims == variable.dims
        assert found[name].long_name == variable.long_name
    assert found["images"].values.dtype == np.uint8
    assert found["P"].units == "samples"


def test_xarray_opens_it_by_itself(tmp_path):
    write(tmp_path / "a.nc", VARIABLES, {})
    with xr.open_dataset(tmp_path / "a.nc") as dataset:
        assert float(dataset.R.sel(P=64)[1]) == 2
        assert dataset.diverged.dtype == bool
        assert dataset.P.attrs == {"long_name": "training-set size", "units": "samples"}


def test_an_attribute_may_have_megabytes(tmp_path):
    """That of a sweep says what 10,000 runs were made from."""
    request = "λ" + '["digits/fc/P16/seeds0-1","683ba89df3","output","169585522b"],' * 30_000
    write(tmp_path / "a.nc", VARIABLES, {"request": request, "ascii": request[1:]})
    assert read(tmp_path / "a.nc")[1] == {"request": request, "ascii": request[1:]}
    with xr.open_dataset(tmp_path / "a.nc") as dataset:
        assert dataset.attrs["request"] == request


def test_datasets_survive_the_way_to_disk_and_back(tmp_path):
    dataset = to_dataset(VARIABLES, {"sweep": "default"})
    write_dataset(tmp_path / "a.nc", dataset)
    xr.testing.assert_identical(open_dataset(tmp_path / "a.nc"), dataset)


@pytest.mark.parametrize("damage", ["cut", "other", "empty", "missing"])
def test_broken_files_are_named_with_the_rule_that_remakes_them(tmp_path, damage):
    path = tmp_path / "a.nc"
    write(path, VARIABLES, {})
    whole = path.read_bytes()
    content = {"cut": whole[: len(whole) // 2], "other": b"not a result\n" * 20, "empty": b""}
    path.unlink() if damage == "missing" else path.write_bytes(content[damage])
    with pytest.raises(InputError, match=r"a\.nc is not a complete result file .* rule train remakes it"):
        read(path, remade_by="train")


def test_a_flipped_byte_in_the_numbers_is_noticed(tmp_path):
    path = tmp_path / "a.nc"
    values = np.random.default_rng(0).standard_normal(5000)
    write(path, {"x": Variable(("i",), values)}, {})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a complete result file"):
        read(path)


def test_broken_tensors_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"w": torch.arange(6.0).view(2, 3).T}, {"digest": "abc"})
    tensors, attributes = read_tensors(path)
    assert torch.equal(tensors["w"], torch.arange(6.0).view(2, 3).T)
    assert attributes["digest"] == "abc"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="rule train remakes it"):
        read_tensors(path, remade_by="train")


def test_other_content_under_the_right_name_is_refused():
    with pytest.raises(InputError, match="its digest is abc, expected def"):
        expect("a.nc", {"digest": "abc"}, "def", remade_by="measure")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.nc"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_sigkill_during_writes_leaves_a_whole_file_or_none(tmp_path):
    script = dedent("""
        import sys
        import numpy as np
        from relative_stability.core.store import Variable, write
        print("ready", flush=True)
        for number in range(10**9):
            write(sys.argv[1], {"x": Variable(("i",), np.full(200_000, number)), "n": Variable((), np.array(number))}, {})
            if number == 0:
                print("written", flush=True)
    """)
    path = tmp_path / "a.nc"
    seen = set()
    for attempt in range(8):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(1 + attempt % 2):  # half of them are killed in a later write, however slow the machine is
            process.stdout.readline()
        time.sleep(random.Random(attempt).uniform(0.005, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if path.exists():
            variables, _ = read(path)
            seen.add(int(variables["n"].values))
            assert (variables["x"].values == variables["n"].values).all()
    assert seen
    write(path, VARIABLES, {})
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"], "leftovers of killed writers stay behind"
