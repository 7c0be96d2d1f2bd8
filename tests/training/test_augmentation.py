import math

import numpy as np
import pytest
import torch

import relative_stability as rs
from relative_stability.training.augmentation import AUGMENTATIONS, MARGIN, Crop, Deform, Flip, build_augmentation
from relative_stability.training.pool import Pool
from tests.training.seen import Seen
from tests.training.small import CPU, LENET, digits, request, same, train

pytestmark = pytest.mark.slow


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pixels(count=200, n=10):
    return torch.randint(1, 256, (count, n, n, 2), dtype=torch.uint8, generator=generator(5))  # black stands out


def test_a_crop_is_the_image_moved_with_black_at_the_border():
    x = pixels()
    moved = Crop().apply(x, Crop().draw(len(x), generator()))
    framed = torch.nn.functional.pad(x, [0, 0, MARGIN, MARGIN, MARGIN, MARGIN])
    found = set()
    for before, after in zip(framed, moved, strict=True):
        places = [
            (i, j) for i in range(2 * MARGIN + 1) for j in range(2 * MARGIN + 1)
            if torch.equal(before[i : i + 10, j : j + 10], after)
        ]  # fmt: skip
        assert len(places) == 1
        found.update(places)
    assert {i for i, _ in found} == {j for _, j in found} == set(range(2 * MARGIN + 1))


def test_half_of_the_images_are_mirrored():
    x = pixels(2000)
    out = Flip().apply(x, Flip().draw(len(x), generator()))
    mirrored = (out == x.flip(2)).flatten(1).all(1)
    assert ((out == x).flatten(1).all(1) ^ mirrored).all()
    assert 0.45 < mirrored.float().mean() < 0.55


def test_deformations_are_those_that_are_measured():
    """The ensemble of Petrini et al. 2021 at the temperature of the displacement, one field for each image."""
    x, n = pixels(300, 16), 16
    deform = Deform(1.5, 4)
    out = deform.apply(x, deform.draw(len(x), generator()))
    fields = rs.sample_displacement(n, 4, rs.temperature(1.5, n, 4), len(x), generator())
    torch.testing.assert_close(
        out, rs.deform(x.float().permute(0, 3, 1, 2), fields).permute(0, 2, 3, 1), atol=1e-3, rtol=1e-4
    )
    rms = math.sqrt(float(fields.square().sum(1).mean()))
    from relative_stability.perturbations.diffeomorphism import rms_displacement

    assert rms == pytest.approx(rms_displacement(rs.temperature(1.5, n, 4), n, 4), rel=0.1)


def test_a_deformation_takes_nothing_to_the_device_in_a_step():
    """The modes are there from the first one on; to copy them anew would wait for a GPU."""
    x, drawn = pixels(4).float(), Deform(1, 3).draw(4, generator())
    Deform(1, 3).apply(x, drawn)
    with Seen() as step:
        Deform(1, 3).apply(x, drawn)
    with Seen() as copy:
        torch.ones(1).double()
    assert "aten._to_copy.default" in copy.names - step.names


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_generator_decides_and_the_images_stay(name):
    (augmentation,) = build_augmentation({"augmentation": [name]})
    x = pixels()
    before = x.clone()
    a, b, c = (augmentation.apply(x, augmentation.draw(len(x), generator(seed))) for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c) and torch.equal(x, before)


def test_they_act_in_the_order_of_the_config():
    assert [type(a) for a in build_augmentation({"augmentation": ["flip", "crop"]})] == [Flip, Crop]
    options = {"augmentation": ["diffeomorphism"], "augmentation_displacement": 2, "augmentation_cut": 5}
    assert build_augmentation(options) == [Deform(2, 5)]
    assert build_augmentation({}) == []


def test_black_comes_in_as_black():
    pool = Pool(digits(), CPU)
    data = digits()
    drawn = Crop().draw(40, generator())[None]
    out = pool.fetch(torch.arange(40)[None], [Crop()], [drawn])[0]
    back = out * data.std + data.mean
    assert float(back.min()) == pytest.approx(0, abs=1e-5)
    assert (back.abs() < 1e-5).float().mean() > 0.3


def test_augmented_training_is_deterministic_and_differs_from_plain():
    names = (["crop", "flip"], ["crop", "flip"], ["flip"], ["diffeomorphism"], [])
    runs = [train(digits(), P=32, steps=8, evaluations=2, augmentation=a) for a in names]
    assert same(runs[0], runs[1])
    losses = [tuple(run.curves["train_loss"].values[0]) for run in runs]
    assert len(set(losses)) == 4
    assert len({run[0] for run in losses}) == 1  # the same net and subset at the start


def test_training_on_deformed_images_makes_R_fall():
    """What the augmentation is for: a net that is shown deformations learns to ignore them."""
    from relative_stability.training.run import load_net

    data = digits()
    images = data.seen(data.test_subset(300, 0), CPU)
    measured = {}
    for names in ([], ["diffeomorphism"]):
        changes = {"P": 512, "steps": 600, "learning_rate": 0.02, "batch_size": 32, "augmentation": names}
        weights = train(data, LENET, seeds=range(2), **changes).weights
        nets = [load_net(request(LENET), data, weights, "last", seed, CPU).eval() for seed in range(2)]
        found = [float(rs.measure(net, images, displacement=[1]).R.squeeze()) for net in nets]
        measured[bool(names)] = float(np.exp(np.mean(np.log(found))))
    assert measured[True] < 0.6 * measured[False], measured
