"""TensorFlow Lite's file format: a flatbuffer of tensors and operators, written without TensorFlow.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3; slots below are the fields in its order.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np

from striate.errors import RequestError
from striate.interop.nhwc import Operator, Steps, Tensor

LARGEST = 2_000_000_000  # bytes: offsets of a flatbuffer have 31 bits
CODES: Mapping[str, int] = {
    "ADD": 0, "AVERAGE_POOL_2D": 1, "CONCATENATION": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "DEQUANTIZE": 6,
    "FULLY_CONNECTED": 9,
    "LOCAL_RESPONSE_NORMALIZATION": 13, "LOGISTIC": 14, "MAX_POOL_2D": 17, "MUL": 18, "RELU": 19, "RELU6": 21,
    "RESHAPE": 22, "RESIZE_BILINEAR": 23, "SOFTMAX": 25, "TANH": 28, "PAD": 34, "GATHER": 36, "TRANSPOSE": 39,
    "MEAN": 40, "SUB": 41, "DIV": 42, "STRIDED_SLICE": 45, "EXP": 47, "CAST": 53, "PRELU": 54, "MAXIMUM": 55,
    "MINIMUM": 57, "PADV2": 60, "SUM": 74, "SQRT": 75, "RSQRT": 76, "POW": 78, "REDUCE_MAX": 82, "SQUARE": 92,
    "RESIZE_NEAREST_NEIGHBOR": 97, "LEAKY_RELU": 98, "ELU": 111, "QUANTIZE": 114, "HARD_SWISH": 117, "GELU": 150,
}  # fmt: skip
# Of each operator with options: the number of their table in the union, and their fields with slot and type.
OPTIONS: Mapping[str, tuple[int, Mapping[str, tuple[int, str]]]] = {
    "CONV_2D": (1, {"padding": (0, "Int8"), "stride_w": (1, "Int32"), "stride_h": (2, "Int32"),
                    "activation": (3, "Int8"), "dilation_w": (4, "Int32"), "dilation_h": (5, "Int32")}),
    "DEPTHWISE_CONV_2D": (2, {"padding": (0, "Int8"), "stride_w": (1, "Int32"), "stride_h": (2, "Int32"),
                              "multiplier": (3, "Int32"), "activation": (4, "Int8"), "dilation_w": (5, "Int32"),
                              "dilation_h": (6, "Int32")}),
    "AVERAGE_POOL_2D": (5, {"padding": (0, "Int8"), "stride_w": (1, "Int32"), "stride_h": (2, "Int32"),
                            "kernel_w": (3, "Int32"), "kernel_h": (4, "Int32"), "activation": (5, "Int8")}),
    "FULLY_CONNECTED": (8, {"activation": (0, "Int8")}),
    "SOFTMAX": (9, {"beta": (0, "Float32")}),
    "CONCATENATION": (10, {"axis": (0, "Int32"), "activation": (1, "Int8")}),
    "ADD": (11, {"activation": (0, "Int8")}),
    "LOCAL_RESPONSE_NORMALIZATION": (13, {"radius": (0, "Int32"), "bias": (1, "Float32"), "alpha": (2, "Float32"),
                                          "beta": (3, "Float32")}),
    "RESIZE_BILINEAR": (15, {"align_corners": (2, "Bool"), "half_pixel_centers": (3, "Bool")}),
    "RESHAPE": (17, {}),
    "MUL": (21, {"activation": (0, "Int8")}),
    "PAD": (22, {}),
    "GATHER": (23, {"axis": (0, "Int32")}),
    "TRANSPOSE": (26, {}),
    "MEAN": (27, {"keep": (0, "Bool")}),
    "SUB": (28, {"activation": (0, "Int8")}),
    "DIV": (29, {"activation": (0, "Int8")}),
    "STRIDED_SLICE": (32, {"begin_mask": (0, "Int32"), "end_mask": (1, "Int32")}),
    "EXP": (33, {}),
    "CAST": (37, {"given": (0, "Int8"), "into": (1, "Int8")}),
    "MAXIMUM": (39, {}),
    "PADV2": (43, {}),
    "POW": (56, {}),
    "SQUARE": (66, {}),
    "RESIZE_NEAREST_NEIGHBOR": (74, {"align_corners": (0, "Bool"), "half_pixel_centers": (1, "Bool")}),
    "LEAKY_RELU": (75, {"alpha": (0, "Float32")}),
    "HARD_SWISH": (91, {}),
    "GELU": (116, {"approximate": (0, "Bool")}),
}  # fmt: skip
_AS: Mapping[str, str] = {"MAX_POOL_2D": "AVERAGE_POOL_2D", "SUM": "MEAN", "REDUCE_MAX": "MEAN", "MINIMUM": "MAXIMUM"}
# Versions of operators that are not 1: below it a runtime may take other arguments.
_VERSIONS: Mapping[str, int] = {"RESIZE_BILINEAR": 3, "RESIZE_NEAREST_NEIGHBOR": 3, "STRIDED_SLICE": 4, "GELU": 1}
# With integers of 8 bits among its inputs.
_INT8_VERSIONS: Mapping[str, int] = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4,
} | dict.fromkeys(("ADD", "SUB", "MUL", "MEAN", "RELU", "RELU6", "LEAKY_RELU", "CONCATENATION", "MAX_POOL_2D", "PAD",
                   "AVERAGE_POOL_2D", "TRANSPOSE", "PADV2", "GATHER", "LOGISTIC", "TANH", "DEQUANTIZE"), 2)  # fmt: skip
TYPES: Mapping[str, int] = {"float32": 0, "int32": 2, "uint8": 3, "int8": 9}


def tflite_content(steps: Steps, output: str, metadata: Mapping[str, bytes]) -> bytes:
    """The file: from "images" to `output`.

    Raises RequestError for weights that such a file cannot hold.
    """
    constants = [one.values.tobytes() for one in steps.tensors if one.values is not None]
    if (size := sum(map(len, constants))) > LARGEST:
        raise RequestError(f"the weights are over {LARGEST / 1e9:g} GB, which a .tflite file cannot hold")
    build = flatbuffers.Builder(size + 65536)
    # The first buffer is the empty one, of tensors that are computed.
    buffers = _vector(build, [_buffer(build, one) for one in [b"", *constants, *metadata.values()]])
    codes = sorted({one.code for one in steps.operators})
    tables = [_table(build, {0: ("Int8", min(CODES[code], 127)), 2: ("Int32", _version(steps, code)),
                             3: ("Int32", CODES[code])}) for code in codes]  # fmt: skip
    operator_codes = _vector(build, tables)
    numbers = itertools.count(1)
    tensors = [_tensor(build, one, 0 if one.values is None else next(numbers)) for one in steps.tensors]
    parts = _vector(build, tensors), _ints(build, [steps.images]), _ints(build, [steps.result])
    operators = _vector(build, [_operator(build, codes, one) for one in steps.operators])
    held = (*parts, operators, build.CreateString("main"))
    subgraphs = _vector(build, [_table(build, {place: ("Offset", one) for place, one in enumerate(held)})])
    signatures = _vector(build, [_signature(build, steps, output)])
    keys = [(build.CreateString(key), 1 + len(constants) + place) for place, key in enumerate(metadata)]
    told = _vector(build, [_table(build, {0: ("Offset", key), 1: ("Uint32", number)}) for key, number in keys])
    description = build.CreateString("written by striate")
    build.Finish(
        _table(build, {0: ("Uint32", 3), 1: ("Offset", operator_codes), 2: ("Offset", subgraphs),
                       3: ("Offset", description), 4: ("Offset", buffers), 6: ("Offset", told),
                       7: ("Offset", signatures)}),
        b"TFL3",
    )  # fmt: skip
    return bytes(build.Output())


def _version(steps: Steps, code: str) -> int:
    """Of an operator: below it a runtime may take other arguments, or no int8."""
    held = [steps.tensors[number] for one in steps.operators if one.code == code for number in one.inputs]
    eight = any(one.type == "int8" for one in held)
    return max(_VERSIONS.get(code, 1), _INT8_VERSIONS.get(code, 1) if eight else 1)


def _vector(build: Any, offsets: Sequence[int]) -> int:
    build.StartVector(4, len(offsets), 4)
    for one in reversed(offsets):
        build.PrependUOffsetTRelative(one)
    return int(build.EndVector())


def _signature(build: Any, steps: Steps, output: str) -> int:
    """What a runtime calls by names: images -> the output."""
    maps = []
    for name, number in (("images", steps.images), (output, steps.result)):
        called = build.CreateString(name)
        maps.append(_vector(build, [_table(build, {0: ("Offset", called), 1: ("Uint32", number)})]))
    key = build.CreateString("serving_default")
    return _table(build, {0: ("Offset", maps[0]), 1: ("Offset", maps[1]), 2: ("Offset", key)})


def _table(build: Any, fields: Mapping[int, tuple[str, Any]]) -> int:
    """A table with these fields: by slot, type and value."""
    build.StartObject(max(fields, default=-1) + 1)
    for slot, (kind, value) in fields.items():
        if kind == "Offset":
            build.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            getattr(build, f"Prepend{kind}Slot")(slot, value, None)
    return int(build.EndObject())


def _ints(build: Any, values: Sequence[int]) -> int:
    return int(build.CreateNumpyVector(np.array(values, np.int32)))


def _buffer(build: Any, content: bytes) -> int:
    if not content:
        return _table(build, {})
    build.StartVector(1, len(content), 16)
    build.head -= len(content)
    build.Bytes[build.head : build.head + len(content)] = content
    return _table(build, {0: ("Offset", build.EndVector())})


def _tensor(build: Any, one: Tensor, buffer: int) -> int:
    fields: dict[int, tuple[str, Any]] = {0: ("Offset", _ints(build, one.shape)), 1: ("Int8", TYPES[one.type])}
    fields[2], fields[3] = ("Uint32", buffer), ("Offset", build.CreateString(one.name))
    if one.scales is not None:
        scales = int(build.CreateNumpyVector(np.array(one.scales, np.float32)))
        zeros = int(build.CreateNumpyVector(np.full(len(one.scales), one.zero, np.int64)))
        fields[4] = "Offset", _table(build, {2: ("Offset", scales), 3: ("Offset", zeros), 6: ("Int32", one.axis)})
    if one.of_images:
        fields[7] = "Offset", _ints(build, (-1, *one.shape[1:]))  # any number of images
    return _table(build, fields)


def _operator(build: Any, codes: Sequence[str], one: Operator) -> int:
    fields: dict[int, tuple[str, Any]] = {0: ("Uint32", codes.index(one.code))}
    fields[1], fields[2] = ("Offset", _ints(build, one.inputs)), ("Offset", _ints(build, [one.result]))
    kind = _AS.get(one.code, one.code)
    if kind in OPTIONS:
        number, slots = OPTIONS[kind]
        held = _table(build, {slots[name][0]: (slots[name][1], value) for name, value in one.options.items()})
        fields[3], fields[4] = ("Uint8", number), ("Offset", held)
    return _table(build, fields)
