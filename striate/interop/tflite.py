"""A graph as a TensorFlow Lite file: maps [N, H, W, C], operators that every runtime has, without TensorFlow.

Batch normalisation is folded into convolutions, ReLU and ReLU6 joined with what is before them, as TensorFlow's own
converter does. Padding that is not TensorFlow's SAME is an operator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from striate.errors import RequestError
from striate.interop.channels_last import ChannelsLast, axis_last, moved, shape_last
from striate.interop.graph import Array, Graph, Row
from striate.interop.passes import folded, for_prediction, same_padding, scale_and_shift
from striate.interop.tflite_file import TFLiteFile

_LOWEST = float(np.finfo(np.float32).min)
_FUSED = {"relu": 1, "relu6": 3}


def tflite(graph: Graph, output: str, metadata: Mapping[str, bytes]) -> bytes:
    """The file's content: "images" [N, H, W, C], of the graph's type, -> `output`, the graph's one output.

    Raises RequestError for rows that TensorFlow Lite has no operator for, by their names.
    """
    return _Writer(folded(for_prediction(graph))).content(output, metadata)


class _Writer:
    """Writes one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.file, self.users = graph, TFLiteFile(), graph.users()
        self.layout = ChannelsLast(graph)
        self.tensors: dict[str, int] = {}
        self.joined: dict[str, str] = {}  # an activation's name -> the row that computes it, too
        self.rows = {row.name: row for row in graph.rows}

    def content(self, output: str, metadata: Mapping[str, bytes]) -> bytes:
        for row in self.graph.rows:
            if row.name in self.joined:
                self.tensors[row.name] = self.tensors[self.joined[row.name]]
            elif row.operator == "input":
                self.tensors[row.name] = self.file.value("images", shape_last(row.shape), row.type)
            elif row.operator != "constant":
                if row.operator not in _ROWS:
                    raise RequestError(f"row {row.name}: TensorFlow Lite has no operator for {row.operator}")
                self.tensors[row.name] = _ROWS[row.operator](self, row)
        (result,) = self.graph.outputs
        return self.file.content(self.tensors[self.graph.input.name], {output: self.tensors[result]}, metadata)

    def given(self, row: Row, place: int = 0) -> int:
        return self.tensors[row.inputs[place]]

    def shape(self, row: Row, place: int = 0) -> tuple[int, ...]:
        """Of an input, as the graph has it."""
        return self.rows[row.inputs[place]].shape

    def number(self, value: float | Array) -> int:
        """A constant number, or several."""
        return self.file.constant(np.asarray(value, np.float32))

    def step(
        self,
        row: Row,
        code: str,
        inputs: Sequence[int],
        options: Mapping[str, Any] | None = None,
        shape: Sequence[int] | None = None,
    ) -> int:
        """An operator; its result is of the row's shape, channels last, unless `shape` is given."""
        result = self.file.value(row.name, shape_last(row.shape) if shape is None else shape)
        return self.file.operator(code, inputs, result, options)

    def activation(self, row: Row) -> int:
        """The activation after a row, which the row then computes, too: 0 for none."""
        after = self.users[row.name]
        if len(after) != 1 or row.name in self.graph.outputs:
            return 0
        at = after[0].attributes
        six = after[0].operator == "clip" and (at["least"], at["most"]) == (0.0, 6.0)
        kind = _FUSED.get("relu6" if six else after[0].operator, 0)
        if kind:
            self.joined[after[0].name] = row.name
        return kind

    def padded(self, row: Row, given: int, sides: Sequence[tuple[int, int]], value: float = 0.0) -> int:
        """A map [N, H, W, C] with more rows and columns."""
        if not any(any(side) for side in sides):
            return given
        channels, height, width = self.shape(row)
        amounts = self.file.constant(np.array([(0, 0), *sides, (0, 0)], np.int32))
        shape = (height + sum(sides[0]), width + sum(sides[1]), channels)
        if value == 0:
            return self.step(row, "PAD", (given, amounts), {}, shape)
        return self.step(row, "PADV2", (given, amounts, self.number(value)), {}, shape)

    def windowed(self, row: Row, kernel: Sequence[int], value: float = 0.0) -> tuple[int, int]:
        """The input of a convolution or pooling, padded where SAME would pad otherwise; and 0 for SAME, 1 for VALID."""
        at, (_, *above) = row.attributes, self.shape(row)
        pads = same_padding(above, kernel, at["stride"])
        fits = [-(-side // step) for side, step in zip(above, at["stride"], strict=True)] == list(row.shape[1:])
        if fits and all(before == pad for (before, _), pad in zip(pads, at["padding"], strict=True)):
            return self.given(row), 0
        return self.padded(row, self.given(row), self.sides(row, kernel), value), 1

    def sides(self, row: Row, kernel: Sequence[int]) -> list[tuple[int, int]]:
        """What a convolution or pooling needs before and after each axis."""
        at, (_, *above) = row.attributes, self.shape(row)
        windows = zip(row.shape[1:], at["stride"], kernel, above, at["padding"], strict=True)
        return [(pad, max(0, (count - 1) * step + size - side - pad)) for count, step, size, side, pad in windows]


def _conv(writer: _Writer, row: Row) -> int:
    at, weight, channels = row.attributes, writer.graph.held(row, "weight"), writer.shape(row)[0]
    outputs, _, *kernel = weight.shape
    dilation = at["dilation"]
    spread = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    given, padding = writer.windowed(row, spread)
    options = {
        "padding": padding, "stride_h": at["stride"][0], "stride_w": at["stride"][1], "dilation_h": dilation[0],
        "dilation_w": dilation[1], "activation": writer.activation(row),
    }  # fmt: skip
    bias = writer.graph.array(row, "bias")
    summand = np.zeros(outputs, np.float32) if bias is None else bias
    if at["groups"] == channels > 1:  # depthwise
        turned = writer.file.constant(weight.transpose(1, 2, 3, 0), f"{row.name}.weight")
        options["multiplier"] = outputs // channels
        return writer.step(row, "DEPTHWISE_CONV_2D", (given, turned, writer.file.constant(summand)), options)
    if at["groups"] == 1:
        turned = writer.file.constant(weight.transpose(0, 2, 3, 1), f"{row.name}.weight")
        return writer.step(row, "CONV_2D", (given, turned, writer.file.constant(summand)), options)
    return _grouped(writer, row, given, weight.transpose(0, 2, 3, 1), summand, options)


def _grouped(writer: _Writer, row: Row, given: int, weight: Array, bias: Array, options: Mapping[str, Any]) -> int:
    """A convolution of groups as one of each, of a part of the channels: not all runtimes take groups."""
    groups, inputs = row.attributes["groups"], weight.shape[-1]
    outputs = len(weight) // groups
    sides = writer.file.shape(given)[:-1]
    parts = []
    for group in range(groups):
        begin, end = [0, 0, 0, group * inputs], [0, 0, 0, (group + 1) * inputs]
        taken = _sliced(writer, row, given, (begin, end, [1] * 4), 3, (*sides, inputs))
        chosen = slice(group * outputs, (group + 1) * outputs)
        held = writer.file.constant(weight[chosen]), writer.file.constant(bias[chosen])
        parts.append(writer.step(row, "CONV_2D", (taken, *held), options, (*row.shape[1:], outputs)))
    return writer.step(row, "CONCATENATION", parts, {"axis": 3, "activation": 0})


def _sliced(
    writer: _Writer, row: Row, given: int, steps: Sequence[Sequence[int]], axis: int, shape: Sequence[int]
) -> int:
    """A part of one axis, all of the others."""
    all_else = sum(1 << place for place in range(len(steps[0])) if place != axis)
    held = [writer.file.constant(np.array(one, np.int32)) for one in steps]
    masks = {"begin_mask": all_else, "end_mask": all_else}
    return writer.step(row, "STRIDED_SLICE", (given, *held), masks, shape)


def _linear(writer: _Writer, row: Row) -> int:
    if len(row.shape) != 1:
        raise RequestError(f"row {row.name}: TensorFlow Lite takes a linear row of vectors, not of {row.shape}")
    weight = writer.graph.held(row, "weight")
    if (order := writer.layout.order(row.inputs[0])) is not None:
        weight = weight[:, order]  # the flattened map has its channels last
    bias = writer.graph.array(row, "bias")
    summand = np.zeros(len(weight), np.float32) if bias is None else bias
    held = writer.file.constant(weight, f"{row.name}.weight"), writer.file.constant(summand)
    return writer.step(row, "FULLY_CONNECTED", (writer.given(row), *held), {"activation": writer.activation(row)})


def _pool(code: str) -> Callable[[_Writer, Row], int]:
    def write(writer: _Writer, row: Row) -> int:
        at = row.attributes
        if at.get("dilation", (1, 1)) != (1, 1):
            raise RequestError(f"row {row.name}: TensorFlow Lite has no pooling with dilation")
        given, padding = writer.windowed(row, at["kernel"], _LOWEST if code == "MAX_POOL_2D" else 0.0)
        average = code == "AVERAGE_POOL_2D"
        if average and not padding and any(at["padding"]) and at["count_padding"]:  # which SAME does not count
            given, padding = writer.padded(row, writer.given(row), writer.sides(row, at["kernel"])), 1
        options = {
            "padding": padding, "stride_h": at["stride"][0], "stride_w": at["stride"][1], "kernel_h": at["kernel"][0],
            "kernel_w": at["kernel"][1], "activation": 0,
        }  # fmt: skip
        pooled = writer.step(row, code, (given,), options)
        return _counted(writer, row, pooled) if average and padding else pooled

    return write


def _counted(writer: _Writer, row: Row, pooled: int) -> int:
    """An average over whole windows, where torch divides by fewer pixels at the border, corrected."""
    at, (_, *above) = row.attributes, writer.shape(row)
    ones, size = torch.ones(1, 1, *above), at["kernel"][0] * at["kernel"][1]
    given = at["kernel"], at["stride"], at["padding"], at["ceil"]
    found = torch.nn.functional.avg_pool2d(ones, *given, at["count_padding"])
    inside = torch.nn.functional.avg_pool2d(ones, *given, True, divisor_override=size)
    factor = (found / inside)[0, 0, :, :, None].numpy()
    if np.allclose(factor, 1):
        return pooled
    return writer.step(row, "MUL", (pooled, writer.file.constant(factor)), {"activation": 0})


def _reduced(code: str) -> Callable[[_Writer, Row], int]:
    def write(writer: _Writer, row: Row) -> int:
        count = len(writer.shape(row))
        axes = np.array(sorted(axis_last(axis, count) for axis in row.attributes["axes"]), np.int32)
        keep = row.attributes["keep"]
        left = [axis for axis in range(count) if axis not in row.attributes["axes"]]
        if not keep and len(left) == 2 and count > 2 and set(left) != {count - 2, count - 1}:
            raise RequestError(f"row {row.name}: a {row.operator} that leaves two axes is not written")
        return writer.step(row, code, (writer.given(row), writer.file.constant(axes)), {"keep": keep})

    return write


def _plain(code: str, options: Mapping[str, Any] | None = None) -> Callable[[_Writer, Row], int]:
    return lambda writer, row: writer.step(row, code, (writer.given(row),), options)


def _binary(code: str) -> Callable[[_Writer, Row], int]:
    def write(writer: _Writer, row: Row) -> int:
        inputs = [_operand(writer, row, place) for place in range(2)]
        options = {} if code == "MAXIMUM" else {"activation": writer.activation(row)}
        return writer.step(row, code, inputs, options)

    return write


def _operand(writer: _Writer, row: Row, place: int) -> int:
    source, count = writer.rows[row.inputs[place]], len(row.shape)
    if source.operator != "constant":
        if len(source.shape) != count:
            raise RequestError(f"row {row.name}: {source.shape} is not broadcast to {row.shape} in TensorFlow Lite")
        return writer.tensors[source.name]
    values = writer.graph.held(source, "value")
    values = values.reshape((1,) * (count - values.ndim) + values.shape)
    return writer.file.constant(moved(values) if count > 2 else values)


def _scaled(writer: _Writer, row: Row, given: int, scale: float | Array, offset: float | Array) -> int:
    """given * scale + offset, without what changes nothing."""
    if not np.all(np.asarray(scale) == 1):
        given = writer.step(row, "MUL", (given, writer.number(scale)), {"activation": 0})
    if np.any(offset):
        given = writer.step(row, "ADD", (given, writer.number(offset)), {"activation": 0})
    return given


def _affine(writer: _Writer, row: Row) -> int:
    return _scaled(writer, row, writer.given(row), row.attributes["scale"], row.attributes["offset"])


def _batch_norm(writer: _Writer, row: Row) -> int:
    return _scaled(writer, row, writer.given(row), *scale_and_shift(writer.graph, row))


def _clip(writer: _Writer, row: Row) -> int:
    given, least, most = writer.given(row), row.attributes["least"], row.attributes["most"]
    if (least, most) == (0.0, 6.0):
        return writer.step(row, "RELU6", (given,))
    for code, limit in (("MAXIMUM", least), ("MINIMUM", most)):
        if math.isfinite(limit):
            given = writer.step(row, code, (given, writer.number(limit)), {})
    return given


def _silu(writer: _Writer, row: Row) -> int:
    gate = writer.step(row, "LOGISTIC", (writer.given(row),))
    return writer.step(row, "MUL", (writer.given(row), gate), {"activation": 0})


def _hard_sigmoid(writer: _Writer, row: Row) -> int:
    shifted = _scaled(writer, row, writer.given(row), 1.0, 3.0)
    return _scaled(writer, row, writer.step(row, "RELU6", (shifted,)), 1 / 6, 0.0)


def _elu(writer: _Writer, row: Row, alpha: float | None = None) -> int:
    """relu(x) + alpha * elu(min(x, 0)): TensorFlow Lite's ELU has an alpha of 1."""
    alpha = row.attributes["alpha"] if alpha is None else alpha
    given = writer.given(row)
    if alpha == 1:
        return writer.step(row, "ELU", (given,))
    below = writer.step(row, "MINIMUM", (given, writer.number(0.0)), {})
    below = _scaled(writer, row, writer.step(row, "ELU", (below,)), alpha, 0.0)
    return writer.step(row, "ADD", (writer.step(row, "RELU", (given,)), below), {"activation": 0})


def _selu(writer: _Writer, row: Row) -> int:
    return _scaled(writer, row, _elu(writer, row, 1.6732632423543772), 1.0507009873554805, 0.0)


def _prelu(writer: _Writer, row: Row) -> int:
    weight = np.broadcast_to(writer.graph.held(row, "weight"), row.shape[:1])
    held = weight.reshape((1,) * (len(row.shape) - 1) + (-1,))
    return writer.step(row, "PRELU", (writer.given(row), writer.file.constant(held)))


def _power(writer: _Writer, row: Row) -> int:
    exponent, given = row.attributes["exponent"], writer.given(row)
    code = {2.0: "SQUARE", 0.5: "SQRT", -0.5: "RSQRT"}.get(exponent)
    if code:
        return writer.step(row, code, (given,), {} if code == "SQUARE" else None)
    return writer.step(row, "POW", (given, writer.number(exponent)), {})


def _lrn(writer: _Writer, row: Row) -> int:
    """The sum over channels as a 1 x 1 convolution of the squares: runtimes differ in LOCAL_RESPONSE_NORMALIZATION."""
    at, channels, given = row.attributes, row.shape[0], writer.given(row)
    each, place = channels // at["groups"], np.arange(channels)
    near = np.abs(place[:, None] - place[None]) <= at["size"] // 2
    band = near & (place[:, None] // each == place[None] // each)
    squares = writer.step(row, "SQUARE", (given,), {})
    weight = writer.file.constant((band * at["alpha"])[:, None, None, :])
    bias = writer.file.constant(np.full(channels, at["k"], np.float32))
    options = {"padding": 1, "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "activation": 0}
    total = writer.step(row, "CONV_2D", (squares, weight, bias), options)
    factor = writer.step(row, "POW", (total, writer.number(-at["beta"])), {})
    return writer.step(row, "MUL", (given, factor), {"activation": 0})


def _softmax(writer: _Writer, row: Row) -> int:
    count = len(row.shape)
    if axis_last(row.attributes["axis"], count) != count:
        raise RequestError(f"row {row.name}: TensorFlow Lite's softmax is over the channels")
    return writer.step(row, "SOFTMAX", (writer.given(row),), {"beta": 1.0})


def _concat(writer: _Writer, row: Row) -> int:
    parts = [writer.tensors[name] for name in row.inputs]
    axis = axis_last(row.attributes["axis"], len(row.shape))
    return writer.step(row, "CONCATENATION", parts, {"axis": axis, "activation": 0})


def _gather(writer: _Writer, row: Row) -> int:
    indices = writer.file.constant(writer.graph.held(row, "indices").astype(np.int32))
    axis = axis_last(row.attributes["axis"], len(row.shape))
    return writer.step(row, "GATHER", (writer.given(row), indices), {"axis": axis})


def _reshape(writer: _Writer, row: Row) -> int:
    given, above, below = writer.given(row), writer.shape(row), row.shape
    before, after = writer.layout.turns(row)
    if before:
        given = _turned(writer, row, given, before, above)
    target = below if after else shape_last(below)
    held = writer.file.constant(np.array((-1, *target), np.int32))
    given = writer.step(row, "RESHAPE", (given, held), {}, target)
    return _turned(writer, row, given, after, shape_last(below)) if after else given


def _turned(writer: _Writer, row: Row, given: int, order: Sequence[int], shape: Sequence[int]) -> int:
    held = writer.file.constant(np.array(order, np.int32))
    return writer.step(row, "TRANSPOSE", (given, held), {}, shape)


def _transpose(writer: _Writer, row: Row) -> int:
    return _turned(writer, row, writer.given(row), writer.layout.order_of_axes(row), shape_last(row.shape))


def _slice(writer: _Writer, row: Row) -> int:
    at, count = row.attributes, len(row.shape)
    axis = axis_last(at["axis"], count)
    steps = [[0] * (count + 1), [0] * (count + 1), [1] * (count + 1)]
    for values, value in zip(steps, (at["start"], at["stop"], at["step"]), strict=True):
        values[axis] = value
    return _sliced(writer, row, writer.given(row), steps, axis, shape_last(row.shape))


def _pad(writer: _Writer, row: Row) -> int:
    at, count = row.attributes, len(row.shape)
    amounts = np.zeros((count + 1, 2), np.int32)
    for axis in range(count):
        amounts[axis_last(axis, count)] = at["before"][axis], at["after"][axis]
    if (amounts < 0).any():
        raise RequestError(f"row {row.name}: TensorFlow Lite has no padding of less than 0")
    held = writer.file.constant(amounts)
    if at["value"] == 0:
        return writer.step(row, "PAD", (writer.given(row), held), {})
    value = max(at["value"], _LOWEST)
    return writer.step(row, "PADV2", (writer.given(row), held, writer.number(value)), {})


def _resize(writer: _Writer, row: Row) -> int:
    at = row.attributes
    size, bilinear = writer.file.constant(np.array(at["size"], np.int32)), at["mode"] == "bilinear"
    options = {"align_corners": at["align_corners"], "half_pixel_centers": bilinear and not at["align_corners"]}
    code = "RESIZE_BILINEAR" if bilinear else "RESIZE_NEAREST_NEIGHBOR"
    return writer.step(row, code, (writer.given(row), size), options)


_ROWS: Mapping[str, Callable[[_Writer, Row], int]] = {
    "cast": _plain("CAST", {"given": 3, "into": 0}),
    "conv": _conv, "linear": _linear, "batch_norm": _batch_norm, "lrn": _lrn,
    "max_pool": _pool("MAX_POOL_2D"), "avg_pool": _pool("AVERAGE_POOL_2D"),
    "mean": _reduced("MEAN"), "sum": _reduced("SUM"), "max": _reduced("REDUCE_MAX"),
    "relu": _plain("RELU"), "tanh": _plain("TANH"), "sigmoid": _plain("LOGISTIC"), "exp": _plain("EXP", {}),
    "hard_swish": _plain("HARD_SWISH", {}), "silu": _silu, "hard_sigmoid": _hard_sigmoid, "elu": _elu, "selu": _selu,
    "prelu": _prelu, "clip": _clip,
    "leaky_relu": lambda writer, row: writer.step(
        row, "LEAKY_RELU", (writer.given(row),), {"alpha": row.attributes["slope"]}
    ),
    "gelu": lambda writer, row: writer.step(
        row, "GELU", (writer.given(row),), {"approximate": row.attributes["approximate"] == "tanh"}
    ),
    "softmax": _softmax, "add": _binary("ADD"), "sub": _binary("SUB"), "mul": _binary("MUL"), "div": _binary("DIV"),
    "maximum": _binary("MAXIMUM"), "affine": _affine, "power": _power, "concat": _concat, "gather": _gather,
    "reshape": _reshape, "transpose": _transpose, "slice": _slice, "pad": _pad, "resize": _resize,
}  # fmt: skip
