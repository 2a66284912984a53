"""Image data sets as pixels and labels: scikit-learn's digits, and canonical files of three others."""

import gzip
import hashlib
import os
import shutil
import struct
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from golden.trainer import Samples

VARIABLE = "GRADLOOM_DATA"
DIGITS_TEST = 360  # of 1,797
BYTE_FRAC = 8  # a byte's value is byte / 256


class DataError(ValueError):
    """A data set that cannot be loaded; says which file or setting is wrong."""


@dataclass(frozen=True)
class Source:
    """Where a set's files are and, for a download, its home and their published MD5 digests."""

    files: tuple[str, ...]  # inside DIR/name
    home: str
    digests: tuple[tuple[str, str], ...]


IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR_FOLDER = "cifar-10-batches-bin"
CIFAR = tuple(f"{CIFAR_FOLDER}/{name}.bin" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"))

SOURCES = {
    "mnist": Source(
        IDX,
        "https://ossci-datasets.s3.amazonaws.com/mnist/",  # the mirror in use since the author's page refuses
        (
            ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
            ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
            ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
    ),
    "fashion-mnist": Source(
        IDX,
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        (
            ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
            ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
            ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
    ),
    "cifar10": Source(
        CIFAR,
        "https://www.cs.toronto.edu/~kriz/",
        (("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),),
    ),
}
NAMES = ("digits", *SOURCES)


def load(name: str, *, download: bool = False, cache: Path = Path("build/data")) -> Samples:
    """The named data set, training and test samples in their fixed split.

    ``digits`` comes with scikit-learn. The others are read from ``$GRADLOOM_DATA/<name>/``
    or, where that is not set, from ``cache``, which ``download`` fills from the set's home
    after checking the published MD5 digests.

    Raises :class:`DataError` for an unknown name, a missing file, a file that is not what
    its name says, a failed download or a digest that differs.
    """
    if name not in NAMES:
        raise DataError(f"unknown data set {name!r}; known data sets: {', '.join(NAMES)}")
    if name == "digits":
        return _digits()
    root = os.environ.get(VARIABLE)
    folder = Path(root or cache) / name
    if not root and download and not all(_find(folder, file) for file in SOURCES[name].files):
        fetch(name, folder)
    for file in SOURCES[name].files:
        if not _find(folder, file):
            raise DataError(
                f"data set {name!r}: no file {folder / file}; set {VARIABLE} to a folder that holds {name}/{file}"
                + ("" if name == "cifar10" else " or the same with .gz")
            )
    return _cifar10(folder) if name == "cifar10" else _idx_set(name, folder)


def _digits() -> Samples:
    """1,797 images of 8 x 8 with values 0 to 16; the test set has 36 of each digit, the same on every machine."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    pixels, labels = pixels.astype(np.uint8), labels.astype(np.int64)
    if pixels.shape != (1797, 64) or pixels.max() != 16:
        raise DataError(f"data set 'digits': expected 1797 x 64 values up to 16, got {pixels.shape}, {pixels.max()}")
    # In a random order, one of each digit in turn. NumPy promises that RandomState never changes.
    order = np.random.RandomState(0).permutation(len(labels))
    place = np.empty(len(labels), np.int64)
    for digit in range(10):
        members = order[labels[order] == digit]
        place[members] = np.arange(len(members))
    by_place = order[np.argsort(place[order], kind="stable")]
    test, train = by_place[:DIGITS_TEST], by_place[DIGITS_TEST:]
    return Samples("digits", (8, 8, 1), 10, 4, pixels[train], labels[train], pixels[test], labels[test])


def _find(folder: Path, file: str) -> Path | None:
    """The file as named or compressed."""
    for path in (folder / file, folder / f"{file}.gz"):
        if path.is_file():
            return path
    return None


def _read(folder: Path, file: str) -> tuple[Path, bytes]:
    path = _find(folder, file)
    if path is None:
        raise DataError(f"no file {folder / file}")
    try:
        data = path.read_bytes()
        return path, gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _idx(folder: Path, file: str, shape: tuple[int, ...]) -> np.ndarray:
    """An IDX file of unsigned bytes: magic 0x0000 08 ndim, big-endian sizes, then the bytes."""
    path, data = _read(folder, file)
    header = 4 + 4 * len(shape)
    if len(data) < header or data[:4] != bytes((0, 0, 8, len(shape))):
        raise DataError(f"{path}: not an IDX file of {len(shape)}-dimensional bytes")
    found = struct.unpack(f">{len(shape)}I", data[4:header])
    if found != shape:
        raise DataError(f"{path}: shape must be {shape}, not {found}")
    size = int(np.prod(shape))
    if len(data) - header != size:
        raise DataError(f"{path}: must hold {size} bytes after its header, not {len(data) - header}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _labels(path: Path, labels: np.ndarray) -> np.ndarray:
    if labels.max() > 9:
        raise DataError(f"{path}: labels must be 0 to 9, not {labels.max()}")
    return labels.astype(np.int64)


def _idx_set(name: str, folder: Path) -> Samples:
    halves = []
    for images, labels, count in ((IDX[0], IDX[1], 60000), (IDX[2], IDX[3], 10000)):
        halves.append(_idx(folder, images, (count, 28, 28)).reshape(count, 784))
        halves.append(_labels(folder / labels, _idx(folder, labels, (count,))))
    return Samples(name, (28, 28, 1), 10, BYTE_FRAC, *halves)


def _cifar10(folder: Path) -> Samples:
    """Records of a label and 3,072 bytes, channel by channel; given back as height, width, channel."""
    record, count = 3073, 10000
    pixels, labels = [], []
    for file in CIFAR:
        path, data = _read(folder, file)
        if len(data) != record * count:
            raise DataError(f"{path}: must hold {record * count} bytes, not {len(data)}")
        rows = np.frombuffer(data, np.uint8).reshape(count, record)
        labels.append(_labels(path, rows[:, 0]))
        pixels.append(rows[:, 1:].reshape(count, 3, 32, 32).transpose(0, 2, 3, 1).reshape(count, 3072))
    train_x, train_y = np.concatenate(pixels[:-1]), np.concatenate(labels[:-1])
    return Samples("cifar10", (32, 32, 3), 10, BYTE_FRAC, train_x, train_y, pixels[-1], labels[-1])


def fetch(name: str, folder: Path) -> None:
    """Download a set from its home into ``folder``; nothing is kept unless its MD5 is the published one."""
    source = SOURCES[name]
    folder.mkdir(parents=True, exist_ok=True)
    for file, digest in source.digests:
        target = folder / file
        part = target.with_name(f".{file}.part")
        try:
            with urllib.request.urlopen(source.home + file, timeout=60) as reply, part.open("wb") as out:
                shutil.copyfileobj(reply, out)
            found = hashlib.md5(part.read_bytes(), usedforsecurity=False).hexdigest()
            if found != digest:
                raise DataError(f"{source.home + file}: MD5 must be {digest}, not {found}")
            part.rename(target)
        except OSError as error:
            raise DataError(f"cannot download {source.home + file}: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        if file.endswith(".tar.gz"):
            with tarfile.open(target) as archive:
                archive.extractall(folder, filter="data")
            target.unlink()
