"""Data sets: the digits' split, canonical files, and every way in which files can be wrong."""

import gzip
import hashlib
import io
import os
import re
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from host import datasets
from host.datasets import IDX, SOURCES, VARIABLE, DataError, load

COUNTS = {"train": 60000, "t10k": 10000}


def refused(text):
    return pytest.raises(DataError, match=f"^{re.escape(text)}$")


def idx_bytes(name, rng=None):
    """A canonical file of zeros, or of random pixels and labels."""
    count = COUNTS[name.split("-")[0]]
    shape = (count, 28, 28) if "images" in name else (count,)
    high = 256 if "images" in name else 10
    body = np.zeros(shape, np.uint8) if rng is None else rng.integers(0, high, shape, np.uint8)
    return struct.pack(f">I{len(shape)}I", 0x0800 | len(shape), *shape) + body.tobytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The data folder, set in the environment."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def write_mnist(folder, name="mnist", seed=None, compress=True):
    rng = None if seed is None else np.random.default_rng(seed)
    (folder / name).mkdir()
    for file in IDX:
        data = idx_bytes(file, rng)
        if compress:
            (folder / name / f"{file}.gz").write_bytes(gzip.compress(data, 1))
        else:
            (folder / name / file).write_bytes(data)


def test_digits_are_split_evenly_and_always_the_same():
    digits, again = load("digits"), load("digits")
    assert digits.train_x.shape == (1437, 64)
    assert digits.test_x.shape == (360, 64)
    assert digits.train_x.dtype == np.uint8
    assert digits.shape == (8, 8, 1)
    assert digits.frac == 4
    assert digits.train_x.max() == 16
    assert np.bincount(digits.test_y).tolist() == [36] * 10
    for field in ("train_x", "train_y", "test_x", "test_y"):
        np.testing.assert_array_equal(getattr(digits, field), getattr(again, field))
    digest = hashlib.sha256(digits.test_x.tobytes() + digits.train_y.astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "4969c6afd911e20b"


def test_digits_lose_and_repeat_no_sample():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    digits = load("digits")
    rows = np.concatenate([digits.train_x, digits.test_x])
    tags = np.concatenate([digits.train_y, digits.test_y])
    ours = sorted((row.tobytes(), int(tag)) for row, tag in zip(rows, tags, strict=True))
    theirs = sorted((row.tobytes(), int(tag)) for row, tag in zip(pixels.astype(np.uint8), labels, strict=True))
    assert ours == theirs


def test_unknown_set_names_the_known():
    with refused("unknown data set 'imagenet'; known data sets: digits, mnist, fashion-mnist, cifar10"):
        load("imagenet")


@pytest.mark.parametrize(("name", "compress"), [("mnist", True), ("fashion-mnist", False)])
def test_idx_files_are_read(folder, name, compress):
    write_mnist(folder, name, seed=4, compress=compress)
    samples = load(name)
    rng = np.random.default_rng(4)
    expected = [rng.integers(0, high, size, np.uint8) for high, size in ((256, 60000 * 784), (10, 60000))]
    np.testing.assert_array_equal(samples.train_x, expected[0].reshape(60000, 784))
    np.testing.assert_array_equal(samples.train_y, expected[1])
    assert samples.test_x.shape == (10000, 784)
    assert samples.test_y.dtype == np.int64
    assert (samples.shape, samples.classes, samples.frac) == ((28, 28, 1), 10, 8)


def test_cifar_records_are_read(folder):
    place = folder / "cifar10" / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    rng = np.random.default_rng(6)
    records = None
    for batch in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        records = rng.integers(0, 256, (10000, 3073), np.uint8)
        records[:, 0] %= 10
        records.tofile(place / f"{batch}.bin")
    samples = load("cifar10")
    assert samples.train_x.shape == (50000, 3072)
    assert (samples.shape, samples.classes, samples.frac) == ((32, 32, 3), 10, 8)
    np.testing.assert_array_equal(samples.test_y, records[:, 0])
    # Red, green and blue planes of 32 x 32 become pixels of three values.
    image = samples.test_x[77].reshape(32, 32, 3)
    assert image[5, 9].tolist() == [records[77, 1 + plane * 1024 + 5 * 32 + 9] for plane in range(3)]

    (place / "test_batch.bin").write_bytes(b"\0" * 100)
    with refused(f"{place}/test_batch.bin: must hold 30730000 bytes, not 100"):
        load("cifar10")


def test_missing_files_say_where_they_should_be(folder, monkeypatch):
    with refused(
        f"data set 'mnist': no file {folder}/mnist/train-images-idx3-ubyte; set GRADLOOM_DATA to a folder that holds"
        " mnist/train-images-idx3-ubyte or the same with .gz"
    ):
        load("mnist")
    write_mnist(folder)
    (folder / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with refused(
        f"data set 'mnist': no file {folder}/mnist/t10k-labels-idx1-ubyte; set GRADLOOM_DATA to a folder that holds"
        " mnist/t10k-labels-idx1-ubyte or the same with .gz"
    ):
        load("mnist")
    monkeypatch.delenv(VARIABLE)
    with refused(
        f"data set 'cifar10': no file {folder}/c/cifar10/cifar-10-batches-bin/data_batch_1.bin; set GRADLOOM_DATA to"
        " a folder that holds cifar10/cifar-10-batches-bin/data_batch_1.bin"
    ):
        load("cifar10", cache=folder / "c")


def test_wrong_files_are_refused(folder):
    write_mnist(folder)
    place = folder / "mnist"
    labels = place / "train-labels-idx1-ubyte.gz"

    def put(data):
        labels.write_bytes(gzip.compress(data, 1))

    put(b"\0\0\x08\x03" + bytes(12))
    with refused(f"{labels}: not an IDX file of 1-dimensional bytes"):
        load("mnist")
    put(struct.pack(">II", 0x0801, 59999) + bytes(59999))
    with refused(f"{labels}: shape must be (60000,), not (59999,)"):
        load("mnist")
    put(struct.pack(">II", 0x0801, 60000) + bytes(59999))
    with refused(f"{labels}: must hold 60000 bytes after its header, not 59999"):
        load("mnist")
    put(struct.pack(">II", 0x0801, 60000) + bytes(59999) + b"\x0a")
    with refused(f"{place}/train-labels-idx1-ubyte: labels must be 0 to 9, not 10"):
        load("mnist")
    labels.write_bytes(b"no gzip")
    with refused(f"cannot read {labels}: Not a gzipped file (b'no')"):
        load("mnist")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A download home of local files in place of the network, and no data folder set."""
    monkeypatch.delenv(VARIABLE, raising=False)
    place = tmp_path / "home"
    place.mkdir()

    def serve(name, files):
        for file, data in files.items():
            (place / file).write_bytes(data)
        digests = tuple((file, hashlib.md5(data).hexdigest()) for file, data in files.items())
        source = datasets.Source(SOURCES[name].files, place.as_uri() + "/", digests)
        monkeypatch.setitem(SOURCES, name, source)
        return place

    return serve


def test_download_is_checked_and_kept(home, tmp_path):
    place = home("mnist", {f"{file}.gz": gzip.compress(idx_bytes(file), 1) for file in IDX})
    cache = tmp_path / "cache"
    with pytest.raises(DataError):
        load("mnist", cache=cache)  # not unless asked for
    assert load("mnist", download=True, cache=cache).train_x.shape == (60000, 784)
    for file in place.iterdir():
        file.unlink()
    assert load("mnist", cache=cache).test_x.shape == (10000, 784)


def test_download_of_an_archive(home, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for file in SOURCES["cifar10"].files:
            member = tarfile.TarInfo(file)
            member.size = 30730000
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    home("cifar10", {"cifar-10-binary.tar.gz": packed.getvalue()})
    assert load("cifar10", download=True, cache=tmp_path).train_x.shape == (50000, 3072)
    assert [path.name for path in (tmp_path / "cifar10").iterdir()] == ["cifar-10-batches-bin"]


def test_download_with_another_digest_is_thrown_away(home, tmp_path):
    place = home("mnist", {"train-images-idx3-ubyte.gz": b"first"})
    want, found = hashlib.md5(b"first").hexdigest(), hashlib.md5(b"other").hexdigest()
    (place / "train-images-idx3-ubyte.gz").write_bytes(b"other")
    url = f"{place.as_uri()}/train-images-idx3-ubyte.gz"
    with refused(f"{url}: MD5 must be {want}, not {found}"):
        load("mnist", download=True, cache=tmp_path)
    assert list((tmp_path / "mnist").iterdir()) == []


def test_download_that_fails_says_so(home, tmp_path):
    place = home("mnist", {"train-images-idx3-ubyte.gz": b"first"})
    (place / "train-images-idx3-ubyte.gz").unlink()
    start = f"cannot download {place.as_uri()}/train-images-idx3-ubyte.gz: "
    with pytest.raises(DataError, match=f"^{re.escape(start)}"):
        load("mnist", download=True, cache=tmp_path)


def test_a_set_folder_is_never_downloaded_into(home, tmp_path, monkeypatch):
    home("mnist", {"train-images-idx3-ubyte.gz": b"first"})
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(DataError, match=r"^data set 'mnist': no file "):
        load("mnist", download=True)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("name", list(SOURCES))
def test_real_files_have_even_classes(name):
    if VARIABLE not in os.environ or not (Path(os.environ[VARIABLE]) / name).is_dir():
        pytest.skip(f"set {VARIABLE} to a folder with the real {name}")
    samples = load(name)
    tests = np.bincount(samples.test_y)
    assert tests.sum() == 10000
    assert tests.min() >= 892  # MNIST's fives; the other sets have 1,000 of each
    assert 0.1 < samples.train_x.mean() / 255 < 0.5
