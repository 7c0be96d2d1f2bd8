"""The loaders of torchvision's datasets, on small files of the same formats: whole, damaged, missing, downloaded."""

import gzip
import hashlib
import pickle
import struct
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from scipy.io import savemat
from torchvision import datasets as torchvision_datasets

from relative_stability import InputError, datasets
from relative_stability.datasets import downloaded

RNG = np.random.default_rng(0)
NOWHERE = "http://127.0.0.1:9/"


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def idx(path, array):
    """An array in the format of MNIST's files, packed."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def make_mnist(root, monkeypatch, kind="MNIST"):
    wanted = {}
    names = [name for name, _ in getattr(torchvision_datasets, kind).resources]
    for split, count, (images, labels) in (("train", 30, names[:2]), ("test", 10, names[2:])):
        wanted[split] = RNG.integers(256, size=(count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10
        for name, array in zip((images, labels), wanted[split], strict=True):
            idx(root / kind / "raw" / name, array)
    cls = getattr(torchvision_datasets, kind)
    monkeypatch.setattr(cls, "resources", [(name, md5(root / kind / "raw" / name)) for name in names])
    monkeypatch.setattr(cls, "mirrors", [NOWHERE])
    monkeypatch.setattr(downloaded, "ENCRYPTED", NOWHERE)
    images, labels = (np.concatenate([wanted[split][k] for split in ("train", "test")]) for k in (0, 1))
    return images[:, None], labels


def make_fashion(root, monkeypatch):
    return make_mnist(root, monkeypatch, "FashionMNIST")


def make_cifar(root, monkeypatch):
    cls, folder = torchvision_datasets.CIFAR10, root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images, labels, lists = [], [], {"train_list": [], "test_list": []}
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        images.append(RNG.integers(256, size=(6, 3, 32, 32), dtype=np.uint8))
        labels.append(np.arange(6))
        batch = {"data": images[-1].reshape(6, -1), "labels": labels[-1].tolist()}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
        lists["test_list" if name == "test_batch" else "train_list"].append([name, md5(folder / name)])
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}, protocol=2))
    with tarfile.open(root / cls.filename, "w:gz") as archive:
        archive.add(folder, folder.name)
    monkeypatch.setattr(cls, "tgz_md5", md5(root / cls.filename))
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": md5(folder / "batches.meta")})
    monkeypatch.setattr(cls, "url", NOWHERE + cls.filename)
    for name, entries in lists.items():
        monkeypatch.setattr(cls, name, entries)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return np.concatenate(images), np.concatenate(labels)


def make_svhn(root, monkeypatch):
    images, labels, parts = [], [], {}
    root.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 12), ("test", 6)):
        images.append(RNG.integers(256, size=(count, 3, 32, 32), dtype=np.uint8))
        labels.append(np.arange(count) % 10)
        name = f"{split}_32x32.mat"
        y = np.where(labels[-1] == 0, 10, labels[-1])[:, None]  # digit 0 is stored as 10
        savemat(root / name, {"X": images[-1].transpose(2, 3, 1, 0), "y": y.astype(np.uint8)})
        parts[split] = [NOWHERE + name, name, md5(root / name)]
    monkeypatch.setattr(torchvision_datasets.SVHN, "split_list", parts)
    return np.concatenate(images), np.concatenate(labels)


MAKERS = {"mnist": make_mnist, "fashionmnist": make_fashion, "cifar10": make_cifar, "svhn": make_svhn}
TRAINING = {"mnist": 30, "fashionmnist": 30, "cifar10": 30, "svhn": 12}


@pytest.fixture(params=MAKERS)
def source(request):
    return request.param


@pytest.fixture
def made(source, tmp_path, monkeypatch):
    images, labels = MAKERS[source](tmp_path / "data", monkeypatch)
    return tmp_path / "data", images, labels


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_pixels_labels_and_splits_are_those_of_the_files(source, made):
    root, images, labels = made
    before = files(root)
    samples = datasets.load(source, root)
    np.testing.assert_array_equal(samples.images, images)
    np.testing.assert_array_equal(samples.labels, labels)
    assert (~samples.test).sum() == TRAINING[source] and not samples.test[: TRAINING[source]].any()
    assert len(samples.class_names) == 10 == datasets.facts(source).classes
    assert files(root) == before  # nothing is unpacked where others may only read


def test_the_environment_names_the_root_and_the_setting_goes_before_it(source, made, monkeypatch):
    root, images, _ = made
    monkeypatch.setenv(datasets.DATA, str(root))
    assert len(datasets.load(source).images) == len(images)
    assert datasets.data_root("elsewhere").name == "elsewhere"
    monkeypatch.delenv(datasets.DATA)
    assert datasets.data_root().name == "data"


def test_a_damaged_file_is_named_with_what_to_do(source, made):
    root, *_ = made
    victim = files(root)[-1]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    with pytest.raises(InputError, match=rf"{victim.name} is damaged \(its md5 is .*\); delete it and run again"):
        datasets.load(source, root)


def test_without_internet_the_files_and_their_place_are_named(source, tmp_path, monkeypatch):
    MAKERS[source](tmp_path / "data", monkeypatch)
    names = [path.name for path in files(tmp_path / "data")]
    with pytest.raises(InputError, match=r"data_root .*/empty does not exist; make this folder, or correct"):
        datasets.load(source, tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        datasets.load(source, tmp_path / "empty")
    said = str(caught.value)
    assert "\n" not in said and NOWHERE in said and str(tmp_path / "empty") in said
    assert all(name in said for name in names)
    assert "data_root" in said and "RELATIVE_STABILITY_DATA" in said
    assert not files(tmp_path)[len(names) :]


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """The folder of a server that offers MNIST, beside another one that does not answer."""
    make_mnist(tmp_path / "there", monkeypatch)
    (tmp_path / "here").mkdir()
    place = tmp_path / "there/MNIST/raw"
    handler = partial(SimpleHTTPRequestHandler, directory=place)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(torchvision_datasets.MNIST, "mirrors", [NOWHERE, address])
        yield place
        server.shutdown()


@pytest.mark.parametrize("source", ["mnist"])
def test_a_file_that_has_the_md5_alone_is_refused(source, made, monkeypatch):
    root, *_ = made
    monkeypatch.setitem(downloaded.SHA256, downloaded._files(source, root)[0].md5, "0" * 64)
    with pytest.raises(InputError, match=r"is damaged \(its sha256 is"):
        datasets.load(source, root)


def test_what_is_missing_is_downloaded_from_the_first_mirror_that_answers(mirror, tmp_path):
    samples = datasets.load("mnist", tmp_path / "here")
    assert len(samples.images) == 40
    found = files(tmp_path / "here")
    assert [path.read_bytes() for path in found] == [path.read_bytes() for path in files(mirror)]
    for path in files(mirror):
        path.unlink()
    assert len(datasets.load("mnist", tmp_path / "here").images) == 40  # the second time nothing is asked for


def test_a_download_of_other_content_is_refused_and_leaves_nothing(mirror, tmp_path):
    victim = files(mirror)[0]
    victim.write_bytes(b"an error page")
    with pytest.raises(InputError, match=f"{victim.name} is not there and cannot be downloaded .*corrupted"):
        datasets.load("mnist", tmp_path / "here")
    assert victim.name not in [path.name for path in files(tmp_path / "here")]
    assert not [path for path in files(tmp_path / "here") if path.suffix == ".tmp"]


def test_cifar_as_torchvision_leaves_it_unpacked(tmp_path, monkeypatch):
    images, _ = make_cifar(tmp_path, monkeypatch)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "cifar-10-python.tar.gz").unlink()
    np.testing.assert_array_equal(datasets.load("cifar10", tmp_path).images, images)
    batch = tmp_path / "cifar-10-batches-py/data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(InputError, match="data_batch_3 is damaged"):
        datasets.load("cifar10", tmp_path)
    batch.unlink()
    with pytest.raises(InputError, match="data_batch_3 is not there"):
        datasets.load("cifar10", tmp_path)
