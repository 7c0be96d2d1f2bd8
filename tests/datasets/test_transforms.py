import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from relative_stability import InputError, datasets
from relative_stability.datasets import Facts, Samples
from relative_stability.datasets.prepared import open_prepared, write_prepared
from relative_stability.datasets.transforms import changed, changed_facts

FACTS = Facts(300, 100, 3, 16, 5)


@pytest.fixture
def samples():
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(400, 3, 16, 16), dtype=np.uint8)
    return Samples(images, np.arange(400) % 5, np.arange(400) >= 300, tuple("abcde"), "made up")


def test_nothing_is_changed_unless_asked(samples):
    same = changed(samples)
    assert same == samples
    assert changed_facts(FACTS) == FACTS


def test_grey_is_pillows_luminance(samples):
    grey = changed(samples, grey=True)
    assert grey.images.dtype == np.uint8 and changed_facts(FACTS, grey=True).channels == grey.images.shape[1] == 1
    expected = np.asarray(Image.fromarray(samples.images[7].transpose(1, 2, 0)).convert("L"))
    assert np.abs(grey.images[7, 0].astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(changed(grey, grey=True).images, grey.images)
    assert grey.source == "made up, grey"


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_low_and_high_frequencies_split_an_image_into_two_parts(samples, cut):
    low, high = (changed(samples, **{key: cut}).images for key in ("low_pass", "high_pass"))
    assert low.dtype == np.float32
    image = samples.images / 255
    mean = image.mean((2, 3), keepdims=True)
    np.testing.assert_allclose(low + high - mean, image, atol=1e-5)
    np.testing.assert_allclose(low.mean((2, 3), keepdims=True), mean, atol=1e-5)
    i = np.arange(16)
    beyond = i[:, None] ** 2 + i**2 > cut**2
    assert np.abs(dctn(low[0, 0], norm="ortho")[beyond]).max() < 1e-5
    np.testing.assert_allclose(
        dctn(high[0, 0], norm="ortho")[beyond], dctn(image[0, 0], norm="ortho")[beyond], atol=1e-5
    )


def test_a_smooth_image_passes_low_and_not_high():
    u = (np.arange(16) + 0.5) / 16
    wave = (0.5 + 0.4 * np.cos(2 * np.pi * u)).astype(np.float32) * np.ones((1, 1, 16, 1), np.float32)
    one = Samples(wave, np.zeros(1, int), np.zeros(1, bool), ("a", "b"), "wave")  # i = 2 half waves
    np.testing.assert_allclose(changed(one, low_pass=2).images, wave, atol=1e-6)
    np.testing.assert_allclose(changed(one, low_pass=1).images, 0.5, atol=1e-6)
    np.testing.assert_allclose(changed(one, high_pass=2).images, 0.5, atol=1e-6)


def test_noise_is_gaussian_of_its_deviation_and_follows_its_seed(samples):
    noisy = [changed(samples, noise=0.3, changes_seed=seed).images for seed in (0, 0, 1)]
    added = noisy[0] - samples.images / 255
    assert added.std() == pytest.approx(0.3, rel=0.01) and abs(added.mean()) < 0.005
    assert (added**4).mean() / added.var() ** 2 == pytest.approx(3, rel=0.03)
    assert (noisy[0] == noisy[1]).all() and (noisy[0] != noisy[2]).any()
    assert samples.images.dtype == np.uint8  # and the images given stay


@pytest.mark.parametrize(
    ("groups", "expected", "names"),
    [
        ("parity", [0, 1, 0, 1, 0], ("a+c+e", "b+d")),
        ("halves", [0, 0, 0, 1, 1], ("a+b+c", "d+e")),
        ([[4, 0], [1, 2, 3]], [0, 1, 1, 1, 0], ("e+a", "b+c+d")),
        ([["b"], ["a", "c"], ["d", "e"]], [1, 0, 1, 2, 2], ("b", "a+c", "d+e")),
    ],
)
def test_classes_are_merged(samples, groups, expected, names):
    merged = changed(samples, merge_labels=groups)
    assert (merged.labels == np.array(expected)[samples.labels]).all()
    assert merged.class_names == names
    assert changed_facts(FACTS, merge_labels=groups).classes == len(names)


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ([[0, 1], [2, 3]], "class '?[4e]'? stands in no group; every class must stand in one"),
        ([[0, 1, 2], [2, 3, 4]], "class '?[2c]'? stands in two groups; every class may stand once"),
        ([[0, 1, 2], [3, 4, 5]], "there is no class 5; known: "),
        ([["a", "b"], ["c", "d", "f"]], "there is no class 'f'; known: a, b, c, d, e"),
    ],
)
def test_groups_that_do_not_fit_are_refused(samples, groups, sentence):
    with pytest.raises(InputError, match=sentence):
        changed(samples, merge_labels=groups)
    if not isinstance(groups[0][0], str):  # numbers are checked before any job
        with pytest.raises(InputError, match=sentence):
            changed_facts(FACTS, merge_labels=groups)


def test_random_labels_are_a_fraction_of_the_training_split(samples):
    for fraction in (0.5, 1.0):
        random = changed(samples, random_labels=fraction)
        moved = random.labels != samples.labels
        assert not moved[samples.test].any()
        # A fifth of the replaced labels are the old ones by chance.
        assert moved[~samples.test].mean() == pytest.approx(fraction * 0.8, abs=0.07)
    assert (changed(samples, random_labels=1, changes_seed=1).labels != random.labels).any()


def test_a_cut_beyond_the_pixels_is_refused():
    with pytest.raises(
        InputError, match=r"low_pass = 22 is refused: the highest mode of pictures of 16 pixels has .* = 21.2"
    ):
        changed_facts(FACTS, low_pass=22)


@pytest.mark.parametrize(
    ("normalization", "mean", "std"), [("none", 0, 1), ("symmetric", 0.5, 0.5), ("standardized", None, None)]
)
@pytest.mark.parametrize("options", [{}, {"noise": 0.2}])
def test_normalisation_as_nets_see_it(samples, tmp_path, normalization, mean, std, options):
    import torch

    made = changed(samples, normalization=normalization, **options)
    write_prepared(tmp_path / "d.nc", made, FACTS, {})
    data = open_prepared(tmp_path / "d.nc")
    pixels = made.images / 255 if made.images.dtype == np.uint8 else made.images
    seen = data.seen(torch.arange(400), torch.device("cpu")).numpy()
    if mean is None:
        train = pixels[~samples.test]
        mean, std = train.mean((0, 2, 3), keepdims=True), train.std((0, 2, 3), keepdims=True)
        assert np.abs(seen[~samples.test].mean((0, 2, 3))).max() < 1e-4
    np.testing.assert_allclose(seen, (pixels - mean) / std, atol=1e-5)


def test_changes_are_options_of_every_source_of_pictures(schema):
    for source in set(datasets.SOURCES) - {"stripe", "interface", "cylinder"}:
        known = schema.part("datasets", source)["properties"]
        assert {"grey", "low_pass", "high_pass", "noise", "merge_labels", "random_labels", "normalization"} <= set(
            known
        )


def test_changes_through_load_and_facts():
    options = {"image_size": 8, "merge_labels": "parity", "noise": 0.1}
    assert datasets.facts("digits", **options) == Facts(1100, 697, 1, 8, 2)
    samples = datasets.load("digits", **options)
    plain = datasets.load("digits", image_size=8)
    assert (samples.labels == plain.labels % 2).all() and samples.images.dtype == np.float32
    assert samples.source.endswith("noise 0.1, labels merged")
