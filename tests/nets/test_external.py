from argparse import Namespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import relative_stability as rs
from relative_stability.nets.external import Preprocessing, load_net
from relative_stability.nets.weights import load_weights


def test_a_net_of_torchvision_says_how_it_sees_images():
    net, preprocessing = load_net("torchvision:resnet18", classes=7)
    assert net.fc.out_features == 7
    assert preprocessing == Preprocessing(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 256)
    again, _ = load_net("torchvision:resnet18", classes=7)
    other, _ = load_net("torchvision:resnet18", classes=7, seed=1)
    assert torch.equal(net.fc.weight, again.fc.weight) and not torch.equal(net.fc.weight, other.fc.weight)


def test_a_net_of_timm_says_how_it_sees_images():
    pytest.importorskip("timm", reason="timm is not installed, and is optional")
    net, preprocessing = load_net("timm:resnet18.a1_in1k", classes=7)
    assert net.get_classifier().out_features == 7 and preprocessing.size == 224


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("resnet18", "names no source; write torchvision:NAME, timm:NAME, package.module:NAME, or"),
        ("torchvision:resnet19", r"has no classifier 'resnet19'; did you mean 'resnet18'\? .* others"),
        ("nowhere_at_all:build", "'nowhere_at_all' cannot be imported from here"),
        ("json:build", "module 'json' has no 'build'; known: "),
        ("json:loads(os)", "a name is needed, or a call with plain values"),
        ("json:loads", "called with no arguments, raised TypeError"),
        ("collections:OrderedDict", "returned a OrderedDict; .* weights go beside the net that they are of"),
        ("math:pi", "is a float; a net, or what makes one, is needed"),
        ("nothing.pt2", r"net nothing\.pt2 does not exist"),
        (":x", "names no source"),
        ("fractions:Fraction", r"fractions:Fraction returned a Fraction; a torch\.nn\.Module is needed"),
    ],
)
def test_nets_that_are_not_there_are_named(spec, sentence):
    with pytest.raises(rs.InputError, match=sentence):
        load_net(spec)


def test_timm_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(rs.InputError, match="needs timm, which is not installed; run: pip install timm"):
        load_net("timm:resnet18")


@pytest.fixture
def net():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


def test_weights_are_loaded_and_running_statistics_count_as_trained(net, tmp_path):
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    state = {name: t for name, t in other.state_dict().items() if not name.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "w.safetensors")
    load_weights(net, tmp_path / "w.safetensors")
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in state.items())
    assert net[1].num_batches_tracked == 1


def test_weights_that_do_not_fit_are_refused(net, tmp_path):
    state = net.state_dict()
    cases = {
        "lacks": ({k: v for k, v in state.items() if k != "0.bias"}, r"it lacks '0\.bias' \(1 missing, 0 unknown\)"),
        "more": ({**state, "x": torch.ones(1)}, "it has 'x', which the net does not know"),
        "shape": ({**state, "2.weight": torch.ones(5, 4)}, r"'2\.weight' is \(5, 4\) there and \(2, 4\) in the net"),
    }
    for name, (tensors, sentence) in cases.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        before = {key: tensor.clone() for key, tensor in state.items()}
        with pytest.raises(rs.InputError, match=sentence):
            load_weights(net, tmp_path / f"{name}.safetensors")
        assert all(torch.equal(net.state_dict()[key], tensor) for key, tensor in before.items())
    with pytest.raises(rs.InputError, match=r"are no weights file; one of \.safetensors, \.pt, "):
        load_weights(net, tmp_path / "w.h5")
    with pytest.raises(rs.InputError, match="do not exist"):
        load_weights(net, tmp_path / "nothing.safetensors")
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "more.safetensors").read_bytes()[:50])
    with pytest.raises(rs.InputError, match="is not a complete result file"):
        load_weights(net, tmp_path / "half.safetensors")


def test_classifiers_that_serve_training_alone_are_left_out(tmp_path):
    """And the net sees images as torchvision's own weights want them."""
    from torchvision.models import googlenet

    net, _ = load_net("torchvision:googlenet", classes=3)
    assert net.transform_input
    full = googlenet(num_classes=3, init_weights=False)
    assert any(name.startswith("aux1.") for name in full.state_dict())
    save_file(full.state_dict(), tmp_path / "w.safetensors")
    load_weights(net, tmp_path / "w.safetensors")
    assert torch.equal(net.fc.weight, full.fc.weight)


class Own:
    """No tensor."""


def test_of_a_pickle_tensors_numbers_and_text_are_read_and_no_code_is_run(net, tmp_path):
    state = net.state_dict()
    held = {
        "plain": (state, ()),
        "checkpoint": (
            {"epoch": 3, "best": np.float64(0.1), "options": Namespace(lr=1), "state_dict": state},
            ("state_dict",),
        ),
        "parallel": ({"model": {f"module.{k}": v for k, v in state.items()}}, ("model", "module.")),
        "compiled": ({f"_orig_mod.{k}": v for k, v in state.items()}, ("_orig_mod.",)),
        "lightning": (
            {"state_dict": {f"model.net.{k}": v for k, v in state.items()}},
            ("state_dict", "model.", "net."),
        ),
        "averaged": ({"n_averaged": torch.tensor(2), **{f"module.{k}": v for k, v in state.items()}}, ("module.",)),
        "ema": ({"ema": state, "step": 1}, ("ema",)),
    }
    for name, (content, without) in held.items():
        torch.save(content, tmp_path / f"{name}.pth")
        other = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
        assert load_weights(other, tmp_path / f"{name}.pth").without == without, name
        assert all(torch.equal(other.state_dict()[key], tensor) for key, tensor in state.items()), name
    refused = {
        "whole net": (
            net,
            r"hold a torch\.nn\.modules\.container\.Sequential, and reading it could run code; .* convert it",
        ),
        "object": (
            {"state_dict": state, "x": Own()},
            "hold a tests.nets.test_external.Own, and reading it could run code",
        ),
        "numbers": ({"epoch": 3}, r"hold no tensors by name \(found: epoch\)"),
        "list": ([1, 2], r"hold no tensors by name \(found: list\)"),
    }
    for name, (content, sentence) in refused.items():
        torch.save(content, tmp_path / f"{name}.pt")
        with pytest.raises(rs.InputError, match=sentence):
            load_weights(net, tmp_path / f"{name}.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(rs.InputError, match=r"are no file that torch\.save has written"):
        load_weights(net, tmp_path / "text.pt")
    (tmp_path / "half.pt").write_bytes((tmp_path / "plain.pth").read_bytes()[:700])
    with pytest.raises(rs.InputError, match=r"cannot be read .* is the file whole"):
        load_weights(net, tmp_path / "half.pt")
    (tmp_path / "program.pt2").touch()
    with pytest.raises(rs.InputError, match="are a program, a net with its weights; give it as the net itself"):
        load_weights(net, tmp_path / "program.pt2")


def test_images_are_seen_as_torchvision_shows_them_to_its_own_weights():
    from torchvision.models import ResNet18_Weights

    _, preprocessing = load_net("torchvision:resnet18")
    picture = Image.fromarray(np.random.default_rng(0).integers(256, size=(300, 400, 3), dtype=np.uint8))
    torch.testing.assert_close(
        preprocessing.transform(3)(picture), ResNet18_Weights.DEFAULT.transforms()(picture), atol=1e-6, rtol=0
    )


def test_weights_of_a_library_that_cannot_be_downloaded_are_asked_for(monkeypatch):
    def unreachable(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(
        rs.InputError, match=r"cannot be downloaded .*no route to host.*; put https://\S+\.pth into \S+checkpoints"
    ):
        load_net("torchvision:resnet18", pretrained=True)


def test_a_module_gives_nets_classes_functions_and_calls(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n    def __init__(self, width=3): super().__init__(2, width)\n"
        "net = Net(4)\n"
        "def broken(): raise ZeroDivisionError('by hand')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    widths = {"Net": 3, "net": 4, "Net(5)": 5, "Net(width=6)": 6}
    for call, width in widths.items():
        assert load_net(f"own_nets:{call}")[0].out_features == width
    with pytest.raises(rs.InputError, match="raised ZeroDivisionError: by hand"):
        load_net("own_nets:broken")
