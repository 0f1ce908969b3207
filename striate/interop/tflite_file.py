"""TensorFlow Lite's file format: a flatbuffer of tensors and operators, written without TensorFlow.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3; slots below are the fields in its order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError

LARGEST = 2_000_000_000  # bytes: offsets of a flatbuffer have 31 bits
CODES: Mapping[str, int] = {
    "ADD": 0, "AVERAGE_POOL_2D": 1, "CONCATENATION": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 9,
    "LOCAL_RESPONSE_NORMALIZATION": 13, "LOGISTIC": 14, "MAX_POOL_2D": 17, "MUL": 18, "RELU": 19, "RELU6": 21,
    "RESHAPE": 22, "RESIZE_BILINEAR": 23, "SOFTMAX": 25, "TANH": 28, "PAD": 34, "GATHER": 36, "TRANSPOSE": 39,
    "MEAN": 40, "SUB": 41, "DIV": 42, "STRIDED_SLICE": 45, "EXP": 47, "CAST": 53, "PRELU": 54, "MAXIMUM": 55,
    "MINIMUM": 57, "PADV2": 60, "SUM": 74, "SQRT": 75, "RSQRT": 76, "POW": 78, "REDUCE_MAX": 82, "SQUARE": 92,
    "RESIZE_NEAREST_NEIGHBOR": 97, "LEAKY_RELU": 98, "ELU": 111, "HARD_SWISH": 117, "GELU": 150,
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
TYPES: Mapping[str, int] = {"float32": 0, "int32": 2, "uint8": 3}


class TFLiteFile:
    """Collects tensors and operators, and writes them. Sizes have the images as their first axis, written 1."""

    def __init__(self) -> None:
        self._tensors: list[tuple[str, tuple[int, ...], int, int, bool]] = []  # name, shape, type, buffer, of images
        self._buffers: list[bytes] = [b""]  # the first is the empty one, of tensors that are computed
        self._operators: list[tuple[str, Sequence[int], int, Mapping[str, Any]]] = []
        self._kept: dict[tuple[Any, ...], int] = {}
        self._names: dict[str, int] = {}
        self._held = 0  # bytes of constants

    def value(self, name: str, shape: Sequence[int], kind: str = "float32") -> int:
        """A tensor that is computed, or the images; gives its number. shape: of one image."""
        return self._added(name, (1, *shape), TYPES[kind], 0, True)

    def constant(self, values: NDArray[Any], name: str = "constant") -> int:
        """A constant, float32 or int32; the same one is kept once."""
        values = np.asarray(values, np.int32 if values.dtype.kind in "iu" else np.float32)
        content = values.tobytes()
        key = content, values.shape, values.dtype.kind
        if key not in self._kept:
            self._buffers.append(content)
            self._held += len(content)
            if self._held > LARGEST:
                raise RequestError(f"the weights are over {LARGEST / 1e9:g} GB, which a .tflite file cannot hold")
            kind = TYPES[values.dtype.name]
            self._kept[key] = self._added(name, values.shape, kind, len(self._buffers) - 1, False)
        return self._kept[key]

    def _added(self, name: str, shape: tuple[int, ...], kind: int, buffer: int, of_images: bool) -> int:
        """A tensor; names are made different, because OpenVINO tells tensors by their names."""
        self._names[name] = self._names.get(name, 0) + 1
        name = name if self._names[name] == 1 else f"{name}:{self._names[name]}"
        self._tensors.append((name, shape, kind, buffer, of_images))
        return len(self._tensors) - 1

    def shape(self, number: int) -> tuple[int, ...]:
        """Of a tensor, for one image."""
        return self._tensors[number][1][1:]

    def operator(self, code: str, inputs: Sequence[int], result: int, options: Mapping[str, Any] | None = None) -> int:
        """An operator of `CODES`; gives its result."""
        self._operators.append((code, inputs, result, options or {}))
        return result

    def content(self, given: int, outputs: Mapping[str, int], metadata: Mapping[str, bytes]) -> bytes:
        """The file: from the tensor `given`, called "images", to `outputs` by their names."""
        build = flatbuffers.Builder(self._held + 65536)
        stored = list(metadata.items())
        numbers = {name: len(self._buffers) + place for place, (name, _) in enumerate(stored)}
        buffers = self._vector(build, [_buffer(build, one) for one in [*self._buffers, *(one for _, one in stored)]])
        codes = sorted({one[0] for one in self._operators})
        tables = [_table(build, {0: ("Int8", min(CODES[code], 127)), 2: ("Int32", _VERSIONS.get(code, 1)),
                                 3: ("Int32", CODES[code])}) for code in codes]  # fmt: skip
        operator_codes = self._vector(build, tables)
        tensors = self._vector(build, [_tensor(build, *one) for one in self._tensors])
        operators = self._vector(build, [_operator(build, codes, *one) for one in self._operators])
        inputs, results = _ints(build, [given]), _ints(build, list(outputs.values()))
        name = build.CreateString("main")
        graph = {place: ("Offset", one) for place, one in enumerate((tensors, inputs, results, operators, name))}
        subgraphs = self._vector(build, [_table(build, graph)])
        signatures = self._vector(build, [self._signature(build, given, outputs)])
        keys = [(build.CreateString(key), number) for key, number in numbers.items()]
        entries = [_table(build, {0: ("Offset", key), 1: ("Uint32", number)}) for key, number in keys]
        told = self._vector(build, entries)
        description = build.CreateString("written by striate")
        build.Finish(
            _table(build, {0: ("Uint32", 3), 1: ("Offset", operator_codes), 2: ("Offset", subgraphs),
                           3: ("Offset", description), 4: ("Offset", buffers), 6: ("Offset", told),
                           7: ("Offset", signatures)}),
            b"TFL3",
        )  # fmt: skip
        return bytes(build.Output())

    def _vector(self, build: Any, offsets: Sequence[int]) -> int:
        build.StartVector(4, len(offsets), 4)
        for one in reversed(offsets):
            build.PrependUOffsetTRelative(one)
        return int(build.EndVector())

    def _signature(self, build: Any, given: int, outputs: Mapping[str, int]) -> int:
        """What a runtime calls by names: images -> the outputs."""
        maps = []
        for named in ({"images": given}, outputs):
            keys = [(build.CreateString(name), number) for name, number in named.items()]
            tables = [_table(build, {0: ("Offset", key), 1: ("Uint32", number)}) for key, number in keys]
            maps.append(self._vector(build, tables))
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


def _tensor(build: Any, name: str, shape: tuple[int, ...], kind: int, buffer: int, of_images: bool) -> int:
    fields: dict[int, tuple[str, Any]] = {0: ("Offset", _ints(build, shape)), 1: ("Int8", kind), 2: ("Uint32", buffer)}
    fields[3] = "Offset", build.CreateString(name)
    if of_images:
        fields[7] = "Offset", _ints(build, (-1, *shape[1:]))  # any number of images
    return _table(build, fields)


def _operator(
    build: Any, codes: Sequence[str], code: str, inputs: Sequence[int], result: int, options: Mapping[str, Any]
) -> int:
    fields: dict[int, tuple[str, Any]] = {0: ("Uint32", codes.index(code))}
    fields[1], fields[2] = ("Offset", _ints(build, inputs)), ("Offset", _ints(build, [result]))
    kind = _AS.get(code, code)
    if kind in OPTIONS:
        number, slots = OPTIONS[kind]
        held = _table(build, {slots[name][0]: (slots[name][1], value) for name, value in options.items()})
        fields[3], fields[4] = ("Uint8", number), ("Offset", held)
    return _table(build, fields)
