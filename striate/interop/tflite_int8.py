"""Operators of `striate.interop.nhwc` on 8-bit integers, as TensorFlow Lite computes them.

In full int8, maps and weights are integers: a scale for each tensor of maps, and one for each output of a weight
(Jacob et al. 2018, arXiv:1712.05877). In dynamic int8 only the weights of convolutions and linear layers are; maps are
floats, from which the runtime makes integers as it computes. Normalisation of the images and softmax stay in floats.
Source: TensorFlow Lite's 8-bit quantisation specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from striate.interop.graph import Array
from striate.interop.nhwc import Operator, Steps, Tensor

Range = tuple[float, float]  # the least and the greatest value of a map

# The axis of a weight's outputs.
_WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
# Whose result has the integers of the first input.
_MOVED = {"MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "PAD", "PADV2", "GATHER",
          "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}  # fmt: skip
_COMPUTED = {"ADD", "SUB", "MUL", "MEAN", "RELU", "RELU6", "LEAKY_RELU", "CONCATENATION", "HARD_SWISH"}
_LARGEST_BIAS = 2**30  # of the 32 bits, with room for the sum of products
_FIXED = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}  # scale and zero, as the runtime wants them


def dynamic(steps: Steps) -> Steps:
    """The operators with weights in int8 and maps in float32."""
    made, numbers = Steps(), dict[int, int]()
    weights = {one.inputs[1]: _WEIGHTED[one.code] for one in steps.operators if one.code in _WEIGHTED}
    for number, tensor in enumerate(steps.tensors):
        numbers[number] = made.tensor(_of_weight(tensor, weights[number]) if number in weights else tensor)
    for one in steps.operators:
        made.operator(one.code, [numbers[number] for number in one.inputs], numbers[one.result], one.options)
    made.images, made.result = numbers[steps.images], numbers[steps.result]
    return made


def full(steps: Steps, ranges: Mapping[int, Range]) -> Steps:
    """The operators in int8, where TensorFlow Lite has them so; between them and those in floats stand conversions.

    ranges: of the maps of floats, by their number. Images and the result are as they were.
    """
    return _Full(steps, ranges).made


class _Full:
    """Writes the operators anew, one after the other."""

    def __init__(self, steps: Steps, ranges: Mapping[int, Range]) -> None:
        self.steps, self.ranges, self.made = steps, ranges, Steps()
        self.floats: dict[int, int] = {}  # by the number in `steps`, that in `made`
        self.eights: dict[int, int] = {}
        self.weights: dict[tuple[int, bytes], int] = {}  # by the number in `steps` and the least scales
        self.made.images = self.floats[steps.images] = self.made.tensor(steps.tensors[steps.images])
        for one in steps.operators:
            self.write(one)
        self.made.result = self.as_floats(steps.result)

    def write(self, one: Operator) -> None:
        maps = [number for number in one.inputs if self.steps.tensors[number].values is None]
        constant = one.code in ("ADD", "SUB", "MUL") and len(maps) < len(one.inputs)
        if one.code in _WEIGHTED:
            self.eights[one.result] = self.weighted(one)
        elif one.code in _MOVED and maps[0] in self.eights:
            self.eights[one.result] = self.moved(one)
        elif (one.code in _COMPUTED or one.code in _FIXED) and not constant and any(one in self.eights for one in maps):
            self.eights[one.result] = self.computed(one)
        else:
            given = [self.as_floats(number) for number in one.inputs]
            result = self.made.tensor(self.steps.tensors[one.result])
            self.floats[one.result] = self.made.operator(one.code, given, result, one.options)

    def as_floats(self, number: int) -> int:
        """A tensor in floats, converted where it is not."""
        tensor = self.steps.tensors[number]
        if tensor.values is not None:
            return self.made.constant(tensor.values, tensor.name)
        if number not in self.floats:
            self.floats[number] = self.made.operator("DEQUANTIZE", [self.eights[number]], self.made.tensor(tensor))
        return self.floats[number]

    def as_eight(self, number: int) -> int:
        """A map in int8, converted where it is not."""
        if number not in self.eights:
            self.eights[number] = self.made.operator("QUANTIZE", [self.floats[number]], self.result(number))
        return self.eights[number]

    def result(self, number: int, like: Tensor | None = None) -> int:
        """A map of int8 with the scale of its range, or of another tensor."""
        tensor = self.steps.tensors[number]
        scale, zero = scale_of(self.ranges[number]) if like is None else ((like.scales or (1.0,))[0], like.zero)
        return self.made.tensor(replace(tensor, type="int8", scales=(scale,), zero=zero))

    def weighted(self, one: Operator) -> int:
        images, weight, bias = one.inputs
        given, summand = self.as_eight(images), self.steps.tensors[bias]
        (scale,) = self.made.tensors[given].scales or (1.0,)
        assert summand.values is not None
        # Of an output whose weights are 0 or nearly so, the bias counts: it has the product of both scales.
        least = np.abs(summand.values) / (scale * _LARGEST_BIAS)
        key = weight, least.tobytes()
        if key not in self.weights:  # rows may share one
            held = _of_weight(self.steps.tensors[weight], _WEIGHTED[one.code], least)
            self.weights[key] = self.made.tensor(held)
        scales = tuple(scale * each for each in self.made.tensors[self.weights[key]].scales or ())
        whole = np.rint(summand.values / np.array(scales)).astype(np.int32)
        second = self.made.tensor(replace(summand, type="int32", values=whole, scales=scales))
        return self.made.operator(one.code, [given, self.weights[key], second], self.result(one.result), one.options)

    def moved(self, one: Operator) -> int:
        given = self.eights[one.inputs[0]]
        like = self.made.tensors[given]
        further = [self.as_floats(number) for number in one.inputs[1:]]
        if one.code == "PADV2":  # its value, of the same scale
            value, scale = self.steps.tensors[one.inputs[2]].values, (like.scales or (1.0,))[0]
            assert value is not None
            value = value.astype(np.float64)  # the least float32 over a scale
            whole = np.clip(np.rint(value / scale) + like.zero, -128, 127).astype(np.int8)
            further[1] = self.made.tensor(
                Tensor("constant", whole.shape, "int8", whole, scales=like.scales, zero=like.zero)
            )
        return self.made.operator(one.code, [given, *further], self.result(one.result, like), one.options)

    def computed(self, one: Operator) -> int:
        if one.code in _FIXED:
            scale, zero = _FIXED[one.code]
            like = replace(self.steps.tensors[one.result], scales=(scale,), zero=zero)
            return self.made.operator(
                one.code, [self.as_eight(one.inputs[0])], self.result(one.result, like), one.options
            )
        result = self.result(one.result)
        given = [self.as_eight(number) if number in self.ranges else self.as_floats(number) for number in one.inputs]
        if one.code == "CONCATENATION":  # of one scale
            given = [self.rescaled(number, self.made.tensors[result]) for number in given]
        return self.made.operator(one.code, given, result, one.options)

    def rescaled(self, number: int, like: Tensor) -> int:
        tensor = self.made.tensors[number]
        if (tensor.scales, tensor.zero) == (like.scales, like.zero):
            return number
        changed = self.made.tensor(replace(tensor, scales=like.scales, zero=like.zero))
        return self.made.operator("QUANTIZE", [number], changed)


def scale_of(values: Range) -> tuple[float, int]:
    """The scale and zero of a range, in which 0 is a whole number."""
    least, most = min(values[0], 0.0), max(values[1], 0.0)
    scale = max((most - least) / 255, 1e-12)
    return scale, int(np.clip(np.rint(-128 - least / scale), -128, 127))


def _of_weight(tensor: Tensor, axis: int, least: Array | float = 0.0) -> Tensor:
    """A weight in int8, symmetric, with a scale for each of its outputs, no smaller than `least`."""
    assert tensor.values is not None
    sides = tuple(place for place in range(tensor.values.ndim) if place != axis)
    scales: Array = np.maximum(np.abs(tensor.values).max(axis=sides) / 127, np.maximum(least, 1e-12))
    shape = [-1 if place == axis else 1 for place in range(tensor.values.ndim)]
    whole = np.clip(np.rint(tensor.values / scales.reshape(shape)), -127, 127).astype(np.int8)
    return replace(tensor, type="int8", values=whole, scales=tuple(map(float, scales)), axis=axis)


def measured(steps: Steps) -> list[int]:
    """The numbers of the maps of floats, whose ranges `full` wants."""
    return [number for number, one in enumerate(steps.tensors) if one.values is None and one.type == "float32"]


def typical(extremes: Sequence[Mapping[int, Range]]) -> dict[int, Range]:
    """Of each map, the means over images of its least and of its greatest value: an outlier widens no range by much."""
    means = {number: np.mean([one[number] for one in extremes], axis=0) for number in extremes[0]}
    return {number: (float(low), float(high)) for number, (low, high) in means.items()}
