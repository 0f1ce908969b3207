"""CIFAR-10 and CIFAR-100 as published, in their binary version: a folder, or the .tar.gz, of which nothing is unpacked.

Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"; the format as on the data set's page.
A record is a label (CIFAR-100: a coarse and a fine one, of which the fine ones are the classes), then 3 x 32 x 32
unsigned bytes, one colour after the other. The Python version is a pickle, which could run code, and is refused.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.arrays import ArraySource, from_arrays
from striate.data.sources.base import Oddity
from striate.data.sources.unpacking import tar_files, unpack_first
from striate.errors import RequestError
from striate.reading import read_file

PIXELS = 3 * 32 * 32
MAX_BYTES = 2**30  # of one file; the largest original has 0.15 billion
MAX_TOTAL = 2**31  # of the archive unpacked


@dataclass(frozen=True)
class _Version:
    """names: the file of class names. labels: bytes before the pixels, of which the last is the class."""

    title: str
    train: tuple[str, ...]
    test: str
    names: str
    labels: int
    others: tuple[str, ...] = ()


CIFAR10 = _Version(
    "CIFAR-10",
    tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
    "test_batch.bin",
    "batches.meta.txt",
    1,
    ("readme.html",),
)
CIFAR100 = _Version("CIFAR-100", ("train.bin",), "test.bin", "fine_label_names.txt", 2, ("coarse_label_names.txt",))
PICKLED = ({"data_batch_1", "batches.meta"}, {"train", "test", "meta"})


def is_cifar(names: Collection[str]) -> bool:
    """Whether a folder of these entries is CIFAR in either version; `open_cifar` refuses the Python version."""
    held = set(names)
    return _version(held) is not None or any(pickled <= held for pickled in PICKLED)


def open_cifar(path: Path, name: str = "") -> ArraySource:
    """The binary version of CIFAR-10 or CIFAR-100, from its folder or its .tar.gz, as parts train and test.

    Raises RequestError for the Python version, and for files that are damaged, missing or of other sizes.
    """
    files, aside = _of_folder(path) if path.is_dir() else _of_archive(path)
    version = _version(set(files))
    if version is None:
        if any(pickled <= set(files) for pickled in PICKLED):
            raise RequestError(
                f"{str(path)!r} is the Python version of CIFAR, a pickle, which could run code; use the binary version"
            )
        hint = "" if path.is_dir() else f"; for images: {unpack_first(path)}"
        raise RequestError(
            f"{str(path)!r} is not CIFAR: expected data_batch_1.bin, ..., or train.bin, of its binary version{hint}"
        )
    if version.names not in files:
        raise RequestError(f"{str(path)!r} lacks {version.names}, the names of {version.title}'s classes")
    classes = _class_names(path, version, files[version.names])
    missing = [file for file in (*version.train, version.test) if file not in files]
    parts = []
    for part, wanted in (("train", version.train), ("test", (version.test,))):
        read = [_records(path, version, file, files.pop(file), classes) for file in wanted if file in files]
        if read:
            images, labels = (np.concatenate(arrays) for arrays in zip(*read, strict=True))
            parts.append((part, images, labels))
    if len(parts) == 1:  # a single part is not a split
        parts = [("", *parts[0][1:])]
    source = from_arrays(name or path.name.partition(".")[0], str(path.resolve()), parts, classes)
    notes = (f"missing files: {', '.join(missing)}",) if missing else ()
    return replace(source, oddities=aside, notes=notes)


def _version(names: Collection[str]) -> _Version | None:
    for version in (CIFAR10, CIFAR100):
        if any(file in names for file in version.train) and (version is CIFAR10 or version.names in names):
            return version
    return None


def _wanted(name: str) -> bool:
    return any(name in (*version.train, version.test, version.names) for version in (CIFAR10, CIFAR100))


def _of_folder(path: Path) -> tuple[dict[str, bytes], tuple[Oddity, ...]]:
    """The set's files by name, and the entries that are none of them."""
    files: dict[str, bytes] = {}
    aside = []
    known = {other for version in (CIFAR10, CIFAR100) for other in version.others}
    try:
        for entry in sorted(inside.name for inside in path.iterdir()):
            if not _wanted(entry):
                files[entry] = b""  # its name alone may tell the Python version
                if entry not in known:
                    aside.append(Oddity(entry, "other-file", "not a file of the binary version"))
                continue
            files[entry] = read_file(path / entry, MAX_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise RequestError(f"{error.filename!r} is larger than any file of CIFAR") from error
        raise RequestError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    return files, tuple(aside)


def _of_archive(path: Path) -> tuple[dict[str, bytes], tuple[Oddity, ...]]:
    """The same from the archive: files are found by the last part of their names, whatever folder they lie in."""
    files: dict[str, bytes] = {}
    for inside, size, content in tar_files(path, MAX_TOTAL):
        name = inside.rpartition("/")[2]
        if name in files and _wanted(name):
            raise RequestError(f"{str(path)!r} contains {name} twice")
        if not _wanted(name):
            files[name] = b""
            continue
        if size > MAX_BYTES:
            raise RequestError(f"{str(path)!r} contains {name} of {size:,} bytes, larger than any file of CIFAR")
        files[name] = content.read()
        if len(files[name]) != size:
            raise RequestError(f"{str(path)!r} ends within {name}")
    return files, ()


def _class_names(path: Path, version: _Version, content: bytes) -> tuple[str, ...]:
    """The class names, one a line. Raises RequestError for anything else."""
    try:
        names = tuple(line.strip() for line in content.decode("utf-8").splitlines() if line.strip())
    except UnicodeDecodeError as error:
        raise RequestError(f"{version.names} of {str(path)!r} is not text") from error
    if not names or len(names) > 256 or len(set(names)) != len(names):
        raise RequestError(f"{version.names} of {str(path)!r} must name 1 to 256 classes, each once, not {len(names)}")
    return names


def _records(
    path: Path, version: _Version, file: str, content: bytes, classes: Collection[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [N, 32, 32, 3] and labels [N] of one file."""
    width = version.labels + PIXELS
    if not content or len(content) % width:
        raise RequestError(
            f"{file} of {str(path)!r} has {len(content):,} bytes, no multiple of {width:,}: it is damaged"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, width)
    labels = records[:, version.labels - 1]
    if labels.max() >= len(classes):
        raise RequestError(f"{file} of {str(path)!r} holds the label {labels.max()}; there are {len(classes)} classes")
    images = records[:, version.labels :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, labels
