"""Every row of a graph as operators of `striate.interop.nhwc`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from striate.interop.channels_last import axis_last, moved, shape_last
from striate.interop.graph import Graph, Row
from striate.interop.nhwc import Steps
from striate.interop.nhwc_layers import batch_norm, conv, linear, lrn, pool
from striate.interop.nhwc_lowering import LOWEST, Lowering
from striate.interop.passes import folded, for_prediction


def _reduced(code: str) -> Callable[[Lowering, Row], int]:
    def write(to: Lowering, row: Row) -> int:
        count = len(to.shape(row))
        axes = np.array(sorted(axis_last(axis, count) for axis in row.attributes["axes"]), np.int32)
        keep = row.attributes["keep"]
        left = [axis for axis in range(count) if axis not in row.attributes["axes"]]
        if not keep and len(left) == 2 and count > 2 and set(left) != {count - 2, count - 1}:
            raise to.refused(row, f"has no {row.operator} here that leaves two axes")
        return to.step(row, code, (to.given(row), to.steps.constant(axes)), {"keep": keep})

    return write


def _plain(code: str, options: Mapping[str, Any] | None = None) -> Callable[[Lowering, Row], int]:
    return lambda to, row: to.step(row, code, (to.given(row),), options)


def _binary(code: str) -> Callable[[Lowering, Row], int]:
    def write(to: Lowering, row: Row) -> int:
        inputs = [_operand(to, row, place) for place in range(2)]
        options = {} if code == "MAXIMUM" else {"activation": to.activation(row)}
        return to.step(row, code, inputs, options)

    return write


def _operand(to: Lowering, row: Row, place: int) -> int:
    source, count = to.rows[row.inputs[place]], len(row.shape)
    if source.operator != "constant":
        if len(source.shape) != count:
            raise to.refused(row, f"does not broadcast {source.shape} to {row.shape}")
        return to.tensors[source.name]
    values = to.graph.held(source, "value")
    values = values.reshape((1,) * (count - values.ndim) + values.shape)
    return to.steps.constant(moved(values) if count > 2 else values)


def _affine(to: Lowering, row: Row) -> int:
    return to.scaled(row, to.given(row), row.attributes["scale"], row.attributes["offset"])


def _clip(to: Lowering, row: Row) -> int:
    given, least, most = to.given(row), row.attributes["least"], row.attributes["most"]
    if (least, most) == (0.0, 6.0):
        return to.step(row, "RELU6", (given,))
    for code, limit in (("MAXIMUM", least), ("MINIMUM", most)):
        if math.isfinite(limit):
            given = to.step(row, code, (given, to.number(limit)), {})
    return given


def _silu(to: Lowering, row: Row) -> int:
    gate = to.step(row, "LOGISTIC", (to.given(row),))
    return to.step(row, "MUL", (to.given(row), gate), {"activation": 0})


def _hard_sigmoid(to: Lowering, row: Row) -> int:
    shifted = to.scaled(row, to.given(row), 1.0, 3.0)
    return to.scaled(row, to.step(row, "RELU6", (shifted,)), 1 / 6, 0.0)


def _elu(to: Lowering, row: Row, alpha: float | None = None) -> int:
    """relu(x) + alpha * elu(min(x, 0)): TensorFlow Lite's ELU has an alpha of 1."""
    alpha = row.attributes["alpha"] if alpha is None else alpha
    given = to.given(row)
    if alpha == 1:
        return to.step(row, "ELU", (given,))
    below = to.step(row, "MINIMUM", (given, to.number(0.0)), {})
    below = to.scaled(row, to.step(row, "ELU", (below,)), alpha, 0.0)
    return to.step(row, "ADD", (to.step(row, "RELU", (given,)), below), {"activation": 0})


def _selu(to: Lowering, row: Row) -> int:
    return to.scaled(row, _elu(to, row, 1.6732632423543772), 1.0507009873554805, 0.0)


def _prelu(to: Lowering, row: Row) -> int:
    weight = np.broadcast_to(to.graph.held(row, "weight"), row.shape[:1])
    held = weight.reshape((1,) * (len(row.shape) - 1) + (-1,))
    return to.step(row, "PRELU", (to.given(row), to.steps.constant(held)))


def _power(to: Lowering, row: Row) -> int:
    exponent, given = row.attributes["exponent"], to.given(row)
    code = {2.0: "SQUARE", 0.5: "SQRT", -0.5: "RSQRT"}.get(exponent)
    if code:
        return to.step(row, code, (given,), {} if code == "SQUARE" else None)
    return to.step(row, "POW", (given, to.number(exponent)), {})


def _softmax(to: Lowering, row: Row) -> int:
    count = len(row.shape)
    if axis_last(row.attributes["axis"], count) != count:
        raise to.refused(row, "has a softmax over the channels alone")
    return to.step(row, "SOFTMAX", (to.given(row),), {"beta": 1.0})


def _concat(to: Lowering, row: Row) -> int:
    parts = [to.tensors[name] for name in row.inputs]
    axis = axis_last(row.attributes["axis"], len(row.shape))
    return to.step(row, "CONCATENATION", parts, {"axis": axis, "activation": 0})


def _gather(to: Lowering, row: Row) -> int:
    indices = to.steps.constant(to.graph.held(row, "indices").astype(np.int32))
    axis = axis_last(row.attributes["axis"], len(row.shape))
    return to.step(row, "GATHER", (to.given(row), indices), {"axis": axis})


def _reshape(to: Lowering, row: Row) -> int:
    given, above, below = to.given(row), to.shape(row), row.shape
    before, after = to.layout.turns(row)
    if before:
        given = _turned(to, row, given, before, above)
    target = below if after else shape_last(below)
    held = to.steps.constant(np.array((-1, *target), np.int32))
    given = to.step(row, "RESHAPE", (given, held), {}, target)
    return _turned(to, row, given, after, shape_last(below)) if after else given


def _turned(to: Lowering, row: Row, given: int, order: Sequence[int], shape: Sequence[int]) -> int:
    held = to.steps.constant(np.array(order, np.int32))
    return to.step(row, "TRANSPOSE", (given, held), {}, shape)


def _transpose(to: Lowering, row: Row) -> int:
    return _turned(to, row, to.given(row), to.layout.order_of_axes(row), shape_last(row.shape))


def _slice(to: Lowering, row: Row) -> int:
    at, count = row.attributes, len(row.shape)
    axis = axis_last(at["axis"], count)
    steps = [[0] * (count + 1), [0] * (count + 1), [1] * (count + 1)]
    for values, value in zip(steps, (at["start"], at["stop"], at["step"]), strict=True):
        values[axis] = value
    return to.sliced(row, to.given(row), steps, axis, shape_last(row.shape))


def _pad(to: Lowering, row: Row) -> int:
    at, count = row.attributes, len(row.shape)
    amounts = np.zeros((count + 1, 2), np.int32)
    for axis in range(count):
        amounts[axis_last(axis, count)] = at["before"][axis], at["after"][axis]
    if (amounts < 0).any():
        raise to.refused(row, "has no padding of less than 0")
    held = to.steps.constant(amounts)
    if at["value"] == 0:
        return to.step(row, "PAD", (to.given(row), held), {})
    value = max(at["value"], LOWEST)
    return to.step(row, "PADV2", (to.given(row), held, to.number(value)), {})


def _resize(to: Lowering, row: Row) -> int:
    at = row.attributes
    size, bilinear = to.steps.constant(np.array(at["size"], np.int32)), at["mode"] == "bilinear"
    options = {"align_corners": at["align_corners"], "half_pixel_centers": bilinear and not at["align_corners"]}
    code = "RESIZE_BILINEAR" if bilinear else "RESIZE_NEAREST_NEIGHBOR"
    return to.step(row, code, (to.given(row), size), options)


_ROWS: Mapping[str, Callable[[Lowering, Row], int]] = {
    "cast": _plain("CAST", {"given": 3, "into": 0}),
    "conv": conv, "linear": linear, "batch_norm": batch_norm, "lrn": lrn,
    "max_pool": pool("MAX_POOL_2D"), "avg_pool": pool("AVERAGE_POOL_2D"),
    "mean": _reduced("MEAN"), "sum": _reduced("SUM"), "max": _reduced("REDUCE_MAX"),
    "relu": _plain("RELU"), "tanh": _plain("TANH"), "sigmoid": _plain("LOGISTIC"), "exp": _plain("EXP", {}),
    "hard_swish": _plain("HARD_SWISH", {}), "silu": _silu, "hard_sigmoid": _hard_sigmoid, "elu": _elu, "selu": _selu,
    "prelu": _prelu, "clip": _clip,
    "leaky_relu": lambda to, row: to.step(
        row, "LEAKY_RELU", (to.given(row),), {"alpha": row.attributes["slope"]}
    ),
    "gelu": lambda to, row: to.step(
        row, "GELU", (to.given(row),), {"approximate": row.attributes["approximate"] == "tanh"}
    ),
    "softmax": _softmax, "add": _binary("ADD"), "sub": _binary("SUB"), "mul": _binary("MUL"), "div": _binary("DIV"),
    "maximum": _binary("MAXIMUM"), "affine": _affine, "power": _power, "concat": _concat, "gather": _gather,
    "reshape": _reshape, "transpose": _transpose, "slice": _slice, "pad": _pad, "resize": _resize,
}  # fmt: skip


def lowered(graph: Graph, framework: str) -> Steps:
    """The operators of a graph with one output.

    Raises RequestError for rows that have no operator, by their names.
    """
    to = Lowering(folded(for_prediction(graph)), framework)
    for row in to.graph.rows:
        if row.name in to.joined:
            to.tensors[row.name] = to.tensors[to.joined[row.name]]
        elif row.operator == "input":
            to.tensors[row.name] = to.steps.value("images", shape_last(row.shape), row.type)
        elif row.operator != "constant":
            if row.operator not in _ROWS:
                raise to.refused(row, f"has no operator for {row.operator}")
            to.tensors[row.name] = _ROWS[row.operator](to, row)
    (result,) = to.graph.outputs
    to.steps.images, to.steps.result = to.tensors[to.graph.input.name], to.tensors[result]
    return to.steps
