"""Convolutions, linear layers, poolings and normalisation as operators of `striate.interop.nhwc`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from striate.interop.graph import Array, Row
from striate.interop.nhwc_lowering import LOWEST, Lowering
from striate.interop.passes import scale_and_shift


def conv(to: Lowering, row: Row) -> int:
    """A convolution, depthwise or of groups, too."""
    at, weight, channels = row.attributes, to.graph.held(row, "weight"), to.shape(row)[0]
    outputs, _, *kernel = weight.shape
    dilation = at["dilation"]
    spread = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    given, padding = to.windowed(row, spread)
    options = {
        "padding": padding, "stride_h": at["stride"][0], "stride_w": at["stride"][1], "dilation_h": dilation[0],
        "dilation_w": dilation[1], "activation": to.activation(row),
    }  # fmt: skip
    bias = to.graph.array(row, "bias")
    summand = np.zeros(outputs, np.float32) if bias is None else bias
    if at["groups"] == channels > 1:  # depthwise
        turned = to.steps.constant(weight.transpose(1, 2, 3, 0), f"{row.name}.weight")
        options["multiplier"] = outputs // channels
        return to.step(row, "DEPTHWISE_CONV_2D", (given, turned, to.steps.constant(summand)), options)
    if at["groups"] == 1:
        turned = to.steps.constant(weight.transpose(0, 2, 3, 1), f"{row.name}.weight")
        return to.step(row, "CONV_2D", (given, turned, to.steps.constant(summand)), options)
    return _grouped(to, row, given, weight.transpose(0, 2, 3, 1), summand, options)


def _grouped(to: Lowering, row: Row, given: int, weight: Array, bias: Array, options: Mapping[str, Any]) -> int:
    """A convolution of groups as one of each, of a part of the channels: not all runtimes take groups."""
    groups, inputs = row.attributes["groups"], weight.shape[-1]
    outputs = len(weight) // groups
    sides = to.steps.shape(given)[:-1]
    parts = []
    for group in range(groups):
        begin, end = [0, 0, 0, group * inputs], [0, 0, 0, (group + 1) * inputs]
        taken = to.sliced(row, given, (begin, end, [1] * 4), 3, (*sides, inputs))
        chosen = slice(group * outputs, (group + 1) * outputs)
        held = to.steps.constant(weight[chosen]), to.steps.constant(bias[chosen])
        parts.append(to.step(row, "CONV_2D", (taken, *held), options, (*row.shape[1:], outputs)))
    return to.step(row, "CONCATENATION", parts, {"axis": 3, "activation": 0})


def linear(to: Lowering, row: Row) -> int:
    """A linear layer of vectors."""
    if len(row.shape) != 1:
        raise to.refused(row, f"takes a linear row of vectors, not of {row.shape}")
    weight = to.graph.held(row, "weight")
    if (order := to.layout.order(row.inputs[0])) is not None:
        weight = weight[:, order]  # the flattened map has its channels last
    bias = to.graph.array(row, "bias")
    summand = np.zeros(len(weight), np.float32) if bias is None else bias
    held = to.steps.constant(weight, f"{row.name}.weight"), to.steps.constant(summand)
    return to.step(row, "FULLY_CONNECTED", (to.given(row), *held), {"activation": to.activation(row)})


def pool(code: str) -> Callable[[Lowering, Row], int]:
    """What writes a pooling: MAX_POOL_2D or AVERAGE_POOL_2D."""

    def write(to: Lowering, row: Row) -> int:
        at = row.attributes
        if at.get("dilation", (1, 1)) != (1, 1):
            raise to.refused(row, "has no pooling with dilation")
        given, padding = to.windowed(row, at["kernel"], LOWEST if code == "MAX_POOL_2D" else 0.0)
        average = code == "AVERAGE_POOL_2D"
        if average and not padding and any(at["padding"]) and at["count_padding"]:  # which SAME does not count
            given, padding = to.padded(row, to.given(row), to.sides(row, at["kernel"])), 1
        options = {
            "padding": padding, "stride_h": at["stride"][0], "stride_w": at["stride"][1], "kernel_h": at["kernel"][0],
            "kernel_w": at["kernel"][1], "activation": 0,
        }  # fmt: skip
        pooled = to.step(row, code, (given,), options)
        return _counted(to, row, pooled) if average and padding else pooled

    return write


def _counted(to: Lowering, row: Row, pooled: int) -> int:
    """An average over whole windows, where torch divides by fewer pixels at the border, corrected."""
    at, (_, *above) = row.attributes, to.shape(row)
    ones, size = torch.ones(1, 1, *above), at["kernel"][0] * at["kernel"][1]
    given = at["kernel"], at["stride"], at["padding"], at["ceil"]
    found = torch.nn.functional.avg_pool2d(ones, *given, at["count_padding"])
    inside = torch.nn.functional.avg_pool2d(ones, *given, True, divisor_override=size)
    factor = (found / inside)[0, 0, :, :, None].numpy()
    if np.allclose(factor, 1):
        return pooled
    return to.step(row, "MUL", (pooled, to.steps.constant(factor)), {"activation": 0})


def lrn(to: Lowering, row: Row) -> int:
    """The sum over channels as a 1 x 1 convolution of the squares: runtimes differ in LOCAL_RESPONSE_NORMALIZATION."""
    at, channels, given = row.attributes, row.shape[0], to.given(row)
    each, place = channels // at["groups"], np.arange(channels)
    near = np.abs(place[:, None] - place[None]) <= at["size"] // 2
    band = near & (place[:, None] // each == place[None] // each)
    squares = to.step(row, "SQUARE", (given,), {})
    weight = to.steps.constant((band * at["alpha"])[:, None, None, :])
    bias = to.steps.constant(np.full(channels, at["k"], np.float32))
    options = {"padding": 1, "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "activation": 0}
    total = to.step(row, "CONV_2D", (squares, weight, bias), options)
    factor = to.step(row, "POW", (total, to.number(-at["beta"])), {})
    return to.step(row, "MUL", (given, factor), {"activation": 0})


def batch_norm(to: Lowering, row: Row) -> int:
    """A batch normalisation that no convolution is before."""
    return to.scaled(row, to.given(row), *scale_and_shift(to.graph, row))
