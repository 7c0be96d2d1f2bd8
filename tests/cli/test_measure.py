"""`relative-stability measure`, as it is typed."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

import relative_stability as rs
from relative_stability.cli.main import main
from relative_stability.cli.measure import table

MODULE = """
import torch

def build():
    torch.manual_seed(0)  # the weights of these tests
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(16, 10)
    )
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Thirty real digits as pictures, a net in a module, and its weights; the working directory."""
    digits = (load_digits().images[:30] * 255 / 16).astype(np.uint8)
    (tmp_path / "digits").mkdir()
    for k, digit in enumerate(digits):
        Image.fromarray(digit).resize((16, 16), Image.Resampling.BILINEAR).save(tmp_path / f"digits/{k:02}.png")
    name = f"nets_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    net = __import__(name).build()
    save_file({key: 2 * tensor for key, tensor in net.state_dict().items()}, tmp_path / "weights.safetensors")
    return name


def arguments(name, *more):
    return [
        "measure",
        "--net",
        f"{name}:build",
        "--images",
        "digits",
        "--channels",
        "1",
        "--displacement",
        "0.5",
        "1",
        *more,
    ]


def test_it_writes_draws_and_prints_what_the_library_measures(folder, capsys):
    assert main(arguments(folder, "--weights", "weights.safetensors", "--out", "r.nc", "--plot")) == 0
    said = capsys.readouterr()
    with xr.open_dataset("r.nc") as found:
        found.load()
    net = __import__(folder).build()
    net.load_state_dict({key: 2 * tensor for key, tensor in net.state_dict().items()})
    pictures = [np.asarray(Image.open(path)) for path in sorted(Path("digits").iterdir())]
    images = torch.from_numpy(np.stack(pictures))[:, None].float() / 255
    expected = rs.measure(net, images, displacement=[0.5, 1])
    for name in ("D", "G", "R", "R_interval", "noise_norm"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
        assert found[name].attrs["long_name"] and found[name].attrs["units"]
    assert found.attrs["net"] == f"{folder}:build" and len(found.attrs["weights_sha256"]) == 64
    assert found.attrs["images"] == 30 and found.attrs["package_version"] == rs.__version__
    assert table(expected) in said.out
    assert f"{float(expected.R.sel(displacement=1).squeeze()):.3g}" in said.out
    assert "30 images of 1×16×16 pixels" in said.err and "Written to r.nc" in said.err
    with Image.open("r.png") as drawn:
        assert drawn.width > 2000


def test_the_table_has_a_line_for_each_layer_and_setting(folder, capsys):
    more = ("--layers", "blocks", "--cut", "3", "4", "--estimator", "both", "--plot", "depth.pdf")
    assert main(arguments(folder, *more)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["estimator", "layer", "cut", "displacement"]
    assert len(lines) == 2 + 2 * 5 * 2 * 2
    assert Path("depth.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    "more",
    [
        ("--perturbation", "translation"),
        ("--perturbation", "rotation", "--magnitude", "5", "10"),
        ("--perturbation", "scaling", "--magnitude", "0.1", "--interpolation", "gaussian"),
        ("--dtype", "bfloat16", "--modes", "rounded", "--noise-matching", "image", "--batch-norm", "clean"),
        ("--count", "10", "--size", "12", "--normalize", "0.5/0.25", "--draws", "2"),
    ],
)
def test_what_the_library_takes_the_command_takes(folder, more, capsys):
    assert main(arguments(folder, *more, "--out", "r.nc", "--plot")) == 0
    with xr.open_dataset("r.nc") as found:
        assert np.isfinite(found.R).all()
        assert found.attrs["mean"] == ("0.5" if "--normalize" in more else "0.0")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--out", "r.txt"), "--out r.txt is no netCDF file"),
        (("--plot",), "--plot has no file to go to"),
        (("--plot", "r.gif"), "r.gif is no picture file"),
        (("--out", "nowhere/r.nc"), "folder nowhere does not exist"),
        (("--normalize", "half"), "--normalize 'half' is refused"),
        (("--normalize", "0.5/0"), "positive deviations are needed"),
        (("--layers", "6"), "layers: '6' matches no module"),
        (("--perturbation", "rotation"), "--perturbation rotation needs --magnitude"),
        (("--perturbation", "shear"), "--perturbation 'shear' is unknown"),
        (("--cut", "13"), "cut = 13 is too high"),
        (("--weights", "weights.pt"), "are no safetensors file"),
        (("--count", "1"), "--count 1 is refused: 2 or more is needed"),
        (("--size", "0"), "--size 0 is refused: 2 or more is needed"),
        (("--batch-size", "0"), "--batch-size 0 is refused"),
        (("--classes", "7"), "build cannot be called with {'num_classes': 7}"),
        (("--channels", "3"), "the net cannot take images of 3×16×16"),
        (("--perturbation", "subspace"), "--perturbation 'subspace' is unknown"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_file(folder, more, sentence, capsys):
    before = [p for p in sorted(Path().rglob("*")) if "__pycache__" not in p.parts]
    assert main(arguments(folder, *more)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("relative-stability: ") and sentence in last
    assert [p for p in sorted(Path().rglob("*")) if "__pycache__" not in p.parts] == before


def test_a_magnitude_out_of_range_is_a_warning(folder, capsys):
    assert main(arguments(folder, "--displacement", "1", "4")) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Warning:")]
    assert len(warned) == 1 and "displacement 4 lies outside the useful range" in warned[0]


def test_a_terminal_shows_a_progress_bar_and_a_file_none(folder):
    command = [Path(sys.executable).with_name("relative-stability"), *arguments(folder)]
    quiet = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "pass" not in quiet.stderr and "30 images" in quiet.stderr
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=writer, check=True)
    os.close(writer)
    shown = b""
    try:
        while chunk := os.read(reader, 65536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(reader)
    assert "pass/s" in shown.decode()


def test_magnitude_serves_displacements_too(folder, capsys):
    assert main(arguments(folder, "--perturbation", "translation", "--magnitude", "3", "--out", "r.nc")) == 0
    with xr.open_dataset("r.nc") as found:
        assert found.displacement.values.tolist() == [3]
