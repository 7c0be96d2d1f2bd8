"""`relative-stability measure`, as it is typed."""

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
import warnings
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
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
        assert found[name].attrs["long_name"] and found[name].attrs["units"]
    assert found.attrs["net"] == f"{folder}:build" and len(found.attrs["weights_sha256"]) == 64
    assert found.attrs["images"] == 30 and found.attrs["package_version"] == rs.__version__
    assert table(found) in said.out
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
        ("--count", "10", "--size", "12", "--mean", "0.5", "--std", "0.25", "--draws", "2"),
    ],
)
def test_what_the_library_takes_the_command_takes(folder, more, capsys):
    assert main(arguments(folder, *more, "--out", "r.nc", "--plot")) == 0
    with xr.open_dataset("r.nc") as found:
        assert np.isfinite(found.R).all()
        assert found.attrs["mean"] == ("0.5" if "--mean" in more else "0.0")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--out", "r.txt"), "--out r.txt is no netCDF file"),
        (("--plot",), "--plot has no file to go to"),
        (("--plot", "r.gif"), "r.gif is no picture file"),
        (("--out", "nowhere/r.nc"), "folder nowhere does not exist"),
        (("--mean", "0.5"), "--mean and --std go together"),
        (("--mean", "0.5", "--std", "0"), "as many means as positive deviations, 1 or 3, are needed"),
        (("--mean", "0.5", "0.5", "--std", "1", "1"), "as many means as positive deviations, 1 or 3, are needed"),
        (("--size", "8", "--crop", "9"), "--crop 9 is more than --size 8"),
        (("--json", "--csv"), "--json and --csv are two ways to print"),
        (("--class-names", "names.txt"), "--class-names names.txt does not exist"),
        (("--net", "other:build", "--weights", "a.pt"), "--weights stands 1 times, and --net 2 times"),
        (("--nets", "nets.yaml"), "--nets names nets and their weights; leave out --net"),
        (("--pretrained",), "has no weights of a library"),
        (("--logits", "nine"), "layers: 'nine' matches no module"),
        (("--output", "logits"), "the net's output has no part 'logits'"),
        (("--layers", "6"), "layers: '6' matches no module"),
        (("--perturbation", "rotation"), "--perturbation rotation needs --magnitude"),
        (("--perturbation", "shear"), "--perturbation 'shear' is unknown"),
        (("--cut", "13"), "cut = 13 is too high"),
        (("--weights", "weights.pt"), "weights weights.pt do not exist"),
        (("--weights", "weights.h5"), "are no weights file; one of .safetensors, .pt"),
        (("--count", "1"), "--count 1 is refused: 2 or more is needed"),
        (("--size", "0"), "--size 0 is refused: 2 or more is needed"),
        (("--batch-size", "0"), "--batch-size 0 is refused"),
        (("--classes", "7"), "called with {'num_classes': 7}, raised TypeError"),
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


@pytest.mark.slow
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


@pytest.fixture
def classed(folder, tmp_path):
    """The digits in folders by class, and the net trained to tell some of them apart; its name."""
    labels = load_digits().target[:30]
    for k, label in enumerate(labels):
        (tmp_path / f"classed/{label}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"digits/{k:02}.png").rename(tmp_path / f"classed/{label}/{k:02}.png")
    return folder


def measured(*arguments):
    return main(["measure", "--images", "classed", "--displacement", "1", *arguments])


def as_rows(said):
    return json.loads(said.out)


def test_one_net_in_six_formats_has_one_number_and_one_error(classed, capsys):
    net = __import__(classed).build().eval()
    images = torch.zeros(4, 1, 16, 16)
    torch.save(net.state_dict(), "a.pt")
    torch.save({"epoch": 1, "model": {f"module.{k}": v for k, v in net.state_dict().items()}}, "b.pth")
    torch.save({"state_dict": {f"net.{k}": v for k, v in net.state_dict().items()}}, "c.ckpt")
    save_file(net.state_dict(), "d.safetensors")
    batch = torch.export.Dim("batch", min=2)
    torch.export.save(torch.export.export(net, (images,), dynamic_shapes=({0: batch},)), "e.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch speaks of its own future here
        torch.jit.save(torch.jit.script(net), "f.torchscript")
    found = []
    for net_and_weights in (*(("--net", f"{classed}:build", "--weights", file) for file in ("a.pt", "b.pth", "c.ckpt", "d.safetensors")),
                            ("--net", "e.pt2", "--channels", "1"), ("--net", "f.torchscript", "--channels", "1")):  # fmt: skip
        assert measured(*net_and_weights, "--json") == 0
        (row,) = as_rows(capsys.readouterr())
        found.append((row["R"], row["test_error"], row["test_error_low"], row["test_error_high"]))
    np.testing.assert_allclose(found, [found[0]] * 6, rtol=1e-4)
    labels = torch.from_numpy(load_digits().target[:30])
    pictures = {int(path.stem): np.asarray(Image.open(path)) for path in Path("classed").rglob("*.png")}
    stack = torch.from_numpy(np.stack([pictures[k] for k in range(30)]))[:, None].float() / 255
    assert found[0][1] == pytest.approx((net(stack).argmax(1) != labels).double().mean().item())
    assert found[0][2] < found[0][1] <= found[0][3]


def test_several_nets_are_one_table_one_file_and_one_figure_and_one_that_fails_holds_up_no_other(classed, capsys):
    with Path(f"{classed}.py").open("a") as file:
        file.write("\nclass Failing(torch.nn.Module):\n    def forward(self, x): raise ZeroDivisionError('by hand')\n")
    sys.modules.pop(classed)
    Path("nets.yaml").write_text(
        f"one: {{net: '{classed}:build'}}\n"
        f"two: {{net: '{classed}:build', weights: weights.safetensors, mean: [0.5], std: [0.25]}}\n"
        "three: {net: 'nowhere:build'}\n"
        f"four: {{net: '{classed}:Failing'}}\n"
    )
    assert measured("--nets", "nets.yaml", "--out", "r.nc", "--plot") == 1
    said = capsys.readouterr()
    assert "three: not measured: module 'nowhere' cannot be imported" in said.err
    assert "four: not measured: ZeroDivisionError: by hand" in said.err
    assert [line.split()[0] for line in said.out.splitlines()][::2] == ["net", "one"] and "\ntwo" in said.out
    with xr.open_dataset("r.nc") as found:
        assert found["net"].values.tolist() == ["one", "two"] and found.R.dims == ("net", "cut", "displacement")
        assert found["test_error"].dims == ("net",) and (found["images_per_second"] > 0).all()
        assert found["weights"].values.tolist() == ["at initialisation", "weights.safetensors"]
    with Image.open("r.png") as drawn:
        assert drawn.width > 800
    assert measured("--nets", "nets.yaml", "--layers", "blocks", "--plot", "depth.png", "--csv") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("net,layer,cut,displacement,test_error,R,D,G,") and len(lines) == 1 + 2 * 5
    with Image.open("depth.png") as drawn:
        assert drawn.width > 2000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n", "names no nets"),
        ("one: {weights: a.pt}\n", "nets.yaml: one has no key 'net'"),
        ("one: {net: 'x:y', wieghts: a.pt}\n", "key 'wieghts' is unknown; did you mean 'weights'?"),
        ("one: {net: 'x:y', classes: many}\n", "classes = 'many' is of another kind"),
        ("one: {net: 'x:y'}\none: {net: 'x:z'}\n", "key 'one' stands here again"),
    ],
)
def test_a_list_of_nets_is_checked_before_any_is_measured(classed, text, sentence, capsys):
    Path("nets.yaml").write_text(text)
    assert measured("--nets", "nets.yaml") == 2 and sentence in capsys.readouterr().err


def test_classes_in_the_order_of_the_net(classed, capsys):
    net = ("--net", f"{classed}:build", "--json")
    assert measured(*net) == 0
    plain = as_rows(capsys.readouterr())[0]["test_error"]
    Path("names.txt").write_text("\n".join(map(str, range(10))))
    assert measured(*net, "--class-names", "names.txt") == 0
    assert as_rows(capsys.readouterr())[0]["test_error"] == plain
    shutil.rmtree("classed/9")
    assert measured(*net) == 0
    said = capsys.readouterr()
    assert "No test error: the images have 9 classes and the net 10 scores; --class-names" in said.err
    assert "test_error" not in as_rows(said)[0]
    assert measured(*net, "--class-names", "names.txt") == 0 and "test_error" in as_rows(capsys.readouterr())[0]
    Path("names.txt").write_text("zero\none\n")
    assert measured(*net, "--class-names", "names.txt") == 2 and "has no class '0'" in capsys.readouterr().err


def test_a_net_that_ends_in_a_softmax_is_measured_before_it_on_request(classed, capsys):
    with Path(f"{classed}.py").open("a") as file:
        file.write("\ndef soft():\n    return torch.nn.Sequential(*build(), torch.nn.LogSoftmax(1))\n")
    sys.modules.pop(classed)
    found = {}
    for net, more in (("build", ()), ("soft", ()), ("soft", ("--logits",)), ("soft", ("--logits", "4"))):
        assert measured("--net", f"{classed}:{net}", "--json", *more) == 0
        said = capsys.readouterr()
        found[net, more] = as_rows(said)[0]["R"]
        assert ("ends in a log-softmax, and R is defined before it" in said.err) is (net == "soft")
    assert found["soft", ()] != pytest.approx(found["build", ()], rel=1e-4)
    assert (
        found["soft", ("--logits",)] == found["soft", ("--logits", "4")] == pytest.approx(found["build", ()], rel=1e-6)
    )


def test_grey_images_meet_nets_that_view_what_a_convolution_gives(classed, capsys):
    with Path(f"{classed}.py").open("a") as file:
        file.write(
            "\nclass Viewing(torch.nn.Module):\n"
            "    def __init__(self):\n        super().__init__()\n        self.conv = torch.nn.Conv2d(1, 4, 3)\n"
            "    def forward(self, x):\n        return {'features': x, 'scores': self.conv(x).view(len(x), -1)}\n"
        )
    sys.modules.pop(classed)
    assert measured("--net", f"{classed}:Viewing", "--output", "scores") == 0
    assert "30 images of 1×16×16 pixels, not normalised" in capsys.readouterr().err


def test_a_net_of_one_output_for_all_images_has_a_row_without_a_number(classed, capsys):
    with Path(f"{classed}.py").open("a") as file:
        file.write("\nclass Constant(torch.nn.Module):\n    def forward(self, x): return 0 * x.flatten(1)[:, :3]\n")
    sys.modules.pop(classed)
    assert measured("--net", f"{classed}:Constant", "--csv") == 0
    header, row = capsys.readouterr().out.splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["R"] == ""


@pytest.mark.slow
def test_half_precision_and_compiled_nets(folder):
    Path(f"{folder}.py").write_text(MODULE + "\ncompiled = torch.compile(build(), backend='eager')\n")
    found = {}
    for name, more in {"plain": [], "half": ["--dtype", "bfloat16"], "compiled": []}.items():
        net = f"{folder}:compiled" if name == "compiled" else f"{folder}:build"
        ran = subprocess.run(
            [sys.executable, "-c", "import sys; from relative_stability.cli.main import main; sys.exit(main())", "measure",
             "--net", net, "--images", "digits", "--displacement", "1", "--out", f"{name}.nc", *more],
            capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        with xr.open_dataset(f"{name}.nc") as dataset:
            found[name] = float(dataset.R.squeeze())
    assert found["compiled"] == pytest.approx(found["plain"], rel=1e-5)
    assert found["half"] == pytest.approx(found["plain"], rel=0.1) and found["half"] != found["plain"]


def test_pictures_of_one_folder_have_no_test_error_and_that_is_said(folder, capsys):
    shutil.move("digits", "all")
    Path("digits").mkdir()
    shutil.move("all", "digits/all")
    assert main(arguments(folder)) == 0
    said = capsys.readouterr()
    assert "No test error: all images lie in one folder, 'all'; give one folder for each class" in said.err
    assert "test error" not in said.out
