"""Protocol buffers, written field by field: all that Caffe's files and TensorFlow's SavedModels need."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from striate.interop.graph import Array


def varint(value: int) -> bytes:
    """A whole number of 64 bits."""
    found, value = bytearray(), value % 2**64
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def message(field: int, content: bytes | str) -> bytes:
    """The field: a message, a text or packed numbers."""
    held = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(held)) + held


def number(field: int, value: int) -> bytes:
    """The field: a whole number."""
    return varint(field << 3) + varint(value)


def single(field: int, value: float) -> bytes:
    """The field: a float32."""
    return varint(field << 3 | 5) + struct.pack("<f", value)


def integers(field: int, values: Sequence[int]) -> bytes:
    """The field: packed whole numbers."""
    return message(field, b"".join(map(varint, values)))


def floats(field: int, values: Array) -> bytes:
    """The field: packed float32."""
    return message(field, np.ascontiguousarray(values, "<f4").tobytes())
