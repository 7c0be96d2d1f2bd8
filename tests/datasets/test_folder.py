import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relative_stability import InputError, datasets
from relative_stability.datasets import Facts
from relative_stability.datasets.images import central_square, read_picture
from relative_stability.datasets.prepared import write_prepared

OPTIONS = {"image_size": 8, "channels": 3, "test_fraction": 0.25}


def picture(path, colour, size=(8, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def colour(label, number):
    return (40 * label + number, 10, 200)


def flat(root, classes=("ant", "bee", "cat"), count=8):
    """CLASS/NUMBER.png, each of one colour that tells which it is."""
    for label, name in enumerate(classes):
        for number in range(count):
            picture(root / name / f"{number}.png", colour(label, number))
    return root


def split(root, test="test"):
    flat(root / "train", count=5)
    flat(root / test, count=2)
    return root


def facts(root, folder="f", **options):
    return datasets.facts("imagefolder", root, folder=folder, **{**OPTIONS, **options})


def load(root, folder="f", **options):
    return datasets.load("imagefolder", root, folder=folder, **{**OPTIONS, **options})


def test_classes_are_folders_and_a_quarter_of_each_is_held_out(tmp_path):
    flat(tmp_path / "f")
    samples = load(tmp_path)
    assert facts(tmp_path) == Facts(18, 6, 3, 8, 3)
    assert samples.class_names == ("ant", "bee", "cat")
    assert np.bincount(samples.labels[samples.test]).tolist() == [2, 2, 2]
    assert (samples.images[:, 0, 0, 0] // 40 == samples.labels).all()
    assert "8x8 as they are" in samples.source
    again = load(tmp_path)
    assert (again.test == samples.test).all() and (again.images == samples.images).all()


@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_train_and_test_are_the_splits(tmp_path, test):
    split(tmp_path / "f", test)
    samples = load(tmp_path)
    assert facts(tmp_path) == Facts(15, 6, 3, 8, 3)
    assert (~samples.test).sum() == 15
    assert (samples.images[:, 0, 0, 0] // 40 == samples.labels).all()


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_archive_is_read_as_the_folder_it_holds(tmp_path, kind, wrapped):
    split(tmp_path / "wrap/f")
    top = tmp_path / ("wrap" if wrapped else "wrap/f")
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, top)
    expected = load(tmp_path, "wrap/f")
    samples = load(tmp_path, archive)
    assert facts(tmp_path, archive) == facts(tmp_path, "wrap/f")
    assert samples.class_names == expected.class_names
    for got, want in zip(samples[:3], expected[:3], strict=True):
        np.testing.assert_array_equal(got, want)


def test_pictures_of_several_sizes_are_cropped_and_resized_and_it_says_how(tmp_path, caplog):
    flat(tmp_path / "f")
    gradient = Image.fromarray(np.arange(20 * 30, dtype=np.uint16).reshape(20, 30).astype(np.uint8))
    gradient.save(tmp_path / "f/ant/0.png")
    picture(tmp_path / "f/bee/0.png", 77, (40, 10), mode="L")
    with caplog.at_level("INFO", "relative_stability"):
        samples = load(tmp_path)
    square = central_square(gradient.convert("RGB"), 8)
    assert square.size == (8, 8)
    np.testing.assert_array_equal(samples.images[0], np.asarray(square).transpose(2, 0, 1))
    assert (samples.images[8] == 77).all()
    how = "of 3 sizes from 8x8 to 30x20, each cropped to the central square and resized to 8x8 (bilinear, antialiased)"
    assert how in samples.source and how in caplog.text


def test_a_central_square_is_central(tmp_path):
    wide = Image.fromarray(np.tile(np.arange(30, dtype=np.uint8), (20, 1)))
    assert np.asarray(central_square(wide))[0].tolist() == list(range(5, 25))
    high = Image.fromarray(np.tile(np.arange(30, dtype=np.uint8)[:, None], (1, 20)))
    assert np.asarray(central_square(high))[:, 0].tolist() == list(range(5, 25))


def test_grey_channels(tmp_path):
    flat(tmp_path / "f")
    assert load(tmp_path, channels=1).images.shape == (24, 1, 8, 8)
    assert facts(tmp_path, channels=1).channels == 1


def broken_picture(root):
    (flat(root) / "bee/3.png").write_bytes(b"no picture at all")


def cut_picture(root):
    whole = (flat(root) / "bee/3.png").read_bytes()
    (root / "bee/3.png").write_bytes(whole[: len(whole) // 2])


def sixteen_bits(root):
    Image.fromarray(np.ones((8, 8), np.uint16)).save(flat(root) / "bee/3.png")


def no_pictures(root):
    root.mkdir()
    (root / "notes.txt").write_text("x")


def one_class(root):
    flat(root, classes=["ant"])


def bare_class(root):
    flat(root)
    (root / "dog").mkdir()
    (root / "dog/list.csv").write_text("x")


def empty_class(root):
    (flat(root) / "dog").mkdir()


def hidden_class(root):
    empty_class(root)
    (root / "dog/.DS_Store").write_text("x")


def black_drawings(root):
    for name in ("ant", "bee"):
        for number in range(4):
            drawn = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
            drawn.putpixel((number, 3), (0, 0, 0, 255))
            (root / name).mkdir(parents=True, exist_ok=True)
            drawn.save(root / name / f"{number}.png")


def loose_picture(root):
    picture(flat(root) / "lost.png", (1, 2, 3))


def untrained_class(root):
    picture(split(root) / "test/dog/1.png", (1, 2, 3))


def no_test(root):
    flat(root / "train")


def nothing(root):
    pass


def single_pictures(root):
    flat(root, count=1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (broken_picture, r"bee/3\.png cannot be read \(.*\); remove or replace it"),
        (cut_picture, r"bee/3\.png cannot be read \(.*\); remove or replace it"),
        (sixteen_bits, r"bee/3\.png has pixels of more than 8 bits"),
        (no_pictures, r"/f holds no pictures \(\.png, .*\), but 1 other files"),
        (one_class, r"/f holds one class, 'ant'; at least two class folders are needed"),
        (bare_class, r"class folder 'dog' holds no pictures, but dog/list\.csv; add some or remove it"),
        (empty_class, r"class folder 'dog' holds no pictures; add some or remove it"),
        (hidden_class, r"class folder 'dog' holds no pictures; add some or remove it"),
        (black_drawings, r"all pictures are alike as they are read, and what they show may be in their transparency"),
        (loose_picture, r"lost\.png lies in no class folder; sort the pictures into one folder for each class"),
        (untrained_class, r"class 'dog' has no training pictures; add some"),
        (
            no_test,
            r"has the folder train, but not test or val or valid or validation; add it, or give the folder another name",
        ),
        (nothing, r"folder .*/f does not exist; give the path of a folder or archive, from data_root"),
        (single_pictures, r"there are no test pictures; add some"),
    ],
)
def test_bad_folders_are_one_sentence(tmp_path, make, sentence):
    make(tmp_path / "f")
    with pytest.raises(InputError, match=sentence) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    if make not in (
        broken_picture,
        cut_picture,
        sixteen_bits,
        black_drawings,
    ):  # known from names alone, before any job
        with pytest.raises(InputError, match=sentence):
            facts(tmp_path)


def test_files_that_are_no_pictures_are_left_out_with_a_warning_that_names_one(tmp_path, caplog):
    flat(tmp_path / "f")
    (tmp_path / "f/ant/notes.txt").write_text("x")
    (tmp_path / "f/ant/.hidden").write_text("x")
    (tmp_path / "f/ant/._0.png").write_text("x")
    picture(tmp_path / "f/.ipynb_checkpoints/0.png", (1, 2, 3))
    picture(tmp_path / "f/ant/.ipynb_checkpoints/0.png", (1, 2, 3))
    with caplog.at_level("WARNING", "relative_stability"):
        assert len(load(tmp_path).images) == 24
    assert "1 files that are no pictures, or in no split, are left out, such as ant/notes.txt" in caplog.text


@pytest.mark.parametrize("name", ["f.zip", "f.tar.gz", "f.tar"])
def test_a_damaged_archive_is_named(tmp_path, name):
    flat(tmp_path / "f")
    kind = {"f.zip": "zip", "f.tar.gz": "gztar", "f.tar": "tar"}[name]
    archive = tmp_path / name
    shutil.make_archive(str(tmp_path / "f"), kind, tmp_path / "f")
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"{name} cannot be (read|unpacked) \(.*\); replace it by a whole copy"):
        load(tmp_path, name)
    (tmp_path / "f.rar").write_text("x")
    with pytest.raises(InputError, match=r"f\.rar is neither a folder nor an archive \(\.zip, \.tar"):
        load(tmp_path, "f.rar")


@pytest.fixture
def tiny(tmp_path):
    """Tiny ImageNet's layout with two classes."""
    top = tmp_path / "tiny-imagenet-200"
    for label, name in enumerate(("n01", "n02")):
        for number in range(3):
            picture(top / f"train/{name}/images/{name}_{number}.JPEG", colour(label, number), (64, 64))
        (top / f"train/{name}/{name}_boxes.txt").write_text("boxes")
    for number, label in ((0, 1), (1, 0)):
        picture(top / f"val/images/val_{number}.JPEG", colour(label, number), (64, 64))
    picture(top / "test/images/test_0.JPEG", 0, (64, 64), mode="L")
    (top / "val/val_annotations.txt").write_text("val_0.JPEG\tn02\t0\t0\t1\t1\nval_1.JPEG\tn01\t0\t0\t1\t1\n")
    return tmp_path


@pytest.mark.parametrize("packed", [False, True])
def test_tiny_imagenet_in_its_own_layout(tiny, packed):
    folder = "tiny-imagenet-200"
    if packed:
        folder = shutil.make_archive(str(tiny / "t"), "zip", tiny, folder)
    samples = datasets.load("tiny_imagenet", tiny, folder=folder, image_size=16)
    assert samples.images.shape == (8, 3, 16, 16)
    assert samples.test.tolist() == [False] * 6 + [True] * 2
    assert samples.labels.tolist() == [0, 0, 0, 1, 1, 1, 1, 0]
    assert (samples.images[:, 0].mean((1, 2)) // 38 == samples.labels).all()
    assert datasets.facts("tiny_imagenet", image_size=16, folder=folder) == Facts(100_000, 10_000, 3, 16, 200)


def test_tiny_imagenet_that_is_not_whole_is_refused_when_it_is_stored(tiny):
    options = {"folder": "tiny-imagenet-200", "image_size": 16}
    samples = datasets.load("tiny_imagenet", tiny, **options)
    with pytest.raises(InputError, match=r"train_size is 6, expected 100000; put a whole copy of the data there"):
        write_prepared(tiny / "d.nc", samples, datasets.facts("tiny_imagenet", tiny, **options), {})
    assert not (tiny / "d.nc").exists()
    for image in (tiny / "tiny-imagenet-200/train/n02/images").iterdir():
        image.unlink()
    with pytest.raises(InputError, match=r"class 'n02' of val/val_annotations.txt has no pictures in train/n02/images"):
        datasets.load("tiny_imagenet", tiny, **options)


@pytest.mark.parametrize("names", [("train", "valid"), ("Train", "Test"), ("TRAIN", "validation")])
def test_splits_go_by_many_names(tmp_path, names):
    flat(tmp_path / "f" / names[0], count=5)
    flat(tmp_path / "f" / names[1], count=2)
    assert facts(tmp_path) == Facts(15, 6, 3, 8, 3)


def test_folders_beside_the_splits_are_left_out_with_a_warning(tmp_path, caplog):
    split(tmp_path / "f")
    flat(tmp_path / "f/extra", count=1)
    with caplog.at_level("WARNING", "relative_stability"):
        assert facts(tmp_path) == Facts(15, 6, 3, 8, 3)
        assert not caplog.text  # once, when they are read
        assert len(load(tmp_path).images) == 21
    assert "3 files that are no pictures, or in no split, are left out, such as extra/ant/0.png" in caplog.text


def test_upper_case_archives_and_files_beside_the_one_folder(tmp_path):
    split(tmp_path / "wrap/f")
    (tmp_path / "wrap/README.txt").write_text("x")
    (tmp_path / "wrap/__MACOSX/f/train/ant").mkdir(parents=True)
    (tmp_path / "wrap/__MACOSX/f/train/ant/._0.png").write_text("x")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "wrap"))
    archive.rename(tmp_path / "PACKED.ZIP")
    assert len(load(tmp_path, "PACKED.ZIP").images) == facts(tmp_path, "PACKED.ZIP").train_size + 6 == 21


def test_an_archive_with_a_train_folder_alone_is_refused_as_the_folder_is(tmp_path):
    flat(tmp_path / "f/train")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "f")
    with pytest.raises(InputError, match="has the folder train, but not test"):
        facts(tmp_path, archive)


@pytest.mark.parametrize("name", ["/etc/ant/0.png", "../ant/0.png", "ant\\\\0.png"])
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.writestr(name.replace("\\\\", "\\"), b"x")
    with pytest.raises(InputError, match=r"which is no plain path inside it; rename it, or pack it again"):
        facts(tmp_path, "f.zip")


def test_a_broken_picture_in_an_archive_is_named_by_the_archive(tmp_path):
    broken_picture(tmp_path / "f")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "f")
    with pytest.raises(InputError, match=r"packed\.zip: bee/3\.png cannot be read"):
        load(tmp_path, archive)


def test_a_link_that_leads_back_is_not_followed_twice(tmp_path):
    flat(tmp_path / "f")
    (tmp_path / "f/ant/self").symlink_to("..")
    assert facts(tmp_path) == Facts(18, 6, 3, 8, 3)
    (tmp_path / "linked").symlink_to("f")  # while links elsewhere are
    assert facts(tmp_path, "linked") == Facts(18, 6, 3, 8, 3)


def test_pictures_are_turned_upright(tmp_path):
    wide = Image.fromarray(np.arange(128, dtype=np.uint8).reshape(8, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    wide.save(tmp_path / "x.png", exif=exif)
    assert read_picture(tmp_path / "x.png", 1).size == (8, 16)


def test_another_folder_is_no_tiny_imagenet(tmp_path):
    flat(tmp_path / "f")
    with pytest.raises(InputError, match=r"is not tiny ImageNet as it is handed out: it has no val/val_annotations"):
        datasets.load("tiny_imagenet", tmp_path, folder="f", image_size=16)


def test_transparency_is_spoken_of(tmp_path, caplog):
    flat(tmp_path / "f")
    picture(tmp_path / "f/ant/0.png", (1, 2, 3, 100), mode="RGBA")
    picture(tmp_path / "f/ant/1.png", (1, 2, 3, 255), mode="RGBA")
    with caplog.at_level("WARNING", "relative_stability"):
        load(tmp_path)
    assert "1 pictures have transparent places, such as ant/0.png" in caplog.text


def test_links_in_an_archive_are_pictures_as_in_a_folder(tmp_path):
    flat(tmp_path / "f", classes=("ant", "bee"), count=4)
    (tmp_path / "f/ant/4.png").symlink_to("0.png")
    (tmp_path / "f/bee/4.png").hardlink_to(tmp_path / "f/bee/0.png")
    shutil.make_archive(str(tmp_path / "f"), "tar", tmp_path, "f")
    inside, packed = load(tmp_path), load(tmp_path, "f.tar")
    assert len(inside.images) == 10 and (inside.images == packed.images).all()


def test_classes_whose_names_are_numbers_are_not_counted_in_the_order_of_words(tmp_path):
    months = [str(month) for month in range(1, 13)]
    flat(tmp_path / "f", classes=months, count=2)
    half = {"test_fraction": 0.5}
    for groups in ("halves", "parity", [list(range(6)), list(range(6, 12))]):
        with pytest.raises(
            InputError, match="counts classes in their order, which is 1, 10, 11, 12, …; give them by n"
        ):
            load(tmp_path, merge_labels=groups, **half)
    samples = load(tmp_path, merge_labels=[months[:6], months[6:]], **half)
    assert samples.class_names == ("1+2+3+4+5+6", "7+8+9+10+11+12")


@pytest.mark.parametrize("odd", ["rational", "resolution"])
def test_odd_fields_of_exif_do_not_matter(odd):
    file = Path(__file__).with_name(f"exif_{odd}_text.jpg")  # a text where a number belongs, beside an orientation
    with Image.open(file) as opened:
        assert opened.getexif()[0x0112] == 6
        assert read_picture(file).size == opened.size[::-1]


def test_an_archive_that_has_no_room_names_the_temporary_folder(tmp_path, monkeypatch):
    flat(tmp_path / "f")
    shutil.make_archive(str(tmp_path / "f"), "zip", tmp_path, "f")
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(InputError, match=r"cannot be unpacked .*needed and 0 MB free.*; TMPDIR=/.* is too small: set"):
        load(tmp_path, "f.zip")


def test_pictures_of_a_class_may_be_few_and_all_may_be_for_the_test(tmp_path):
    flat(tmp_path / "f", count=8)
    some = load(tmp_path, per_class=2, test_fraction=1)
    assert facts(tmp_path, per_class=2, test_fraction=1) == Facts(0, 6, 3, 8, 3)
    assert some.test.all() and np.bincount(some.labels).tolist() == [2, 2, 2]
    more = load(tmp_path, per_class=4, test_fraction=1)
    assert {image.tobytes() for image in some.images} < {image.tobytes() for image in more.images}
