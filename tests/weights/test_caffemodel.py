"""A .caffemodel, written here by the encoding's rules, is read back; damaged bytes are refused or give arrays."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.weights.caffemodel import read_caffemodel

Layers = dict[str, list[npt.NDArray[np.float32]]]


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array: npt.NDArray[np.float32], *, old: bool, packed: bool = True) -> bytes:
    if old:
        sides = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(varint(number << 3) + varint(side) for number, side in enumerate(sides, start=1))
    else:
        shape = field(7, field(1, b"".join(varint(side) for side in array.shape)))
    values = array.astype("<f4").tobytes()
    if packed:
        return shape + field(5, values)
    return shape + b"".join(varint(5 << 3 | 5) + values[place : place + 4] for place in range(0, len(values), 4))


def caffemodel(layers: Layers, *, old: bool = False, packed: bool = True) -> bytes:
    layer, name_field, blob_field = (2, 4, 6) if old else (100, 1, 7)
    found = field(1, b"a net")
    for name, blobs in layers.items():
        content = field(name_field, name.encode())
        content += b"".join(field(blob_field, blob(array, old=old, packed=packed)) for array in blobs)
        content += varint(10 << 3) + varint(1) + varint(11 << 3 | 5) + struct.pack("<f", 0.5)  # phase, a loss weight
        found += field(layer, content)
    return found


RNG = np.random.default_rng(0)
NET: Layers = {
    "data": [],
    "conv1": [RNG.normal(size=(4, 3, 2, 2)).astype(np.float32), RNG.normal(size=4).astype(np.float32)],
    "ip/2": [RNG.normal(size=(5, 7)).astype(np.float32), RNG.normal(size=5).astype(np.float32)],
    "bn": [np.ones(3, np.float32), np.ones(3, np.float32), np.ones(1, np.float32)],
}


@pytest.mark.parametrize(("old", "packed"), [(False, True), (False, False), (True, True), (True, False)])
def test_layers_and_blobs_are_read_back(old: bool, packed: bool) -> None:
    found = read_caffemodel(caffemodel(NET, old=old, packed=packed))
    assert list(found) == ["conv1.weight", "conv1.bias", "ip/2.weight", "ip/2.bias", "bn.weight", "bn.bias", "bn.2"]
    for name, (weight, bias, *_) in list(NET.items())[1:]:
        assert found[f"{name}.weight"].dtype == np.float32
        assert np.array_equal(found[f"{name}.weight"], weight)
        assert np.array_equal(found[f"{name}.bias"], bias)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no layer has weights"),
        (b"not at all a network", "it is not a caffemodel"),
        (field(100, field(7, field(5, b"12345"))), "not of four bytes each"),
        (field(100, field(7, field(7, field(1, varint(1 << 40))) )), r"a blob of shape \[1099511627776\] has 0 values"),
        (varint(100 << 3 | 2) + varint(1 << 60), "reaches beyond the end"),
        (varint(100 << 3 | 2) + b"\xff" * 11, "more than ten bytes"),
        (varint(100 << 3 | 2), "ends within a number"),
        (varint(100 << 3 | 3), "a field of kind 3"),
        (field(100, field(7, field(7, field(1, b"\x01" * 40)))), "has 40 dimensions"),
    ],
)  # fmt: skip
def test_damage_is_reported(content: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_caffemodel(content)


WHOLE = caffemodel(NET)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255), st.integers(0, len(WHOLE)))
def test_damage_at_any_byte_is_refused_or_harmless(place: int, change: int, length: int) -> None:
    content = bytearray(WHOLE)
    content[place] ^= change
    _read_or_refuse(bytes(content))
    _read_or_refuse(WHOLE[:length])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_harmless(content: bytes) -> None:
    _read_or_refuse(content)
    _read_or_refuse(field(100, content))
    _read_or_refuse(field(100, field(7, content)))


def _read_or_refuse(content: bytes) -> None:
    try:
        found = read_caffemodel(content)
    except RequestError:
        return
    assert sum(array.nbytes for array in found.values()) <= len(content)
