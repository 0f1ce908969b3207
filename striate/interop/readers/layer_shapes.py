"""The shape after a layer as readers give it, and the checks that it fits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, shown

Shape = tuple[int, ...]  # channels, height and width of a map, or the length of a vector
Floats = NDArray[np.float32]

LARGEST_SIDE = 16_384
LARGEST_CHANNELS = 100_000

# Kinds whose output has the shape of their input.
ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "tanh", "sigmoid", "silu", "hardsigmoid", "hardswish",
    "gelu",
)  # fmt: skip
SAME_SHAPE = frozenset({*ACTIVATIONS, "batch_norm", "lrn", "dropout", "dropout2d", "scale"})


def described(shape: Shape) -> str:
    """A shape in words."""
    return f"{shape[0]} numbers" if len(shape) == 1 else " x ".join(str(side) for side in shape)


def whole(value: object, what: str, least: int = 0, most: int = LARGEST_SIDE) -> int:
    """A whole number. Raises RequestError for anything else, with what it is."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RequestError(f"{what} is a whole number from {least} to {most:,}, not {shown(value)}")
    return value


def after(kind: str, shapes: list[Shape], attributes: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Shape:
    """The shape after a layer. Raises RequestError for what does not fit."""
    if kind in ("add", "multiply", "average", "maximum"):
        return _equal(kind, shapes)
    if kind == "concat":
        if any(len(one) != len(shapes[0]) or one[1:] != shapes[0][1:] for one in shapes):
            raise RequestError(f"it concatenates {' and '.join(map(described, shapes))}")
        return (sum(one[0] for one in shapes), *shapes[0][1:])
    if len(shapes) != 1:
        raise RequestError(f"it takes {len(shapes)} inputs")
    shape = shapes[0]
    if kind in SAME_SHAPE:
        lengths = {len(array) for array in arrays.values() if array.size > 1 or kind != "prelu"}
        if any(array.ndim != 1 for array in arrays.values()) or not lengths <= {shape[0]}:
            raise RequestError(f"it has arrays of {sorted(lengths)} values for {described(shape)}")
        return shape
    if kind == "linear":
        weight = arrays["weight"]
        _fits_bias(arrays)
        if len(shape) != 1 or weight.ndim != 2 or weight.shape[1] != shape[0]:
            raise RequestError(f"its matrix is {weight.shape} for {described(shape)}")
        return (weight.shape[0],)
    if kind == "flatten":
        return (math.prod(shape),)
    if kind == "unflatten" and len(shape) == 1:
        return (shape[0], 1, 1)
    if len(shape) != 3:
        raise RequestError(f"it needs a map, and here are {described(shape)}")
    found: Shape = _MAPS[kind](shape, attributes, arrays)
    return found


def _equal(kind: str, shapes: list[Shape]) -> Shape:
    if len(shapes) < 2 or any(one != shapes[0] for one in shapes):
        # One number for each channel may scale a map, as in squeeze-and-excitation.
        if kind == "multiply" and len(shapes) == 2 and shapes[1] in ((shapes[0][0], 1, 1), (shapes[0][0],)):
            return shapes[0]
        raise RequestError(f"it combines {' and '.join(map(described, shapes))}")
    return shapes[0]


def _convolved(shape: Shape, attributes: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Shape:
    weight, groups = arrays["weight"], whole(attributes["groups"], "groups", 1, LARGEST_CHANNELS)
    _fits_bias(arrays)
    if weight.ndim != 4 or weight.shape[1] * groups != shape[0] or weight.shape[0] % groups:
        raise RequestError(f"its kernel is {weight.shape}, in {groups} groups, for {described(shape)}")
    sides = [
        size + 2 * pad - apart * (kernel - 1) - 1
        for size, pad, apart, kernel in zip(
            shape[1:], attributes["padding"], attributes["dilation"], weight.shape[2:], strict=True
        )
    ]
    if min(sides) < 0:
        raise RequestError(f"its kernel {weight.shape[2:]} is larger than the map {described(shape)}")
    stride = attributes["stride"]
    return (weight.shape[0], sides[0] // stride[0] + 1, sides[1] // stride[1] + 1)


def pooled(shape: Shape, attributes: Mapping[str, Any]) -> Shape:
    """The shape after a pooling."""
    sides = []
    for size, pad, kernel, step in zip(
        shape[1:], attributes["padding"], attributes["kernel"], attributes["stride"], strict=True
    ):
        room = size + 2 * pad - kernel
        if room < 0:
            raise RequestError(f"its window {attributes['kernel']} is larger than the map {described(shape)}")
        windows = (-(-room // step) if attributes["ceil"] else room // step) + 1
        # As in torch and Caffe: no window begins beyond the map and its padding on the left.
        sides.append(windows - 1 if attributes["ceil"] and (windows - 1) * step >= size + pad else windows)
    return (shape[0], *sides)


def _padded(shape: Shape, attributes: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Shape:
    top, bottom, left, right = attributes["padding"]
    return (shape[0], shape[1] + top + bottom, shape[2] + left + right)


_MAPS: Mapping[str, Any] = MappingProxyType(
    {
        "conv": _convolved,
        "max_pool": lambda shape, attributes, _: pooled(shape, attributes),
        "avg_pool": lambda shape, attributes, _: pooled(shape, attributes),
        "pad": _padded,
        "global_avg_pool": lambda shape, _, __: (shape[0],),
        "global_max_pool": lambda shape, _, __: (shape[0],),
    }
)


def _fits_bias(arrays: Mapping[str, Floats]) -> None:
    if "bias" in arrays and arrays["bias"].shape != arrays["weight"].shape[:1]:
        raise RequestError(f"its bias is {arrays['bias'].shape} for a weight {arrays['weight'].shape}")
