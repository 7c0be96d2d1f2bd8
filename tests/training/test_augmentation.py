import numpy as np
import pytest
import torch

from relative_stability import datasets
from relative_stability.datasets import Facts, Samples
from relative_stability.datasets.prepared import open_prepared, write_prepared
from relative_stability.training.augmentation import AUGMENTATIONS, MARGIN, build_augmentation, crop, flip
from relative_stability.training.engine import train_seed
from tests.training.test_engine import OPTIONS

CPU = torch.device("cpu")
BLACK = torch.tensor([-0.5, 0.25])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=200, n=10):
    return torch.rand(count, 2, n, n, generator=generator(5)) + 1  # black stands out


def test_a_crop_is_the_image_moved_with_black_at_the_border():
    x = images()
    moved = crop(x, BLACK, generator())
    framed = torch.stack([torch.nn.functional.pad(x[:, c], [MARGIN] * 4, value=float(BLACK[c])) for c in (0, 1)], 1)
    found = set()
    for before, after in zip(framed, moved, strict=True):
        places = [
            (i, j) for i in range(2 * MARGIN + 1) for j in range(2 * MARGIN + 1)
            if torch.allclose(before[:, i : i + 10, j : j + 10], after, atol=1e-6)
        ]  # fmt: skip
        assert len(places) == 1
        found.update(places)
    assert {i for i, _ in found} == {j for _, j in found} == set(range(2 * MARGIN + 1))


def test_half_of_the_images_are_mirrored():
    x = images(2000)
    out = flip(x, BLACK, generator())
    mirrored = (out == x.flip(-1)).flatten(1).all(1)
    assert ((out == x).flatten(1).all(1) ^ mirrored).all()
    assert 0.45 < mirrored.float().mean() < 0.55


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_generator_decides_and_the_images_stay(name):
    x = images()
    before = x.clone()
    a, b, c = (AUGMENTATIONS[name](x, BLACK, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c) and torch.equal(x, before)


def test_black_is_that_of_normalised_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(20, 3, 8, 8), dtype=np.uint8)
    samples = Samples(pixels, np.arange(20) % 2, np.arange(20) > 14, ("a", "b"), "noise")
    write_prepared(tmp_path / "d.nc", samples, Facts(15, 5, 3, 8, 2), {})
    data = open_prepared(tmp_path / "d.nc")
    out = build_augmentation(["crop"], data, CPU)(data.seen(torch.arange(20), CPU), generator())
    back = out * data.std + data.mean
    assert float(back.min()) == pytest.approx(0, abs=1e-5)
    assert (back.abs() < 1e-5).float().mean() > 0.2  # moved-in borders


def test_augmented_training_is_deterministic_and_differs_from_plain(tmp_path):
    write_prepared(
        tmp_path / "d.nc", datasets.load("digits", image_size=12), datasets.facts("digits", image_size=12), {}
    )
    data = open_prepared(tmp_path / "d.nc")
    net = {"architecture": "cnn", "width": 0.5}
    runs = [
        train_seed(net, data, 32, {**OPTIONS, "steps": 8, "evaluations": 2, "augmentation": names}, 0, CPU).train_loss
        for names in (["crop", "flip"], ["crop", "flip"], ["flip"], [])
    ]
    assert runs[0] == runs[1]
    assert len({tuple(run) for run in runs}) == 3
    assert len({run[0] for run in runs}) == 1  # the same net and subset at the start
