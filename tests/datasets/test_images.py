import shutil
import struct

import numpy as np
import pytest
import torch
from PIL import Image

import relative_stability as rs
from relative_stability import datasets as rs_datasets
from relative_stability.datasets.images import read_picture
from relative_stability.datasets.streamed import open_images
from relative_stability.nets.external import Preprocessing


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


def opened(where, *preprocessing, count=500, channels=3, seed=0):
    with open_images(str(where), Preprocessing(*preprocessing).transform, count, channels, seed) as images:
        return images[:], images.labels, list(images.class_names)


def test_a_picture_is_its_central_square_resized_and_normalised(pictures):
    images, labels, classes = opened(pictures, 10, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    assert images.shape == (5, 3, 10, 10) and labels.tolist() == [0, 0, 0, 1, 1] and classes == ["a", "b"]
    with Image.open(pictures / "a/0.png") as picture:
        expected = np.asarray(picture.resize((15, 10), Image.Resampling.BILINEAR).crop((2, 0, 12, 10))) / 255
    expected = (expected - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    np.testing.assert_allclose(images[0].permute(1, 2, 0), expected, atol=1e-6)


def test_grey_images_and_a_part_of_them(pictures):
    grey, _, _ = opened(pictures, 8, count=3, channels=1, seed=1)
    assert grey.shape == (3, 1, 8, 8) and grey.min() >= 0 and grey.max() <= 1
    assert grey.stride() == (64, 64, 8, 1)  # others make convolutions answer in channels last
    assert torch.equal(grey, opened(pictures, 8, count=3, channels=1, seed=1)[0])
    assert not torch.equal(grey, opened(pictures, 8, count=3, channels=1, seed=2)[0])
    colours = opened(pictures, 8, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), channels=1)[0]
    torch.testing.assert_close(colours, (opened(pictures, 8, channels=1)[0] - 0.5) / 0.2)


def test_batches_are_decoded_when_they_are_asked_for(pictures):
    with open_images(str(pictures), Preprocessing(8).transform, 5) as images:
        whole = images[:]
        assert images.shape == whole.shape and images.numel() == whole.numel() and len(images) == 5
        assert torch.equal(images[1:3], whole[1:3])
        (pictures / "b/1.png").unlink()
        assert torch.equal(images[0:3], whole[0:3])  # none of these is that one
        with pytest.raises(rs.InputError, match=r"1\.png cannot be read"):
            images[3:5]


def test_an_archive_an_idx_file_and_a_dataset_hold_images_too(pictures, tmp_path):
    shutil.make_archive(str(tmp_path / "packed"), "zip", pictures.parent)
    for found, expected in zip(opened(tmp_path / "packed.zip", 8), opened(pictures, 8), strict=True):
        assert torch.equal(found, expected) if isinstance(found, torch.Tensor) else found == expected
    pixels, labels = (
        np.random.default_rng(0).integers(256, size=(4, 6, 6), dtype=np.uint8),
        np.array([1, 0, 2, 1], np.uint8),
    )
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, 4, 6, 6) + pixels.tobytes())
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, 4) + labels.tobytes())
    images, found, _ = opened(tmp_path / "t10k-images-idx3-ubyte", None, channels=1)
    np.testing.assert_allclose(images[:, 0], pixels / 255, atol=1e-6)
    assert found.tolist() == labels.tolist()
    images, found, classes = opened("mnist_5k", None, channels=1, count=1000)
    samples = rs_datasets.load("mnist_5k")
    np.testing.assert_allclose(images, samples.images[samples.test] / 255, atol=1e-6)
    assert found.tolist() == samples.labels[samples.test].tolist() and len(classes) == 10


def test_of_a_folder_with_splits_the_test_split_is_taken(pictures, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(pictures, tmp_path / "split" / split)
    assert len(opened(tmp_path / "split", 8)[0]) == 5


def test_pictures_that_do_not_do_are_named(pictures, tmp_path):
    with pytest.raises(rs.InputError, match=r"pixels wide, the first one 20; give one --size"):
        opened(pictures, None)
    (pictures / "a/2.png").write_bytes(b"no picture")
    with pytest.raises(rs.InputError, match=r"2\.png cannot be read .*; remove or replace it"):
        opened(pictures, 8)
    with pytest.raises(rs.InputError, match=r"/nothing does not exist, as a file, folder or dataset"):
        opened(tmp_path / "nothing")
    with pytest.raises(rs.InputError, match=r"mnist_5 does not exist.*did you mean 'mnist_5k'"):
        opened("mnist_5")
    with pytest.raises(rs.InputError, match="the data of 'stripe' are no pictures"):
        opened("stripe")
    (tmp_path / "empty").mkdir()
    with pytest.raises(rs.InputError, match=r"holds 0 pictures .*at least two are needed"):
        opened(tmp_path / "empty")
    (tmp_path / "text.txt").write_text("no images")
    with pytest.raises(rs.InputError, match=r"text\.txt is no folder, archive \(\.zip, .*\) or idx file"):
        opened(tmp_path / "text.txt")
    (tmp_path / "x-idx3").write_bytes(b"no images")
    with pytest.raises(rs.InputError, match="x-idx3 is no idx file of images, unpacked"):
        opened(tmp_path / "x-idx3")
    for k in range(3):
        Image.new("RGB", (8, 8), "grey").save(tmp_path / f"empty/{k}.png")
    with pytest.raises(rs.InputError, match="the first are all alike"):
        opened(tmp_path / "empty", 8)


@pytest.mark.parametrize(("dtype", "name"), [(np.uint16, "x.png"), (np.float32, "x.tiff")])
def test_pictures_of_more_than_eight_bits_are_refused(tmp_path, dtype, name):
    Image.fromarray(np.ones((8, 8), dtype)).save(tmp_path / name)
    with pytest.raises(rs.InputError, match=r"has pixels of more than 8 bits \(.*\); convert it to 8"):
        read_picture(tmp_path / name)
