"""Torch7's serialized files (`.t7`, `.net`): numbers, strings, tables, tensors and objects as plain values.

Source: File.lua and the `read` functions of torch/torch7, binary form, little-endian. Lua functions are skipped bytes.
Every length is held against the bytes that are there before anything is allocated.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, shown

MOST_OBJECTS = 2_000_000
MOST_DEPTH = 150  # of values within values
_NIL, _NUMBER, _STRING, _TABLE, _OBJECT, _BOOLEAN = range(6)
_FUNCTION, _RECURSIVE = 6, (7, 8)
_TYPES: Mapping[str, str] = {
    "Float": "<f4", "Double": "<f8", "Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "i1", "Byte": "u1",
    "Cuda": "<f4", "CudaDouble": "<f8", "CudaLong": "<i8", "CudaInt": "<i4", "CudaByte": "u1", "Half": "<f2",
    "CudaHalf": "<f2",
}  # fmt: skip

Array = NDArray[Any]
Table = dict[Any, Any]


@dataclass(eq=False)
class TorchObject:
    """An object of a Lua class, such as nn.Linear: its class and its fields."""

    kind: str
    fields: Table = field(default_factory=dict)


def read(content: bytes) -> Any:
    """The value in a file: None, a float, str, bool, dict, array or TorchObject; tables from 1 on are dicts too.

    Raises RequestError for bytes that are no such file.
    """
    reader = _Reader(content)
    try:
        return reader.value(0)
    except (struct.error, RecursionError, OverflowError) as error:
        raise RequestError("it is not a Torch7 file in the binary form, or is damaged") from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.at, self.left = content, 0, MOST_OBJECTS
        self.known: dict[int, Any] = {}  # by the index of a table, object or function

    def take(self, length: int, what: str) -> bytes:
        if not 0 <= length <= len(self.content) - self.at:
            raise RequestError(
                f"it is damaged: {what} of {length:,} bytes, where {len(self.content) - self.at:,} are left"
            )
        self.at += length
        return self.content[self.at - length : self.at]

    def whole(self) -> int:
        return int(struct.unpack("<i", self.take(4, "a number"))[0])

    def longs(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}q", self.take(8 * count, "numbers"))

    def string(self) -> str:
        return self.take(self.whole(), "a string").decode("latin-1")

    def value(self, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > MOST_DEPTH:
            raise RequestError(f"it has more than {MOST_OBJECTS:,} values, or values more than {MOST_DEPTH} deep")
        kind = self.whole()
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            return float(struct.unpack("<d", self.take(8, "a number"))[0])
        if kind == _STRING:
            return self.string()
        if kind == _BOOLEAN:
            return self.whole() == 1
        if kind == _FUNCTION:
            return self.function(depth)
        if kind not in (_TABLE, _OBJECT, *_RECURSIVE):
            raise RequestError(f"it is not a Torch7 file in the binary form, or is damaged: a value of the kind {kind}")
        index = self.whole()
        if index in self.known:
            return self.known[index]
        if kind in _RECURSIVE:
            self.known[index] = None
            return self.function(depth)
        if kind == _TABLE:
            table: Table = {}
            self.known[index] = table
            self.fill(table, depth)
            return table
        return self.object(index, depth)

    def function(self, depth: int) -> None:
        """Skip the bytes of a function of Lua, and what it refers to."""
        self.take(self.whole(), "a function")
        self.value(depth + 1)

    def fill(self, table: Table, depth: int) -> None:
        for _ in range(self.whole()):
            key, inner = self.value(depth + 1), self.value(depth + 1)
            if isinstance(key, float | str | bool):
                table[key] = inner

    def object(self, index: int, depth: int) -> Any:
        kind = self.string()
        if kind.startswith("V "):
            kind = self.string()
        package, _, name = kind.partition(".")
        for ending in ("Tensor", "Storage"):
            if package == "torch" and name.endswith(ending) and name.removesuffix(ending) in _TYPES:
                read = self.tensor if ending == "Tensor" else self.storage
                self.known[index] = None
                self.known[index] = read(_TYPES[name.removesuffix(ending)], depth)
                return self.known[index]
        if package in ("torch", "tds"):
            raise RequestError(f"it has a {shown(kind)}, which is not read")
        made = TorchObject(kind)
        self.known[index] = made
        inner = self.value(depth + 1)
        if not isinstance(inner, dict):
            raise RequestError(f"a {shown(kind)} in it has no fields")
        made.fields = inner
        return made

    def storage(self, dtype: str, depth: int) -> Array:
        (count,) = self.longs(1)
        size = np.dtype(dtype).itemsize
        if not 0 <= count <= len(self.content):
            raise RequestError(f"it is damaged: a storage of {count:,} values")
        return np.frombuffer(self.take(count * size, "a storage"), dtype)

    def tensor(self, dtype: str, depth: int) -> Array:
        rank = self.whole()
        if not 0 <= rank <= 32:
            raise RequestError(f"it is damaged: a tensor of {rank} dimensions")
        sizes, strides, (first,) = self.longs(rank), self.longs(rank), self.longs(1)
        storage = self.value(depth + 1)
        if storage is None or not rank:
            return np.zeros(0, dtype)
        if not isinstance(storage, np.ndarray) or storage.ndim != 1:
            raise RequestError("it is damaged: a tensor without a storage")
        count = math.prod(sizes)
        if min(sizes) < 0 or count > len(storage):  # one value could be repeated to any size
            raise RequestError(f"it is damaged: a tensor of {sizes} in a storage of {len(storage):,} values")
        if not count:
            return np.zeros(sizes, dtype)
        last = first - 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if first < 1 or min(strides) < 0 or last >= len(storage):
            raise RequestError(f"it is damaged: a tensor reaches beyond its storage of {len(storage):,} values")
        steps = [stride * storage.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[first - 1 :], sizes, steps, writeable=False)
