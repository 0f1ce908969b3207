"""IDX files, MNIST's own format, as a source: a magic number, the dimensions, then the values; packed by gzip or not.

Source: LeCun, Cortes, Burges, "The MNIST database", section "File formats". Pixels are taken as they lie: EMNIST's
images, which are stored transposed, stay so.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.arrays import RATIO, ArraySource, from_arrays
from striate.data.sources.base import Oddity
from striate.data.sources.unpacking import most_unpacked
from striate.errors import RequestError
from striate.reading import open_file

IDX_NAME = re.compile(
    r"(?P<set>.*?)(?P<part>train|t10k|test|val)(?P<a>[-_.])(?P<what>images|labels)(?P<b>[-_.])idx[0-9](?P<c>[-_.])ubyte"
    r"(?P<gz>\.gz)?",
    re.IGNORECASE,
)
_PART_OF = {"train": "train", "val": "val", "t10k": "test", "test": "test"}
MAX_BYTES = 2**31  # of one file's values; EMNIST's largest has 0.55 billion
HEADER = 16  # bytes of the longest header
UNSIGNED_BYTES = 8  # the third byte of the magic number, for the one type images and labels come in


def holds_idx(names: Collection[str]) -> bool:
    """Whether a folder of these entries is one of IDX files."""
    return any((found := IDX_NAME.fullmatch(name)) and found["what"].lower() == "images" for name in names)


def open_idx(path: Path, name: str = "", classes: Sequence[str] = ()) -> ArraySource:
    """A folder of IDX files, as parts train, val and test, or one file of images with its labels next to it.

    `classes`: names of the labels 0, 1, .... Raises RequestError for files that are damaged, do not belong
    together, or declare other dimensions than they have.
    """
    folder = path if path.is_dir() else path.parent
    here, places = _files_of(folder)
    chosen, aside = (_of_folder(folder, here), _others(here)) if path.is_dir() else ([path.name], ())
    parts = []
    for images in chosen:
        found = cast("re.Match[str]", IDX_NAME.fullmatch(images))
        if found["what"].lower() != "images":
            raise RequestError(f"{str(path)!r} contains labels; give the file of images")
        pixels, labels = read_idx(places[images], 3), read_idx(places[_labels_beside(folder, here, found)], 1)
        parts.append((_PART_OF[found["part"].lower()] if len(chosen) > 1 else "", pixels, labels))
    source = from_arrays(name or path.name.partition(".")[0], str(path.resolve()), parts, classes)
    return replace(source, oddities=aside)


def _files_of(folder: Path) -> tuple[list[str], dict[str, Path]]:
    """The names in a folder, sorted, and where the file of each is.

    An unpacked copy of MNIST has folders named like the files, and the files in them, beside the files or instead.
    """
    places = {entry.name: entry for entry in folder.iterdir()}
    for name, entry in sorted(places.items()):
        if IDX_NAME.fullmatch(name) and entry.is_dir():
            inner = [one for one in entry.iterdir() if IDX_NAME.fullmatch(one.name) and one.is_file()]
            del places[name]
            for one in inner[:1]:
                if not any(_alike(one.name, other) for other in places):
                    places[one.name] = one
    return sorted(places), places


def _alike(one: str, other: str) -> bool:
    """Whether two names are of the same IDX file, written differently."""
    first, second = IDX_NAME.fullmatch(one), IDX_NAME.fullmatch(other)
    same = ("set", "part", "what")
    return bool(first and second and all(first[key].lower() == second[key].lower() for key in same))


def _of_folder(folder: Path, here: Sequence[str]) -> list[str]:
    """The folder's files of images, training first. Raises RequestError where they are of several sets."""
    found: dict[str, str] = {}
    sets: dict[str, str] = {}
    for name in here:  # sorted: the unpacked file of a pair comes first
        match = IDX_NAME.fullmatch(name)
        if match and match["what"].lower() == "images":
            found.setdefault(_PART_OF[match["part"].lower()], name)
            sets.setdefault(match["set"], name)
    if len(sets) > 1:
        raise RequestError(
            f"{str(folder)!r} holds {len(sets)} IDX sets; give the images of one, such as {', '.join(sets.values())}"
        )
    return [found[part] for part in ("train", "val", "test") if part in found]


def _others(here: Sequence[str]) -> tuple[Oddity, ...]:
    return tuple(Oddity(name, "other-file", "not an IDX file") for name in here if not IDX_NAME.fullmatch(name))


def _labels_beside(folder: Path, here: Sequence[str], images: re.Match[str]) -> str:
    for name in here:
        found = IDX_NAME.fullmatch(name)
        if (
            found
            and found["what"].lower() == "labels"
            and (found["set"], found["part"]) == (images["set"], images["part"])
        ):
            return name
    wanted = (
        f"{images['set']}{images['part']}{images['a']}labels{images['b']}idx1{images['c']}ubyte{images['gz'] or ''}"
    )
    raise RequestError(f"{str(folder / images[0])!r} has no labels: {wanted} is missing")


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The values of one IDX file of unsigned bytes, in its own shape. Raises RequestError unless all is as declared."""
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(open_file(path, MAX_BYTES + HEADER))
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=raw)) if packed else raw)
            shape = _shape(path, stream, dimensions)
            size = int(np.prod(shape, dtype=object))
            held = os.fstat(raw.fileno()).st_size
            if size > min(most_unpacked(held, RATIO) if packed else held, MAX_BYTES):
                raise RequestError(f"{str(path)!r} declares {size:,} values ({_by(shape)}), more than it can contain")
            content = bytearray()
            while len(content) < size and (chunk := stream.read(min(2**20, size - len(content)))):
                content += chunk
            if len(content) != size or stream.read(1):
                what = f"has only {len(content):,}" if len(content) < size else "has more"
                raise RequestError(f"{str(path)!r} declares {size:,} values ({_by(shape)}) and {what}")
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}") from error
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(path: Path, stream: BinaryIO, dimensions: int) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise RequestError(f"{str(path)!r} is not an IDX file: it starts with {magic.hex(' ') or 'nothing'}")
    if magic[2] != UNSIGNED_BYTES or magic[3] != dimensions:
        raise RequestError(
            f"{str(path)!r} holds {magic[3]}-dimensional values of type 0x{magic[2]:02x}; "
            f"unsigned bytes (0x08) in {dimensions} dimensions are needed"
        )
    declared = stream.read(4 * dimensions)
    if len(declared) < 4 * dimensions:
        raise RequestError(f"{str(path)!r} ends within its header")
    return tuple(int(value) for value in np.frombuffer(declared, ">u4"))


def _by(shape: Sequence[int]) -> str:
    return " x ".join(str(side) for side in shape)
