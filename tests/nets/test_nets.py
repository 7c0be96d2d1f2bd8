import pytest
import torch

import relative_stability as rs
from relative_stability.core.store import read_tensors, write_tensors
from relative_stability.nets import ARCHITECTURES
from relative_stability.stability.activations import blocks

pytestmark = pytest.mark.slow

ADAPTED = sorted(name for name, net in ARCHITECTURES.items() if net.module == "adapted")
OWN = sorted(set(ARCHITECTURES) - set(ADAPTED))


def parameters(net):
    return sum(p.numel() for p in net.parameters())


@pytest.fixture(scope="module", params=rs.net_names())
def name(request):
    return request.param


@pytest.fixture(scope="module")
def net(name):
    """Each net for grey images of 28 pixels; tests that change it put it back."""
    return rs.build_net(name, 1, 10, 28, seed=0)


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 28, 10), (3, 32, 7), (2, 64, 200), (3, 45, 2)])
def test_every_net_maps_images_to_classes(name, channels, size, classes):
    net = rs.build_net(name, channels, classes, size, seed=0)
    x = torch.randn(2, channels, size, size)
    assert net.eval()(x).shape == (2, classes)
    assert all(not p.is_meta for p in [*net.parameters(), *net.buffers()])


def test_the_smallest_images_are_taken_and_smaller_ones_refused(name):
    smallest = ARCHITECTURES[name].smallest
    assert rs.build_net(name, 1, 10, smallest, seed=0).eval()(torch.randn(2, 1, smallest, smallest)).shape == (2, 10)
    if smallest > 1:
        with pytest.raises(
            rs.InputError, match=f"{name} cannot take images of {smallest - 1} pixels; .* is {smallest}"
        ):
            rs.build_net(name, 1, 10, smallest - 1)


def test_the_seed_sets_the_weights_and_leaves_the_global_generator_alone(name, net):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    same, other = (rs.build_net(name, 1, 10, 28, seed=seed).state_dict() for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, same[key]) for key, tensor in net.state_dict().items())
    assert any(not torch.equal(tensor, other[key]) for key, tensor in net.state_dict().items())


def test_one_training_step_lowers_the_loss_on_its_batch(name):
    """A step that lowers it by a fiftieth in first order, without dropout, which is another net each time."""
    net = rs.build_net(name, 1, 10, 28, seed=0).train()
    for module in net.modules():
        if type(module).__name__ in ("Dropout", "StochasticDepth"):
            module.eval()
    x, y = torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 10
    loss = torch.nn.functional.cross_entropy(net(x), y)
    loss.backward()
    with torch.no_grad():
        square = sum((p.grad**2).sum() for p in net.parameters() if p.grad is not None)
        for p in net.parameters():
            if p.grad is not None:
                p -= 0.02 * loss / square * p.grad
        after = torch.nn.functional.cross_entropy(net(x), y)
    assert 0 < float(loss.detach() - after) < 0.05 * float(loss.detach())
    unused = [key for key, p in net.named_parameters() if p.grad is None]
    assert not unused


def test_a_state_is_saved_and_loaded_bit_for_bit(name, net, tmp_path):
    write_tensors(tmp_path / "w.safetensors", net.state_dict(), {})
    tensors, _ = read_tensors(tmp_path / "w.safetensors")
    other = rs.build_net(name, 1, 10, 28, seed=1)
    other.load_state_dict(tensors)
    x = torch.randn(3, 1, 28, 28)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))
    assert torch.equal(net.eval()(x), other.eval()(x))


def test_every_net_is_measured_block_by_block(net):
    images = torch.randn(12, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    names = blocks(net)
    assert len(names) >= 4 and len(set(names)) == len(names)
    depth = rs.measure(net, images, displacement=[1], layers=["blocks", "output"])
    assert depth.sizes["layer"] >= len(names)
    for quantity in ("D", "G", "R"):
        assert (depth[quantity] > 0).all() and (depth[quantity] < 1e3).all(), quantity


@pytest.mark.parametrize(
    ("name", "width"), [*((name, 0.25) for name in ADAPTED), ("resnet18", 2), ("densenet121", 2), ("regnet", 2)]
)
def test_width_multiplies_the_channels(name, width):
    """Weights between inner layers grow with width squared, first and last ones with width."""
    net, usual = rs.build_net(name, 3, 10, 32, seed=0, width=width), rs.build_net(name, 3, 10, 32, seed=0)
    ratio = parameters(net) / parameters(usual)
    # MobileNetV2 does not narrow its last layer, as its authors say; rounding to multiples of 8 moves small nets.
    assert min(width, width**2) * 0.8 < ratio < max(width, width**2) * 1.2
    assert net.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [
        ("lenet", 32, 61706),  # LeCun et al. 1998 with full connections, as commonly counted on 32×32 grey images
        ("fc", 16, 256 * 64 + 64 + 2 * (64 * 64 + 64) + 640),
        ("fc2", 16, 256 * 64 + 64 + (64 * 64 + 64) + 640),
        ("fc4", 16, 256 * 64 + 64 + 3 * (64 * 64 + 64) + 640),
        ("fc6", 16, 256 * 64 + 64 + 5 * (64 * 64 + 64) + 640),
        ("one_hidden", 16, 256 * 1000 + 1000 + 10000),
    ],
)
def test_parameter_counts(name, size, count):
    assert parameters(rs.build_net(name, 1, 10, size, seed=0)) == count


VGG_HEAD = 25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000
STEM = 64 * 3 * (7**2 - 3**2)  # 64 first kernels of 3×3 in place of 7×7
# Published by torchvision for 1000 classes; and what the small-image stem and head take off.
DIFFERENCES = {
    "alexnet": ("alexnet", 64 * 3 * (11**2 - 5**2) + 256 * (36 - 4) * 4096),
    **{f"vgg{d}{bn}": (f"vgg{d}{bn}", VGG_HEAD - (512 * 1000 + 1000)) for d in (11, 16, 19) for bn in ("", "_bn")},
    **{f"resnet{d}": (f"resnet{d}", STEM) for d in (18, 34, 50, 101)},
    "densenet121": ("densenet121", STEM),
    "googlenet": ("googlenet", STEM),
    "mobilenet_v2": ("mobilenet_v2", 0),
    "efficientnet_b0": ("efficientnet_b0", 0),
    "regnet": ("regnet_y_400mf", 0),
    "convnext_tiny": ("convnext_tiny", 96 * 3 * (4**2 - 2**2)),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_parameter_counts_are_the_published_ones_but_for_stem_and_head(name):
    from torchvision.models import get_model_weights

    published, less = DIFFERENCES[name]
    expected = get_model_weights(published).DEFAULT.meta["num_params"] - less
    assert parameters(rs.build_net(name, 3, 1000, 32, seed=0)) == expected


@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet18", 11_173_962), ("resnet50", 23_520_842), ("vgg16_bn", 14_728_266), ("vgg19_bn", 20_040_522)],
)
def test_parameter_counts_are_those_commonly_reported_on_cifar10(name, count):
    assert parameters(rs.build_net(name, 3, 10, 32, seed=0)) == count


def test_resnext_has_the_size_of_its_paper():
    """Xie et al. 2017, table 7: 34.4 million parameters with eight groups of 64."""
    from torchvision.models.resnet import Bottleneck

    from relative_stability.nets.adapted import _residual

    assert parameters(_residual(Bottleneck, [3, 3, 3], 3, 10, 1, groups=8)) / 1e6 == pytest.approx(34.4, abs=0.05)
    assert parameters(rs.build_net("resnext29", 3, 10, 32, seed=0)) / 1e6 == pytest.approx(9.1, abs=0.05)


def test_the_vision_transformer_has_the_size_of_its_paper():
    """Touvron et al. 2021, table 1: 22 million; 22,050,664 with patches of 16×16 on 224×224, less patches and places."""
    expected = 22_050_664 - 3 * 384 * (16**2 - 4**2) - (197 - 65) * 384
    assert parameters(rs.build_net("vit_small", 3, 1000, 32, seed=0)) == expected


def test_every_net_has_a_published_count_or_one_of_its_own():
    counted = {*DIFFERENCES, "resnext29", "vit_small", "lenet", "fc", "fc2", "fc4", "fc6", "one_hidden"}
    assert set(ARCHITECTURES) - counted == {"cnn"}  # which is published nowhere


def test_fully_connected_outputs_scale_as_the_paper_says():
    """Hidden pre-activations have variance of order one for any width, and the output is of order 1/√width."""
    x = torch.randn(200, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    spread = [rs.build_net("fc", 1, 10, 16, seed=0, width=w, depth=2)(x).detach().std() for w in (64, 1024)]
    assert 2 < float(spread[0] / spread[1]) < 8  # √(1024/64) = 4


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "densenet121", "mobilenet_v2", "regnet"])
def test_signals_neither_explode_nor_vanish_at_initialisation(name):
    """Layers that were made anew are initialised by the same law as those that were not."""
    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for width in (0.5, 1):
        with torch.no_grad():
            spread = float(rs.build_net(name, 3, 10, 32, seed=0, width=width).train()(x).std())
        assert 0.03 < spread < 3


def test_dropout_is_announced_where_there_is_some(name, net):
    kinds = {type(m).__name__ for m in net.modules() if getattr(m, "p", 0) > 0}
    assert ARCHITECTURES[name].dropout == bool(kinds & {"Dropout", "StochasticDepth"})
    norms = any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in net.modules())
    assert ARCHITECTURES[name].batch_norm == norms


@pytest.mark.parametrize("name", [name for name in ADAPTED if name != "googlenet"])
def test_very_narrow_nets_still_work(name):
    assert rs.build_net(name, 1, 10, 28, seed=0, width=0.01)(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_googlenet_takes_eighths():
    assert rs.build_net("googlenet", 1, 10, 28, seed=0, width=0.125)(torch.randn(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(rs.InputError, match=r"googlenet: width 0\.3 is refused: a multiple of 0\.125 is needed"):
        rs.build_net("googlenet", 1, 10, 28, width=0.3)


def test_unknown_net_gets_the_list():
    with pytest.raises(rs.InputError, match=r"net 'lenett' is unknown; did you mean 'lenet'\? Known: alexnet, cnn"):
        rs.build_net("lenett")
