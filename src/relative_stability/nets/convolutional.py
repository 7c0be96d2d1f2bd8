"""Small convolutional nets that no library has at these image sizes."""

import itertools

from torch import nn


def lenet(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """LeNet-5 with ReLU and max pooling: two 5×5 convolutions (6 and 16 channels), then 120, 84 and the outputs.

    Images under 32 pixels are padded by 2, as LeCun et al. 1998 pad 28 to 32; 12 pixels are the fewest.
    """
    padding = 2 if image_size < 32 else 0
    side = ((image_size + 2 * padding - 4) // 2 - 4) // 2
    a, b, c, d = (max(1, round(width * channels)) for channels in (6, 16, 120, 84))
    # Pooling before ReLU gives the same numbers, on a quarter of the pixels.
    return nn.Sequential(
        nn.Conv2d(in_channels, a, 5, padding=padding),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(a, b, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(b * side**2, c),
        nn.ReLU(),
        nn.Linear(c, d),
        nn.ReLU(),
        nn.Linear(d, num_outputs),
    )


def cnn(in_channels: int, num_outputs: int, image_size: int, width: float = 1) -> nn.Module:
    """Three 3×3 convolutions (16, 32, 64 channels) with batch normalisation, pooled by 2 after each of the first two,
    then the global average and one linear layer.
    """
    channels = [in_channels] + [max(1, round(width * c)) for c in (16, 32, 64)]
    layers: list[nn.Module] = []
    for depth, (a, b) in enumerate(itertools.pairwise(channels)):
        layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)]
        layers += [nn.MaxPool2d(2)] if depth < 2 else []
        layers += [nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], num_outputs))
