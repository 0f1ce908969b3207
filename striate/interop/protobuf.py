"""Protocol buffers, written field by field: all that Caffe's files need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.interop.graph import Array


def varint(value: int) -> bytes:
    """A whole number of 0 or more."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def message(number: int, content: bytes | str) -> bytes:
    """The field `number`: a message, a text or packed numbers."""
    held = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(held)) + held


def integers(number: int, values: Sequence[int]) -> bytes:
    """The field `number`: packed whole numbers."""
    return message(number, b"".join(map(varint, values)))


def floats(number: int, values: Array) -> bytes:
    """The field `number`: packed float32."""
    return message(number, np.ascontiguousarray(values, "<f4").tobytes())
