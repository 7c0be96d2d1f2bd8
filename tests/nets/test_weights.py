import pytest
import torch
from safetensors.torch import save_file

import relative_stability as rs
from relative_stability.nets import ARCHITECTURES
from relative_stability.nets.weights import load_weights


def save(net, path):
    save_file({key: tensor.contiguous() for key, tensor in net.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("name", ["fc2", "lenet", "cnn", "resnet18", "googlenet", "convnext_tiny", "vit_small"])
def test_a_net_starts_from_another_one_with_a_head_of_its_own(tmp_path, name):
    options = {"width": 0.25} if ARCHITECTURES[name].family != "fully connected" else {"width": 8}
    source = rs.build_net(name, 1, 10, 28, seed=0, **options)
    path = save(source, tmp_path / "w.safetensors")
    same, other = (rs.build_net(name, 1, classes, 28, seed=1, **options) for classes in (10, 3))
    fresh = {key: tensor.clone() for key, tensor in other.state_dict().items()}
    assert load_weights(same, path, new_head=True).new_head is False
    assert all(torch.equal(tensor, same.state_dict()[key]) for key, tensor in source.state_dict().items())
    assert load_weights(other, path, new_head=True).new_head is True
    loaded = {
        key
        for key, tensor in other.state_dict().items()
        if tensor.shape != fresh[key].shape or not torch.equal(tensor, fresh[key])
    }
    kept = {key for key, tensor in other.state_dict().items() if tensor.shape != source.state_dict()[key].shape}
    assert 1 <= len(kept) <= 2 and not loaded & kept
    for key in set(fresh) - kept:
        assert torch.equal(other.state_dict()[key], source.state_dict()[key]), key


def test_without_a_new_head_other_classes_are_refused(tmp_path):
    path = save(rs.build_net("lenet", 1, 10, 28), tmp_path / "w.safetensors")
    with pytest.raises(rs.InputError, match=r"'11\.weight' is \(10, 84\) there and \(3, 84\) in the net; are channels"):
        load_weights(rs.build_net("lenet", 1, 3, 28), path)


def test_the_first_mismatch_in_the_order_of_the_net_is_named(tmp_path):
    path = save(rs.build_net("resnet18", 1, 10, 28, width=0.25), tmp_path / "w.safetensors")
    with pytest.raises(rs.InputError, match=r"'conv1\.weight' is \(16, 1, 3, 3\) there and \(64, 3, 3, 3\) in the net"):
        load_weights(rs.build_net("resnet18", 3, 10, 28), path, new_head=True)
    with pytest.raises(rs.InputError, match=r"it lacks '0\.weight'"):
        load_weights(rs.build_net("lenet", 1, 10, 28), path, new_head=True)
