"""Operators of `striate.interop.nhwc` as nodes of TensorFlow's GraphDef, in protocol buffers written field by field.

Source: tensorflow/core/framework/{graph,node_def,attr_value,tensor,types}.proto, and the definitions of its operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from striate.errors import RequestError
from striate.interop.graph import Array
from striate.interop.nhwc import Operator, Steps
from striate.interop.protobuf import message, number, single, varint

TYPES: Mapping[str, int] = {"float32": 1, "int32": 3, "uint8": 4}
_FUSED = {1: "Relu", 3: "Relu6"}
_PADDING = ("SAME", "VALID")
_FLOAT = {"T": TYPES["float32"]}


def shape_proto(sides: Sequence[int]) -> bytes:
    """A TensorShapeProto; a side of -1 is any."""
    return b"".join(message(2, number(1, side)) for side in sides)


class Nodes:
    """The nodes of a graph; each gives the name of its result."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.written: list[bytes] = []
        self.names: dict[int, str] = {}  # of tensors
        self.count = 0

    def add(self, name: str, kind: str, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        """A node. attributes: types as int, booleans, texts, floats, lists of int; bytes are an AttrValue."""
        held = b"".join(
            message(5, message(1, key) + message(2, _attribute(key, value))) for key, value in attributes.items()
        )
        self.written.append(
            message(1, message(1, name) + message(2, kind) + b"".join(message(3, one) for one in inputs) + held)
        )
        return name

    def step(self, kind: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None) -> str:
        """A node in between, of float32 unless its attributes say otherwise."""
        self.count += 1
        return self.add(f"step_{self.count}", kind, inputs, _FLOAT if attributes is None else attributes)

    def array(self, values: Array) -> str:
        """A constant."""
        self.count += 1
        kind = TYPES[values.dtype.name]
        tensor = number(1, kind) + message(2, shape_proto(values.shape))
        tensor += message(4, np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
        return self.add(f"constant_{self.count}", "Const", (), {"dtype": kind, "value": message(8, tensor)})

    def number(self, value: float) -> str:
        """A constant number."""
        return self.array(np.array(value, np.float32))

    def given(self, tensor: int) -> str:
        """The name of a tensor, which is written where it is a constant."""
        if tensor not in self.names:
            one = self.steps.tensors[tensor]
            assert one.values is not None  # all others are results of operators above
            self.names[tensor] = self.array(one.values)
        return self.names[tensor]

    def values(self, tensor: int) -> Array:
        """Of a constant."""
        found = self.steps.tensors[tensor].values
        assert found is not None
        return found

    def operator(self, one: Operator) -> None:
        """Write an operator, and the activation that it ends with."""
        if one.code not in _WRITERS:
            raise RequestError(f"row {self.steps.tensors[one.result].name}: TensorFlow has no {one.code}")
        name = _WRITERS[one.code](self, one)
        if fused := _FUSED.get(one.options.get("activation", 0)):
            name = self.step(fused, [name])
        self.names[one.result] = name


def _attribute(key: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return number(5, value)
    if isinstance(value, float):
        return single(4, value)
    if isinstance(value, str):
        return message(2, value)
    if isinstance(value, int):
        return number(6 if key in _OF_TYPE else 3, value)
    return message(1, message(3, b"".join(map(varint, value))))


_OF_TYPE = (
    "T",
    "dtype",
    "Tidx",
    "Tpaddings",
    "Tshape",
    "Tperm",
    "Index",
    "Tparams",
    "Tindices",
    "Taxis",
    "SrcT",
    "DstT",
)


def _windowed(one: Operator) -> dict[str, Any]:
    at = one.options
    return {**_FLOAT, "strides": [1, at["stride_h"], at["stride_w"], 1], "padding": _PADDING[at["padding"]],
            "data_format": "NHWC"}  # fmt: skip


def _conv(to: Nodes, one: Operator) -> str:
    at, (images, weight, bias) = one.options, one.inputs
    held = _windowed(one) | {"dilations": [1, at["dilation_h"], at["dilation_w"], 1]}
    values = to.values(weight)
    if one.code == "CONV_2D":
        kind, values = "Conv2D", values.transpose(1, 2, 3, 0)
    else:
        name = to.steps.tensors[one.result].name
        strides = at["stride_h"], at["stride_w"]
        if strides[0] != strides[1] or (max(strides) > 1 and max(held["dilations"]) > 1):
            raise RequestError(f"row {name}: TensorFlow has no depthwise convolution of such a stride and dilation")
        kind, (_, height, width, channels) = "DepthwiseConv2dNative", values.shape
        values = values.reshape(height, width, channels // at["multiplier"], at["multiplier"])
    made = to.step(kind, [to.given(images), to.array(values)], held)
    return to.step("BiasAdd", [made, to.given(bias)], _FLOAT | {"data_format": "NHWC"})


def _connected(to: Nodes, one: Operator) -> str:
    images, weight, bias = map(to.given, one.inputs)
    made = to.step("MatMul", [images, weight], _FLOAT | {"transpose_a": False, "transpose_b": True})
    return to.step("BiasAdd", [made, bias], _FLOAT | {"data_format": "NHWC"})


def _pool(kind: str) -> Callable[[Nodes, Operator], str]:
    def write(to: Nodes, one: Operator) -> str:
        kernel = [1, one.options["kernel_h"], one.options["kernel_w"], 1]
        return to.step(kind, [to.given(one.inputs[0])], _windowed(one) | {"ksize": kernel})

    return write


def _plain(kind: str, **types: int) -> Callable[[Nodes, Operator], str]:
    return lambda to, one: to.step(kind, [to.given(number) for number in one.inputs], _FLOAT | types)


def _reduced(kind: str) -> Callable[[Nodes, Operator], str]:
    def write(to: Nodes, one: Operator) -> str:
        held = _FLOAT | {"Tidx": TYPES["int32"], "keep_dims": bool(one.options["keep"])}
        return to.step(kind, [to.given(number) for number in one.inputs], held)

    return write


def _concat(to: Nodes, one: Operator) -> str:
    if len(one.inputs) == 1:  # ConcatV2 takes two or more
        return to.given(one.inputs[0])
    axis = to.array(np.array(one.options["axis"], np.int32))
    held = _FLOAT | {"N": len(one.inputs), "Tidx": TYPES["int32"]}
    return to.step("ConcatV2", [*map(to.given, one.inputs), axis], held)


def _gather(to: Nodes, one: Operator) -> str:
    axis, kind = to.array(np.array(one.options["axis"], np.int32)), TYPES["int32"]
    held = {"Tparams": TYPES["float32"], "Tindices": kind, "Taxis": kind, "batch_dims": 0}
    return to.step("GatherV2", [*map(to.given, one.inputs), axis], held)


def _sliced(to: Nodes, one: Operator) -> str:
    masks = {"begin_mask": one.options["begin_mask"], "end_mask": one.options["end_mask"]}
    others = {"ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}
    held = _FLOAT | {"Index": TYPES["int32"]} | masks | others
    return to.step("StridedSlice", [*map(to.given, one.inputs)], held)


def _resized(kind: str) -> Callable[[Nodes, Operator], str]:
    def write(to: Nodes, one: Operator) -> str:
        held = {name: bool(one.options[name]) for name in ("align_corners", "half_pixel_centers")}
        return to.step(kind, [*map(to.given, one.inputs)], _FLOAT | held)

    return write


def _cast(to: Nodes, one: Operator) -> str:
    held = {"SrcT": TYPES["uint8"], "DstT": TYPES["float32"], "Truncate": False}
    return to.step("Cast", [to.given(one.inputs[0])], held)


def _prelu(to: Nodes, one: Operator) -> str:
    """relu(x) - slope * relu(-x)."""
    images, slope = map(to.given, one.inputs)
    below = to.step("Mul", [slope, to.step("Relu", [to.step("Neg", [images])])])
    return to.step("Sub", [to.step("Relu", [images]), below])


def _hard_swish(to: Nodes, one: Operator) -> str:
    images = to.given(one.inputs[0])
    gate = to.step("Relu6", [to.step("AddV2", [images, to.number(3.0)])])
    return to.step("Mul", [images, to.step("Mul", [gate, to.number(1 / 6)])])


def _gelu(to: Nodes, one: Operator) -> str:
    images = to.given(one.inputs[0])
    if one.options["approximate"]:
        cube = to.step("Mul", [to.step("Square", [images]), to.step("Mul", [images, to.number(0.044715)])])
        inside = to.step("Mul", [to.step("AddV2", [images, cube]), to.number(math.sqrt(2 / math.pi))])
        gate = to.step("Tanh", [inside])
    else:
        gate = to.step("Erf", [to.step("Mul", [images, to.number(math.sqrt(0.5))])])
    half = to.step("Mul", [images, to.number(0.5)])
    return to.step("Mul", [half, to.step("AddV2", [gate, to.number(1.0)])])


_INT = TYPES["int32"]
_WRITERS: Mapping[str, Callable[[Nodes, Operator], str]] = {
    "CONV_2D": _conv, "DEPTHWISE_CONV_2D": _conv, "FULLY_CONNECTED": _connected,
    "MAX_POOL_2D": _pool("MaxPool"), "AVERAGE_POOL_2D": _pool("AvgPool"),
    "MEAN": _reduced("Mean"), "SUM": _reduced("Sum"), "REDUCE_MAX": _reduced("Max"),
    "RELU": _plain("Relu"), "RELU6": _plain("Relu6"), "TANH": _plain("Tanh"), "LOGISTIC": _plain("Sigmoid"),
    "EXP": _plain("Exp"), "ELU": _plain("Elu"), "SQUARE": _plain("Square"), "SQRT": _plain("Sqrt"),
    "RSQRT": _plain("Rsqrt"), "POW": _plain("Pow"), "SOFTMAX": _plain("Softmax"), "ADD": _plain("AddV2"),
    "SUB": _plain("Sub"), "MUL": _plain("Mul"), "DIV": _plain("RealDiv"), "MAXIMUM": _plain("Maximum"),
    "MINIMUM": _plain("Minimum"), "PAD": _plain("Pad", Tpaddings=_INT), "PADV2": _plain("PadV2", Tpaddings=_INT),
    "RESHAPE": _plain("Reshape", Tshape=_INT), "TRANSPOSE": _plain("Transpose", Tperm=_INT),
    "LEAKY_RELU": lambda to, one: to.step(
        "LeakyRelu", [to.given(one.inputs[0])], _FLOAT | {"alpha": float(one.options["alpha"])}
    ),
    "CONCATENATION": _concat, "GATHER": _gather, "STRIDED_SLICE": _sliced, "CAST": _cast, "PRELU": _prelu,
    "HARD_SWISH": _hard_swish, "GELU": _gelu, "RESIZE_BILINEAR": _resized("ResizeBilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resized("ResizeNearestNeighbor"),
}  # fmt: skip
