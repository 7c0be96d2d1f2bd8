"""Bad input by every way in, many of each: an exit code that is not 0, and one sentence that names the key or file."""

import contextlib
import io
import itertools
import json
import os
import signal

import pytest
import torch
import yaml

from relative_stability.cli.main import main
from tests.plan.test_config import BASE

SECONDS = 20
# Of each value that no option means, what it is called.
ODD = {
    "infinity": float("inf"), "nan": float("nan"), "huge": 10**30, "negative": -1, "a text": "many", "empty": "",
    "no value": None, "a list": [], "a mapping": {}, "true": True, "a line break": "a\nb", "long": "x" * 2000,
    "a range of YAML 1.1": "1:30",
}  # fmt: skip
# Keys of a config, and of what ODD each is given.
KEYS = {
    "device": ODD, "data_root": ["empty", "a list", "a line break", "long", "huge"], "pack_minutes": ODD,
    "seeds_per_job": ODD, "partial": set(ODD) - {"true"}, "engine": set(ODD) - {"a mapping"},
    "datasets": set(ODD) - {"a mapping"}, "nets": set(ODD) - {"a mapping"}, "sweeps": ODD, "figures": set(ODD) - {"a mapping"}, "training.learning_rate": ODD, "training.steps": ODD,
    "training.batch_size": ODD, "training.alpha": set(ODD) - {"no value"}, "training.snapshots": ODD,
    "training.augmentation": set(ODD) - {"a list"}, "stability.cut": ODD, "stability.displacement": ODD,
    "stability.images": ODD, "sweeps.default.P": ODD, "sweeps.default.seeds": set(ODD) - {"a range of YAML 1.1"},
    "sweeps.default.nets": ODD, "sweeps.default.datasets": ODD, "sweeps.default.observables": ODD,
    "datasets.digits.image_size": ODD, "datasets.digits.noise": ODD,
}  # fmt: skip
TEXTS = {
    "a tab": "sweeps:\n\tdefault: {}\n", "an open bracket": "sweeps: [", "two colons": "sweeps: a: b\n",
    "twice": "sweeps: {}\nsweeps: {}\n", "no mapping": "- a\n- b\n", "a word": "sweeps\n", "nothing": "",
    "recursion": "sweeps: &a\n  default: *a\n", "bomb": "".join(
        f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 9)}]\n" if k else "l0: &l0 [a, b, c]\n" for k in range(9)),
    "many digits": f"seeds_per_job: {'9' * 5000}\nsweeps: {{}}\n", "octal": "seeds_per_job: 010\nsweeps: {}\n",
    "a python object": "sweeps: !!python/object/apply:os.system [ls]\n", "deep": "sweeps: " + "{a: " * 400 + "}" * 400,
    "a control character": "sweeps: {}\nnets: {a\x07: {}}\n",
}  # fmt: skip
CONTENTS = {
    "latin-1": "nets: {é: {}}".encode("latin-1"), "UTF-16": "sweeps: {}".encode("utf-16"), "zeros": b"\0" * 100,
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\xff" * 50, "huge": b"#" * 2_000_000,
}  # fmt: skip


@pytest.fixture
def place(tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("relative_stability.cli.configs.SCHEMA", root / "workflow/schemas/config.schema.yaml")
    (tmp_path / "workflow").symlink_to(root / "workflow")
    return tmp_path


def refused(*arguments, names=""):
    """What the command says of bad input: a sentence, which names the key or file."""
    out, err = io.StringIO(), io.StringIO()
    signal.alarm(SECONDS)  # which ends the process where nothing is said in this time
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as left:  # argparse's own refusals
            code = left.code
    signal.alarm(0)
    said = err.getvalue()
    assert code not in (0, None), f"accepted: {arguments}"
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert names in last, last
    assert len(last) < 1500 and last.isprintable()


def with_value(key, value):
    config = json.loads(json.dumps(BASE))
    *parents, last = key.split(".")
    node = config
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = value
    return yaml.safe_dump(config, allow_unicode=True)


@pytest.mark.parametrize(("key", "kind"), [(key, kind) for key, kinds in KEYS.items() for kind in sorted(kinds)])
def test_values_that_no_option_means(place, key, kind):
    (place / "bad.yaml").write_text(with_value(key, ODD[kind]))
    refused("status", "bad.yaml", names="bad.yaml, line" if kind == "huge" else key.split(".")[0])


@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_are_no_config(place, text):
    (place / "bad.yaml").write_text(TEXTS[text])
    refused("status", "bad.yaml", names="bad.yaml")


@pytest.mark.parametrize("content", CONTENTS)
def test_files_that_are_no_text(place, content):
    (place / "bad.yaml").write_bytes(CONTENTS[content])
    refused("status", "bad.yaml", names="bad.yaml")


@pytest.mark.parametrize(
    ("make", "verb"), list(itertools.product((os.mkdir, os.mkfifo, None), ("status", "estimate", "prune")))
)
def test_what_is_no_config_file(place, make, verb):
    if make is not None:
        make("bad.yaml")
    refused(verb, "bad.yaml", names="bad.yaml")


NETS = {
    ":x": ":x", "torchvision": "torchvision", "torchvision:": "torchvision:", "torchvision:resnet8": "resnet8",
    "nowhere:net": "nowhere", "json:dumps": "json:dumps", "json:nothing": "nothing", "lost.pt2": "lost.pt2",
    "math:pi": "math:pi", "builtins:eval(1)": "builtins:eval", "os:getcwd()": "os:getcwd", "a b:c": "a b",
    "torch.nn:Linear": "torch.nn:Linear", "torch.nn:Linear(2": "torch.nn:Linear(2", "text.pt2": "text.pt2",
    "torch.nn:Linear(a=__import__('os'))": "torch.nn:Linear", "folder.pt2": "folder.pt2", "": "net",
}  # fmt: skip


@pytest.mark.parametrize("net", NETS)
def test_nets_that_are_none(place, net):
    (place / "text.pt2").write_text("no program")
    (place / "folder.pt2").mkdir()
    refused("measure", "--net", net, "--images", "digits", "--count", "4", names=NETS[net])


WEIGHTS = {
    "lost.pth": "lost.pth", "folder.pth": "folder.pth", "text.pth": "text.pth", "text.safetensors": "text.safetensors",
    "weights.onnx": "weights.onnx", "list.pth": "list.pth", "code.pth": "code.pth", "empty.pth": "empty.pth",
    "other.pth": "other.pth", "shape.pth": "shape.pth", "fifo.pth": "fifo.pth",
}  # fmt: skip


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_that_are_none(place, weights):
    (place / "folder.pth").mkdir()
    for name in ("text.pth", "text.safetensors", "weights.onnx"):
        (place / name).write_text("no weights")
    (place / "empty.pth").touch()
    os.mkfifo(place / "fifo.pth")
    torch.save([1, 2], place / "list.pth")
    torch.save({"net": torch.nn.Linear(2, 2)}, place / "code.pth")
    torch.save({"a": torch.ones(2)}, place / "other.pth")
    torch.save(torch.nn.Linear(3, 3).state_dict(), place / "shape.pth")
    net = ["--net", "torch.nn:Linear(8,2)", "--weights", weights]
    refused("measure", *net, "--images", "digits", "--count", "4", names=WEIGHTS[weights])


IMAGES = {
    "lost": "lost", "text.txt": "text.txt", "bad.zip": "bad.zip", "empty": "empty", "text-idx3-ubyte": "text-idx3-ubyte",
    "one": "one", "digit": "digits", "stripe": "stripe", "imagefolder": "imagefolder", "broken": "broken", "fifo": "fifo",
}  # fmt: skip


@pytest.mark.parametrize("images", IMAGES)
def test_images_that_are_none(place, images):
    from PIL import Image

    for name in ("text.txt", "bad.zip", "text-idx3-ubyte"):
        (place / name).write_text("no pictures")
    for name in ("empty", "one", "broken", "fifo"):
        (place / name).mkdir()
    Image.new("L", (8, 8)).save(place / "one/1.png")
    for number in range(3):
        (place / f"broken/{number}.png").write_text("no picture")
        os.mkfifo(place / f"fifo/{number}.png")
    refused("measure", "--net", "torch.nn:Flatten", "--images", images, "--count", "4", names=IMAGES[images])


OPTIONS = {
    "--count": ["1", "-3", "x"], "--displacement": ["0", "-1", "nan", "x", "inf"], "--cut": ["0", "1", "-2", "x", "1000"],
    "--mean": ["0.5", "x"], "--std": ["0"], "--size": ["0", "-4", "1"], "--crop": ["1"], "--channels": ["2"],
    "--layers": ["nothing"], "--perturbation": ["difeomorphism", "subspace", "rotation"], "--estimator": ["avarage"],
    "--draws": ["0"], "--batch-size": ["0"], "--interpolation": ["cubic"], "--modes": ["all"], "--batch-norm": ["eval"],
    "--noise-matching": ["all"], "--out": ["r.png", "nowhere/r.nc"], "--plot": ["r.txt", "nowhere/r.png", ""],
    "--class-names": ["lost.txt"], "--output": ["logits"], "--dtype": ["int8"], "--device": ["tpu"], "--nets": ["lost.yaml"],
    "--classes": ["0"], "--weights": ["a.pth"], "--no-such-option": ["x"], "--seed": ["x"],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("option", "value"), [(option, value) for option, some in OPTIONS.items() for value in some])
def test_options_that_say_nothing_sensible(place, option, value):
    net = ["--net", "torch.nn:Flatten", "--images", "digits", "--count", "4"]
    refused("measure", *net, *([option, value] if value else [option]))
