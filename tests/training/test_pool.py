import torch

from relative_stability.training.augmentation import build_augmentation
from relative_stability.training.pool import Pool
from tests.training.small import CPU, digits, stripe


def test_a_batch_is_what_nets_are_measured_on():
    for data in (digits(), stripe()):
        pool = Pool(data, CPU)
        indices = torch.arange(300).view(2, 150)
        batch = pool.fetch(indices)
        assert batch.dtype == torch.float32
        for seed in range(2):
            assert torch.equal(batch[seed], data.seen(indices[seed], CPU))


def test_pictures_stay_as_they_are_stored():
    pool = Pool(digits(), CPU)
    assert pool.pixels.dtype == torch.uint8 and pool.pixels.shape[1:] == (12, 12, 1)


def test_subsets_are_nested_and_of_the_training_split():
    pool = Pool(digits(), CPU)
    small, large = pool.subsets(16, range(3)), pool.subsets(64, range(3))
    assert torch.equal(large[:, :16], small)
    assert not digits().test[large].any()
    assert len({tuple(row.tolist()) for row in large}) == 3


def test_a_batch_made_in_pieces_is_the_batch(monkeypatch):
    from relative_stability.training import pool as module

    data, indices = digits(), torch.arange(60).view(2, 30)
    augmentations = build_augmentation({"augmentation": ["crop", "flip", "diffeomorphism"]})
    drawn = [torch.stack([a.draw(30, torch.Generator().manual_seed(s)) for s in range(2)]) for a in augmentations]
    whole = Pool(data, CPU).fetch(indices, augmentations, drawn).clone()
    monkeypatch.setattr(module, "PIECE", 7 * 144)
    torch.testing.assert_close(Pool(data, CPU).fetch(indices, augmentations, drawn), whole)
