import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from unittest.mock import patch

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from relative_stability import InputError
from relative_stability.core.errors import UnavailableError
from relative_stability.core.store import (
    atomic,
    broken,
    expect,
    labelled,
    open_dataset,
    read_attributes,
    read_tensors,
    tensor_attributes,
    write_dataset,
    write_tensors,
    write_text,
)

DATASET = xr.Dataset(
    {
        "P": labelled(("P",), [32, 64], "training-set size", "samples"),
        "R": labelled(("P", "seed"), [[0.5, np.nan], [1.0, 2.0]], "relative stability"),
        "diverged": labelled(("P",), [True, False], "diverged"),
        "net": labelled(("net",), ["fc", "lenet"], "net", ""),
        "architecture": labelled(("net",), ["fc", "cnn"], "architecture", ""),
        "count": labelled((), 3, "a scalar"),
        "task": labelled((), "stripe", "a word", ""),
        "images": labelled(("P", "y"), np.array([[0, 255], [1, 2]], "u1"), "pixels"),
    },
    attrs={"digest": "abc", "wall_time_s": 1.5},
).set_coords("architecture")


def test_round_trip_keeps_values_types_coordinates_words_and_units(tmp_path):
    write_dataset(tmp_path / "a.nc", DATASET)
    found = open_dataset(tmp_path / "a.nc")
    xr.testing.assert_identical(found, DATASET)
    assert {n: v.dtype.kind for n, v in found.variables.items()} == {
        n: v.dtype.kind for n, v in DATASET.variables.items()
    }
    assert found["images"].dtype == np.uint8 and found["P"].attrs["units"] == "samples"
    assert read_attributes(tmp_path / "a.nc") == {**DATASET.attrs, "coordinates": "architecture"}


def test_some_variables_alone_are_read(tmp_path):
    write_dataset(tmp_path / "a.nc", DATASET)
    xr.testing.assert_identical(open_dataset(tmp_path / "a.nc", only=["R", "count"]), DATASET[["R", "count"]])


def test_numbers_are_packed_with_a_checksum_and_have_no_fill_value(tmp_path):
    write_dataset(tmp_path / "a.nc", DATASET)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert {key: file["R"].filters()[key] for key in ("zlib", "complevel", "fletcher32")} == {
            "zlib": True, "complevel": 1, "fletcher32": True,
        }  # fmt: skip
        assert set(file["R"].ncattrs()) == {"long_name", "units"}


def test_xarray_opens_it_by_itself(tmp_path):
    write_dataset(tmp_path / "a.nc", DATASET)
    with xr.open_dataset(tmp_path / "a.nc") as dataset:
        xr.testing.assert_identical(dataset.load(), DATASET)
        assert float(dataset.R.sel(P=64)[1]) == 2
        assert dataset.diverged.dtype == bool


def test_what_netcdf4_wrote_alone_is_read(tmp_path):
    """Files of before have truth values as bytes, coordinates that no attribute names, and strings without length."""
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.setncatts({"digest": "abc"})
        for dim, size in {"seed": 2, "bound": 2, "snapshot": 1}.items():
            file.createDimension(dim, size)
        file.createVariable("seed", "i8", ("seed",), fill_value=False)[...] = [0, 1]
        file.createVariable("bound", str, ("bound",))[...] = np.array(["lower", "upper"], object)
        failed = file.createVariable("collapsed", "i1", ("seed",), fill_value=False, compression="zlib")
        failed.setncatts({"long_name": "whether", "units": "1", "dtype": "bool"})
        failed[...] = np.array([0, 1], "i1")
        file.createVariable("diverged_epoch", "f8", ("seed",), fill_value=False)[...] = [np.nan, 3]
    expected = xr.Dataset(
        {"collapsed": labelled(("seed",), [False, True], "whether"), "diverged_epoch": ("seed", [np.nan, 3.0])},
        {"seed": [0, 1], "bound": ["lower", "upper"]},
        {"digest": "abc"},
    )
    xr.testing.assert_identical(open_dataset(tmp_path / "a.nc"), expected)


def test_an_attribute_may_have_megabytes(tmp_path):
    """That of a sweep says what 10,000 runs were made from."""
    request = "λ" + '["digits/fc/P16/seeds0-1","683ba89df3","output","169585522b"],' * 30_000
    write_dataset(tmp_path / "a.nc", xr.Dataset(attrs={"request": request, "ascii": request[1:]}))
    assert open_dataset(tmp_path / "a.nc").attrs == {"request": request, "ascii": request[1:]}


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_broken_files_are_named_with_the_rule_that_remakes_them(tmp_path, damage):
    path = tmp_path / "a.nc"
    write_dataset(path, DATASET)
    whole = path.read_bytes()
    content = {"cut": whole[: len(whole) // 2], "other": b"not a result\n" * 20, "empty": b""}
    path.write_bytes(content[damage])
    with pytest.raises(InputError, match=r"a\.nc is not a complete result file .* rule train remakes it"):
        open_dataset(path, remade_by="train")
    with pytest.raises(InputError, match=r"a\.nc is not a complete result file .* rule train remakes it"):
        read_attributes(path, remade_by="train")


def test_a_flipped_byte_in_the_numbers_is_noticed(tmp_path):
    path = tmp_path / "a.nc"
    values = np.random.default_rng(0).standard_normal(5000)
    write_dataset(path, xr.Dataset({"x": ("i", values)}))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a complete result file"):
        open_dataset(path)


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
        import xarray as xr
        from relative_stability.core.store import write_dataset
        print("ready", flush=True)
        for number in range(10**9):
            write_dataset(sys.argv[1], xr.Dataset({"x": ("i", np.full(200_000, number)), "n": ((), number)}))
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
            dataset = open_dataset(path)
            seen.add(int(dataset["n"]))
            assert (dataset["x"] == dataset["n"]).all()
    assert seen
    write_dataset(path, DATASET)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"], "leftovers of killed writers stay behind"


def test_an_absent_result_is_called_absent(tmp_path):
    with pytest.raises(InputError, match=r"a\.nc is not there; rule collect makes it: run snakemake$"):
        open_dataset(tmp_path / "a.nc", "collect")
    with pytest.raises(InputError, match=r"a\.nc is not there$"):
        open_dataset(tmp_path / "a.nc")


HOLD = """
import sys, netCDF4
held = netCDF4.Dataset(sys.argv[1], "a")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_process_holds_may_be_whole_and_is_not_to_be_deleted(tmp_path):
    path = tmp_path / "r.nc"
    write_dataset(path, xr.Dataset({"x": labelled(("a",), [1.0])}))
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    for read in (open_dataset, read_attributes):
        with pytest.raises(
            UnavailableError, match=r"r\.nc cannot be opened now \(another process has locked it\); it may"
        ):
            read(path, "measure")
    holder.communicate()
    assert open_dataset(path).x.item() == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE])
def test_a_file_that_may_not_be_opened_is_not_to_be_deleted(tmp_path, number):
    found = broken(tmp_path / "r.nc", "measure", OSError(number, os.strerror(number)))
    assert not isinstance(found, UnavailableError)  # it is not there
    (tmp_path / "r.nc").write_text("x")
    with patch("builtins.open", side_effect=OSError(number, os.strerror(number))):
        found = broken(tmp_path / "r.nc", "measure", OSError(number, os.strerror(number)))
    assert isinstance(found, UnavailableError) and os.strerror(number) in str(found) and "delete" not in str(found)


@pytest.mark.parametrize("read", [open_dataset, read_attributes, read_tensors, tensor_attributes])
@pytest.mark.parametrize(("make", "what"), [(Path.mkdir, "a folder"), (os.mkfifo, "no file")])
def test_what_stands_in_the_place_of_a_result_is_named_and_waits_for_nobody(tmp_path, read, make, what):
    path = tmp_path / "r.nc"
    make(path)
    with pytest.raises(InputError, match=f"r.nc is {what}, where a result belongs: remove it"):
        read(path)


def test_a_folder_in_the_place_of_a_file_is_no_full_disk(tmp_path):
    (tmp_path / "r.nc/inside").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot be written \(a folder stands where a file belongs: remove it"):
        write_text(tmp_path / "r.nc", "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot be written \(a file stands where a folder belongs: remove it"):
        write_text(tmp_path / "file/r.nc", "x")
    with pytest.raises(InputError, match="the disk takes no name as long as that"):
        write_text(tmp_path / ("x" * 300), "x")
