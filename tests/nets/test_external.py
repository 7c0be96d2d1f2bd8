import pytest
import torch
from safetensors.torch import save_file

import relative_stability as rs
from relative_stability.nets.external import Preprocessing, load_net
from relative_stability.nets.weights import load_weights


def test_a_net_of_torchvision_says_how_it_sees_images():
    net, preprocessing = load_net("torchvision:resnet18", classes=7)
    assert net.fc.out_features == 7
    assert preprocessing == Preprocessing(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
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
        ("resnet18", "names no source; write torchvision:NAME, timm:NAME or package.module:function"),
        ("torchvision:resnet19", r"has no classifier 'resnet19'; did you mean 'resnet18'\? .* others"),
        ("nowhere_at_all:build", "'nowhere_at_all' cannot be imported from here"),
        ("json:build", "module 'json' has no function 'build'"),
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
    with pytest.raises(rs.InputError, match="are no safetensors file; others can run code"):
        load_weights(net, tmp_path / "w.pt")
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
