"""Caffe's `.caffemodel`: layer names and their blobs, by a minimal protobuf reader.

Source: caffe.proto of BVLC/caffe (NetParameter, LayerParameter, V1LayerParameter, BlobProto) and the encoding's
description. Every length is checked against the available bytes before anything is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError

# Field numbers. A network has its layers as `layer`, before 2014 as `layers`; within these, name and blobs.
LAYER, LAYERS = 100, 2
FIELDS = {LAYER: (1, 7), LAYERS: (4, 6)}
# Within a blob: its values, its shape with the dimensions, and the four sides of the old format without shapes.
DATA, SHAPE, DIMENSIONS, OLD_SIDES = 5, 7, 1, (1, 2, 3, 4)
MAX_FIELDS = 1_000_000
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5

Blob = npt.NDArray[np.float32]
Field = tuple[int, int, int | memoryview]  # number, kind, value


class _Damaged(Exception):  # noqa: N818  (never leaves this file)
    pass


class _Fields:
    """The fields of messages, counted over the file: each costs time, and a few thousand describe any network."""

    def __init__(self) -> None:
        self.left = MAX_FIELDS

    def of(self, content: memoryview) -> Iterator[Field]:
        """The fields of a message, in order. Raises _Damaged if one reaches beyond its end, or there are too many."""
        for field in _fields(content):
            self.left -= 1
            if self.left < 0:
                raise _Damaged(f"it has more than {MAX_FIELDS:,} fields: Caffe writes the values of a blob together")
            yield field


def read_caffemodel(content: bytes) -> dict[str, Blob]:
    """The blobs of every layer that has any, as `name.weight`, `name.bias`, and `name.2` and so on for more.

    Raises RequestError for bytes that are not such a file.
    """
    found: dict[str, Blob] = {}
    try:
        fields = _Fields()
        for number, kind, value in fields.of(memoryview(content)):
            if number not in FIELDS or kind != _BYTES or not isinstance(value, memoryview):
                continue
            name, blobs = _layer(fields, value, *FIELDS[number])
            for place, blob in enumerate(blobs):
                found[f"{name}.{('weight', 'bias')[place] if place < 2 else place}"] = blob
    except _Damaged as error:
        raise RequestError(f"it is not a caffemodel, or is damaged: {error}") from None
    if not found:
        raise RequestError("it is not a caffemodel: no layer has weights")
    return found


def _layer(fields: _Fields, content: memoryview, name_field: int, blob_field: int) -> tuple[str, list[Blob]]:
    name, blobs = "", []
    for number, kind, value in fields.of(content):
        if kind != _BYTES or not isinstance(value, memoryview):
            continue
        if number == name_field:
            name = bytes(value).decode("utf-8", "backslashreplace")
        elif number == blob_field:
            blobs.append(_blob(fields, value))
    return name, blobs


def _blob(fields: _Fields, content: memoryview) -> Blob:
    raw = bytearray()
    shape: list[int] | None = None
    old = {}
    for number, _, value in fields.of(content):
        if number == DATA and isinstance(value, memoryview):  # packed together, or four bytes each
            raw += value
        elif number == SHAPE and isinstance(value, memoryview):
            shape = _dimensions(fields, value)
        elif number in OLD_SIDES and isinstance(value, int):
            old[number] = value
    if len(raw) % 4:
        raise _Damaged("the values of a blob are not of four bytes each")
    if shape is None:
        shape = [old.get(side, 1) for side in OLD_SIDES]
        while len(shape) > 1 and shape[0] == 1:  # a bias was 1 x 1 x 1 x n, a fully connected layer 1 x 1 x n x m
            del shape[0]
    if math.prod(shape) != len(raw) // 4 or not all(shape):
        raise _Damaged(f"a blob of shape {shape} has {len(raw) // 4} values")
    return np.frombuffer(raw, "<f4").astype(np.float32).reshape(shape)


def _dimensions(fields: _Fields, content: memoryview) -> list[int]:
    found: list[int] = []
    for number, kind, value in fields.of(content):
        if number != DIMENSIONS:
            continue
        if kind == _VARINT and isinstance(value, int):
            found.append(value)
        elif isinstance(value, memoryview):
            place = 0
            while place < len(value) and len(found) < MAX_FIELDS:
                dimension, place = _varint(value, place)
                found.append(dimension)
    if len(found) > 32:
        raise _Damaged(f"a blob has {len(found)} dimensions")
    return found


def _fields(content: memoryview) -> Iterator[Field]:
    """The fields of a message, in order. Raises _Damaged if one reaches beyond its end."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise _Damaged("a field without a number")
        if kind == _VARINT:
            whole, place = _varint(content, place)
            yield number, kind, whole
            continue
        if kind == _BYTES:
            length, place = _varint(content, place)
        elif kind in (_FOUR, _EIGHT):
            length = 4 if kind == _FOUR else 8
        else:
            raise _Damaged(f"a field of kind {kind}")
        if length > len(content) - place:
            raise _Damaged("a field reaches beyond the end")
        yield number, kind, content[place : place + length]
        place += length


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """A variable-length integer of seven bits per byte, and where it ends."""
    value = 0
    for step in range(10):
        if place >= len(content):
            raise _Damaged("it ends within a number")
        byte = content[place]
        place += 1
        value |= (byte & 127) << (7 * step)
        if byte < 128:
            return value, place
    raise _Damaged("a number of more than ten bytes")
