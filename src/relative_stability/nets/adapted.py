"""torchvision's nets, with stems for images of 16 to 64 pixels in place of those for 224.

A stem made for photographs divides the side by four or more at once. Here the first convolution keeps every pixel
(ConvNeXt and ViT, which have no other reduction, take patches of 2, and 4 or 8), poolings of a stem of 7×7 are left
out, and what follows is torchvision's own, initialised by its own rules. `width` multiplies every number of channels.

Stages that are left out are empty Sequentials, which `activations.blocks` passes over.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torchvision.models import (
    VGG,
    AlexNet,
    ConvNeXt,
    DenseNet,
    EfficientNet,
    GoogLeNet,
    MobileNetV2,
    RegNet,
    ResNet,
    VisionTransformer,
)
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import MBConvConfig
from torchvision.models.googlenet import BasicConv2d, Inception, InceptionAux
from torchvision.models.regnet import BlockParams
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.vgg import cfgs, make_layers

from relative_stability.core.errors import InputError

RESNETS: dict[int, tuple[Any, list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
}
VGGS = {11: "A", 16: "D", 19: "E"}


def _channels(number: int, width: float) -> int:
    return max(1, round(number * width))


def _skeleton(kind: Any, *arguments: Any, **options: Any) -> Any:
    """A net whose layers take no memory: all those with parameters are to be replaced."""
    with torch.device("meta"):
        return kind(*arguments, **options)


def _kaiming(convolution: nn.Conv2d, mode: str = "fan_out") -> nn.Conv2d:
    init.kaiming_normal_(convolution.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
    return convolution


def _first(in_channels: int, channels: int, stride: int = 1, mode: str = "fan_out") -> nn.Conv2d:
    """A first convolution of 3×3 without bias, for nets that normalise after it."""
    return _kaiming(nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False), mode)


def alexnet(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """AlexNet (Krizhevsky 2014, arXiv 1404.5997): a first convolution of 5×5 and stride 1 for one of 11×11 and 4."""
    net = _skeleton(AlexNet)
    a, b, c, d, hidden = (_channels(number, width) for number in (64, 192, 384, 256, 4096))
    for index, (inputs, outputs, kernel) in {
        0: (in_channels, a, 5), 3: (a, b, 5), 6: (b, c, 3), 8: (c, d, 3), 10: (d, d, 3),
    }.items():  # fmt: skip
        net.features[index] = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    net.avgpool = nn.AdaptiveAvgPool2d(2)
    for index, (inputs, outputs) in {1: (4 * d, hidden), 4: (hidden, hidden), 6: (hidden, num_outputs)}.items():
        net.classifier[index] = nn.Linear(inputs, outputs)
    return net


def vgg(
    in_channels: int, num_outputs: int, image_size: int, depth: int, batch_norm: bool, width: float = 1
) -> nn.Module:
    """VGG (Simonyan & Zisserman 2015, arXiv 1409.1556) with a global average and one linear layer at the end.

    Its five poolings need 32 pixels; smaller images are padded with zeros to 32 (or 33), by the first convolution.
    """
    layout = [_channels(c, width) if isinstance(c, int) else c for c in cfgs[VGGS[depth]]]
    features = make_layers(layout, batch_norm)
    margin = max(0, 32 - image_size)
    features[0] = nn.Conv2d(in_channels, int(layout[0]), 3, padding=1 + (margin + 1) // 2)
    net: nn.Module = _skeleton(VGG, nn.Sequential(), init_weights=False)
    net.features, net.avgpool = features, nn.AdaptiveAvgPool2d(1)
    net.classifier = nn.Sequential(nn.Linear(_channels(512, width), num_outputs))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            init.zeros_(_kaiming(module).bias)  # type: ignore[arg-type]
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, 0, 0.01)
            init.zeros_(module.bias)
    return net


def resnet(in_channels: int, num_outputs: int, image_size: int, depth: int, width: float = 1) -> nn.Module:
    """ResNet (He et al. 2016, arXiv 1512.03385) of depth 18, 34, 50 or 101."""
    return _residual(*RESNETS[depth], in_channels, num_outputs, width)


def resnext29(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """ResNeXt-29 (Xie et al. 2017, arXiv 1611.05431, table 8) with two groups of 64: three stages of three blocks."""
    return _residual(Bottleneck, [3, 3, 3], in_channels, num_outputs, width, groups=2)


def _residual(
    block: Any, stages: list[int], in_channels: int, num_outputs: int, width: float, groups: int = 1
) -> nn.Module:
    net = _skeleton(ResNet, block, [1, 1, 1, 1], groups=groups)
    channels = net.inplanes = _channels(64, width)
    net.conv1, net.bn1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
    net.maxpool = nn.Sequential()
    for k in range(4):
        stride = 1 if k == 0 else 2
        made = net._make_layer(block, channels * 2**k, stages[k], stride) if k < len(stages) else nn.Sequential()
        setattr(net, f"layer{k + 1}", made)
    net.fc = nn.Linear(net.inplanes, num_outputs)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            _kaiming(module)
    return net


def densenet121(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """DenseNet-121 (Huang et al. 2017, arXiv 1608.06993)."""
    channels = _channels(64, width)
    net = DenseNet(_channels(32, width), (6, 12, 24, 16), channels, num_classes=num_outputs)
    net.features.conv0 = _first(in_channels, channels, mode="fan_in")
    net.features.pool0 = nn.Sequential()
    return net


def googlenet(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """GoogLeNet (Szegedy et al. 2015, arXiv 1409.4842) without auxiliary classifiers, its first two poolings left out.

    width: a multiple of 1/8, which keeps every number of channels whole.
    """

    if (8 * width) % 1:
        raise InputError(
            f"googlenet: width {width} is refused: a multiple of 0.125 is needed, which keeps channels whole"
        )

    def scaled(block: Any, *numbers: int, **options: Any) -> nn.Module:
        return block(*(_channels(number, width) for number in numbers), **options)

    blocks: list[Any] = [partial(scaled, BasicConv2d), partial(scaled, Inception), InceptionAux]
    net = GoogLeNet(num_outputs, aux_logits=False, init_weights=True, blocks=blocks)
    net.conv1.conv = nn.Conv2d(in_channels, round(64 * width), 3, padding=1, bias=False)
    net.fc = nn.Linear(round(1024 * width), num_outputs)
    for module in (net.conv1.conv, net.fc):
        init.trunc_normal_(module.weight, std=0.01, a=-2, b=2)
    net.maxpool1, net.maxpool2 = nn.Sequential(), nn.Sequential()
    return net


def mobilenet_v2(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381), its first two reductions left out."""
    stages = [
        [1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1],
    ]  # fmt: skip
    net = MobileNetV2(num_outputs, width, stages)
    first = net.features[0]
    first[0] = _first(in_channels, first[0].out_channels)
    return net


def efficientnet_b0(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """EfficientNet-B0 (Tan & Le 2019, arXiv 1905.11946, table 1), its first reduction left out."""
    stages = [
        (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3),
        (6, 5, 1, 80, 112, 3), (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1),
    ]  # fmt: skip
    net = EfficientNet([MBConvConfig(*stage, width_mult=width) for stage in stages], 0.2, num_classes=num_outputs)
    first = net.features[0]
    first[0] = _first(in_channels, first[0].out_channels)
    return net


def regnet(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """RegNetY-400MF (Radosavovic et al. 2020, arXiv 2003.13678), its first two reductions left out."""
    eights = max(1, round(48 * width / 8))
    blocks = BlockParams.from_init_params(16, 8 * eights, 27.89 * width, 2.09, 8, se_ratio=0.25)
    blocks.strides[0] = 1
    stem = max(8, _channels(32, width))  # narrower ones leave its squeezing layers empty
    net = RegNet(blocks, num_outputs, stem)
    net.stem[0] = _first(in_channels, stem)
    return net


def convnext_tiny(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """ConvNeXt-T (Liu et al. 2022, arXiv 2201.03545) with patches of 2×2 for 4×4."""
    sizes = [_channels(number, width) for number in (96, 192, 384, 768)]
    following = [*sizes[1:], None]
    stages = [CNBlockConfig(a, b, blocks) for a, b, blocks in zip(sizes, following, (3, 3, 9, 3), strict=True)]
    net = ConvNeXt(stages, stochastic_depth_prob=0.1, num_classes=num_outputs)
    first = nn.Conv2d(in_channels, sizes[0], 2, 2)
    init.trunc_normal_(first.weight, std=0.02)
    init.zeros_(first.bias)  # type: ignore[arg-type]
    net.features[0][0] = first
    return net


class _VisionTransformer(VisionTransformer):
    """A ViT that pads images with zeros to whole patches."""

    def forward(self, x: Tensor) -> Tensor:
        margin = self.image_size - x.shape[-1]
        out: Tensor = super().forward(nn.functional.pad(x, (0, margin, 0, margin)))
        return out


def vit_small(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """ViT-S (Touvron et al. 2021, arXiv 2012.12877): 12 layers of 6 heads, 384 channels.

    Patches of 4×4 pixels below 48, else of 8×8. Its head starts at random: torchvision's starts at zero, and a
    constant net has no stability at initialisation.
    """
    patch = 4 if image_size < 48 else 8
    hidden = 6 * _channels(64, width)
    net = _VisionTransformer(-(-image_size // patch) * patch, patch, 12, 6, hidden, 4 * hidden, num_classes=num_outputs)
    net.conv_proj = nn.Conv2d(in_channels, hidden, patch, patch)
    init.trunc_normal_(net.conv_proj.weight, std=(in_channels * patch**2) ** -0.5)
    init.zeros_(net.conv_proj.bias)
    init.trunc_normal_(net.heads.get_parameter("head.weight"), std=0.02)
    return net
