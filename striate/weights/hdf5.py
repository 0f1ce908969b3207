"""HDF5 as Keras writes it: groups, attributes with names, and arrays of floats, by a minimal reader.

Source: the HDF Group's file format specification, version 3: superblock of version 0 or 1, object headers of version 1,
groups by symbol tables, contiguous arrays. This is what the HDF5 library writes unless it is asked for a newer format.

Why not h5py: its C library looped without end on damaged files, which Python cannot interrupt, and there is nothing to
install. Here every length is checked against the bytes of the file before anything is allocated, nothing outside the
file is opened, and the structures read are counted. The tests write files with h5py and hold this reader against it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_UNDEFINED = 2**64 - 1  # an address of nothing
_STRUCTURES = 1_000_000  # that are read of a file; a network of a thousand layers has about thirty thousand
_PART = 2**22  # bytes of a structure other than an array
_DEPTH = 16  # of a tree of links

# Messages of an object header.
_SPACE, _TYPE, _EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTE, _CONTINUATION, _TABLE = 1, 3, 7, 8, 11, 12, 16, 17
# Bytes of an IEEE float -> bit offset, precision, place and size of exponent and of mantissa, and bias.
_FLOATS = {2: (0, 16, 10, 5, 0, 10, 15), 4: (0, 32, 23, 8, 0, 23, 127), 8: (0, 64, 52, 11, 0, 52, 1023)}
_FLOAT, _STRING, _VARIABLE = 1, 3, 9  # classes of types

Floats = npt.NDArray[np.float32]


class Damaged(Exception):  # noqa: N818
    """The bytes are not what the format says."""


class _Type(NamedTuple):
    """A type of values: class, bits of the class, bytes of a value, and the rest of the description."""

    kind: int
    bits: int
    size: int
    rest: bytes

    @property
    def float_order(self) -> str:
        """NumPy's name of the type, for IEEE floats; "" for others."""
        if self.kind != _FLOAT or len(self.rest) < 12:
            return ""
        if struct.unpack_from("<HHBBBBI", self.rest) != _FLOATS.get(self.size):
            return ""
        return f"{'>' if self.bits & 1 else '<'}f{self.size}"


@dataclass(frozen=True)
class Array:
    """An array in the file. dtype: NumPy's name, "" for what is no float. address: of its values."""

    file: File
    shape: tuple[int, ...]
    dtype: str
    address: int
    stored: int

    def values(self) -> Floats:
        """The values as float32. Raises Damaged if they are not all in the file."""
        dtype = np.dtype(self.dtype)
        count = math.prod(self.shape)
        if self.address == _UNDEFINED or self.stored != count * dtype.itemsize:
            raise Damaged(f"an array of shape {self.shape} has {self.stored:,} bytes")
        found = np.frombuffer(self.file.read(self.address, self.stored, self.file.size), dtype)
        return found.astype(np.float32).reshape(self.shape)


class File:
    """An HDF5 file that is open for reading. size: its bytes."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.size, self.left = file, size, _STRUCTURES
        self.collections: dict[int, dict[int, bytes]] = {}
        start = self.read(0, 9)
        if start[:8] != _SIGNATURE:
            raise RequestError("it is not an HDF5 file")
        if start[8] > 1:
            raise RequestError("it is an HDF5 file of a newer format than Keras writes (libver='latest')")
        widths = self.read(13, 2)
        if widths != b"\x08\x08":
            raise RequestError("it is an HDF5 file with addresses of other than eight bytes")
        # After the superblock's four addresses comes the root's entry, the second word of which is its header.
        self.root = Node(self, self._address(24 + 4 * start[8] + 40))

    def read(self, address: int, length: int, limit: int = _PART) -> bytes:
        """Bytes of the file. Raises Damaged if they are beyond its end, or too many structures were read."""
        self.count(1)
        if length > limit or address + length > self.size:
            raise Damaged("a structure reaches beyond the end")
        self.file.seek(address)
        found = self.file.read(length)
        if len(found) < length:
            raise Damaged("it ends early")
        return found

    def count(self, structures: int) -> None:
        """Raises Damaged once there are more than any network has: each takes time."""
        self.left -= structures
        if self.left < 0:
            raise Damaged(f"it has more than {_STRUCTURES:,} structures")

    def string(self, address: int, number: int) -> bytes:
        """An object of a collection of strings. Raises Damaged if there is none."""
        if address not in self.collections:
            self.collections[address] = dict(_collection(self, address))
        if number not in self.collections[address]:
            raise Damaged("a string is missing")
        return self.collections[address][number]

    def _address(self, place: int) -> int:
        return int(struct.unpack("<Q", self.read(place, 8))[0])


class Node:
    """A group or an array: what its object header says."""

    def __init__(self, file: File, address: int) -> None:
        self.file = file
        self.messages = list(_messages(file, address))

    def names(self, attribute: str) -> list[str] | None:
        """The strings of an attribute; None if there is none of this name. Raises Damaged for other values."""
        if attribute not in self._attributes:
            return None
        return list(_strings(self.file, *self._attributes[attribute]))

    @cached_property
    def _attributes(self) -> dict[str, tuple[bytes, bytes, bytes]]:
        return dict(_attribute(content) for kind, content in self.messages if kind == _ATTRIBUTE)

    @cached_property
    def links(self) -> dict[str, int | None]:
        """The addresses of what is in the group, by name; None for a link to another place. Empty for an array."""
        table = self._first(_TABLE)
        if table is None:
            return {}
        tree, heap = struct.unpack_from("<QQ", table)
        names = _heap(self.file, heap)
        return {
            _text(names[place : max(place, names.find(b"\0", place))]): address
            for place, address in _entries(self.file, tree, _DEPTH)
        }

    def child(self, path: str) -> Node:
        """What is called `path` below the group. Raises RequestError if it is missing, or a link."""
        node = self
        for part in path.split("/"):
            if part not in node.links:
                raise RequestError(f"{path!r:.200} is missing in it")
            address = node.links[part]
            if address is None:
                raise RequestError(f"{path!r:.200} in it is a link, which is not followed")
            node = Node(self.file, address)
        return node

    def array(self) -> Array | None:
        """The array that this is; None for a group. Raises RequestError if it is not in the file as it is."""
        space, kind, layout = self._first(_SPACE), self._first(_TYPE), self._first(_LAYOUT)
        if space is None or kind is None or layout is None:
            return None
        if layout[:2] != b"\x03\x01" or self._first(_EXTERNAL) is not None or self._first(_FILTERS) is not None:
            raise RequestError("its arrays are compressed, in pieces or in another file; Keras writes them whole")
        address, stored = struct.unpack_from("<QQ", layout, 2)
        return Array(self.file, _shape(space), _type(kind).float_order, address, stored)

    def _first(self, number: int) -> bytes | None:
        return next((content for kind, content in self.messages if kind == number), None)


def _messages(file: File, address: int) -> Iterator[tuple[int, bytes]]:
    """The messages of an object header: number and content. One that is shared with other objects is left out."""
    version, _, count, _, size = struct.unpack("<BBHII", file.read(address, 12))
    if version != 1:
        raise Damaged("an object header is of another version")
    file.count(count)
    blocks = [(address + 16, size)]
    for place, length in blocks:
        content = file.read(place, length)
        at = 0
        while at + 8 <= length and count > 0:
            kind, size, flags = struct.unpack_from("<HHB", content, at)
            inner = content[at + 8 : at + 8 + size]
            at, count = at + 8 + size, count - 1
            if len(inner) < size:
                raise Damaged("a message reaches beyond its header")
            if kind == _CONTINUATION:
                blocks.append(struct.unpack_from("<QQ", inner))
            elif not flags & 2:
                yield kind, inner


def _entries(file: File, address: int, depth: int) -> Iterator[tuple[int, int | None]]:
    """The links below a node of a group's tree: the place of the name in the heap, and the address."""
    if depth == 0:
        raise Damaged("a group is too deep")
    mark, kind, level, count = struct.unpack("<4sBBH", file.read(address, 8))
    if mark != b"TREE" or kind != 0:
        raise Damaged("a group has no tree")
    below = struct.unpack(f"<{2 * count}Q", file.read(address + 32, 16 * count))[::2]  # before each, a key
    for child in below:
        if level:
            yield from _entries(file, child, depth - 1)
            continue
        mark, _, symbols = struct.unpack("<4sHH", file.read(child, 8))
        if mark != b"SNOD":
            raise Damaged("a group has no symbols")
        file.count(symbols)
        content = file.read(child + 8, 40 * symbols)
        for place in range(0, 40 * symbols, 40):
            name, header, cached = struct.unpack_from("<QQI", content, place)
            yield name, None if cached == 2 else header


def _heap(file: File, address: int) -> bytes:
    """The names of a group."""
    mark, size, _, place = struct.unpack("<4s4xQQQ", file.read(address, 32))
    if mark != b"HEAP":
        raise Damaged("a group has no names")
    return file.read(place, size)


def _attribute(content: bytes) -> tuple[str, tuple[bytes, bytes, bytes]]:
    """Name, and type, shape and values of an attribute; until version 2, each part is padded to eight bytes."""
    version, _, *sizes = struct.unpack_from("<BBHHH", content)
    if version not in (1, 2, 3):
        raise Damaged("an attribute is of another version")
    at = 9 if version == 3 else 8
    parts = []
    for size in sizes:
        parts.append(content[at : at + size])
        at += (size + 7) // 8 * 8 if version == 1 else size
    return _text(parts[0]), (parts[1], parts[2], content[at:])


def _strings(file: File, kind: bytes, space: bytes, values: bytes) -> Iterator[str]:
    found, count = _type(kind), math.prod(_shape(space))
    if count and (found.size == 0 or count * found.size > len(values)):
        raise Damaged("an attribute has fewer values than it says")
    for place in range(0, count * found.size, max(1, found.size)):
        if found.kind == _STRING:
            yield _text(values[place : place + found.size])
        elif found.kind == _VARIABLE and found.bits & 15 == 1 and found.size == 16:
            length, address, number = struct.unpack_from("<IQI", values, place)
            yield _text(file.string(address, number)[:length])
        else:
            raise Damaged("an attribute that should have names has none")


def _collection(file: File, address: int) -> Iterator[tuple[int, bytes]]:
    """The objects of a collection, by number."""
    mark, size = struct.unpack("<4s4xQ", file.read(address, 16))
    if mark != b"GCOL":
        raise Damaged("a string is not where it should be")
    content, at = file.read(address, size), 16
    while at + 16 <= len(content):
        number, length = struct.unpack_from("<H6xQ", content, at)
        if number == 0:  # the free space at the end
            return
        file.count(1)
        yield number, content[at + 16 : at + 16 + length]
        at += 16 + (length + 7) // 8 * 8


def _shape(space: bytes) -> tuple[int, ...]:
    version, rank = struct.unpack_from("<BB", space)
    if version not in (1, 2) or rank > 32:
        raise Damaged("a shape is of another version")
    return struct.unpack_from(f"<{rank}Q", space, 8 if version == 1 else 4)


def _type(content: bytes) -> _Type:
    kind, low, middle, high, size = struct.unpack_from("<BBBBI", content)
    return _Type(kind & 15, low | middle << 8 | high << 16, size, content[8:])


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode("utf-8", "backslashreplace")
