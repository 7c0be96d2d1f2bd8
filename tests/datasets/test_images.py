import numpy as np
import pytest
import torch
from PIL import Image

import relative_stability as rs
from relative_stability.datasets.images import find_images, load_images


@pytest.fixture
def pictures(tmp_path):
    """Five pictures in two folders: wide, high and square, in colour and grey."""
    generator = np.random.default_rng(0)
    for k, shape in enumerate([(20, 30, 3), (30, 20, 3), (24, 24, 3), (20, 30), (20, 20, 3)]):
        folder = tmp_path / "pictures" / ("ab"[k % 2])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(256, size=shape, dtype=np.uint8)).save(folder / f"{k}.png")
    (tmp_path / "pictures/notes.txt").write_text("no picture")
    return tmp_path / "pictures"


def test_a_picture_is_its_central_square_resized_and_normalised(pictures):
    paths = find_images(pictures)
    assert [path.name for path in paths] == ["0.png", "2.png", "4.png", "1.png", "3.png"]
    images = load_images(paths, 500, 10, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    assert images.shape == (5, 3, 10, 10)
    with Image.open(paths[0]) as picture:
        expected = np.asarray(picture.crop((5, 0, 25, 20)).resize((10, 10), Image.Resampling.BILINEAR)) / 255
    expected = (expected - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    np.testing.assert_allclose(images[0].permute(1, 2, 0), expected, atol=1e-6)


def test_grey_images_and_a_part_of_them(pictures):
    paths = find_images(pictures)
    grey = load_images(paths, 3, 8, channels=1, seed=1)
    assert grey.shape == (3, 1, 8, 8) and grey.min() >= 0 and grey.max() <= 1
    assert torch.equal(grey, load_images(paths, 3, 8, channels=1, seed=1))
    assert not torch.equal(grey, load_images(paths, 3, 8, channels=1, seed=2))
    colours = load_images(paths, 5, 8, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), channels=1)
    torch.testing.assert_close(colours, (load_images(paths, 5, 8, channels=1) - 0.5) / 0.2)


def test_pictures_that_do_not_do_are_named(pictures, tmp_path):
    with pytest.raises(rs.InputError, match=r"pixels wide, the first one 20; give one --size"):
        load_images(find_images(pictures), 5)
    (pictures / "a/2.png").write_bytes(b"no picture")
    with pytest.raises(rs.InputError, match=r"2\.png cannot be read .*; remove or replace it"):
        load_images(find_images(pictures), 5, 8)
    with pytest.raises(rs.InputError, match=r"folder .*/nothing does not exist"):
        find_images(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(rs.InputError, match=r"holds 0 pictures .*at least two are needed"):
        find_images(tmp_path / "empty")


@pytest.mark.parametrize(("dtype", "name"), [(np.uint16, "x.png"), (np.float32, "x.tiff")])
def test_pictures_of_more_than_eight_bits_are_refused(tmp_path, dtype, name):
    Image.fromarray(np.ones((8, 8), dtype)).save(tmp_path / name)
    with pytest.raises(rs.InputError, match=r"has pixels of more than 8 bits \(.*\); convert it to 8"):
        load_images([tmp_path / name], 1, 8)
