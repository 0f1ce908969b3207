"""The operators of a graph's rows: what each computes, in torch, and which attributes and arrays it takes.

All shapes, axes and sizes are those of one image: axis 0 of a map [C, H, W] is its channels. No operator lets one image
depend on another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import RequestError

Value = bool | int | float | str | tuple[int, ...]
Arrays = Mapping[str, Tensor]
# Attributes, arrays by their roles, inputs [N, ...], whether in training -> [N, ...]
Run = Callable[[Any, Arrays, Sequence[Tensor], bool], Tensor]


@dataclass(frozen=True)
class Operator:
    """run: what it computes. inputs: how many; None: one or more. attributes: with their defaults, `...` for none.

    arrays: the roles of its arrays; those of `optional` may be missing, those of `fixed` are no parameters to train.
    """

    run: Run
    inputs: int | None = 1
    attributes: Mapping[str, Any] = field(default_factory=dict)
    arrays: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()


def _conv(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    return F.conv2d(
        inputs[0], arrays["weight"], arrays.get("bias"), at["stride"], at["padding"], at["dilation"], at["groups"]
    )


def _conv_transpose(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    further = at["output_padding"], at["groups"], at["dilation"]
    return F.conv_transpose2d(inputs[0], arrays["weight"], arrays.get("bias"), at["stride"], at["padding"], *further)


def _linear(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    return F.linear(inputs[0], arrays["weight"], arrays.get("bias"))


def _batch_norm(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    statistics = arrays["mean"], arrays["variance"]
    scale = arrays.get("weight"), arrays.get("bias")
    return F.batch_norm(inputs[0], *statistics, *scale, training, at["momentum"], at["epsilon"])


def _group_norm(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    return F.group_norm(inputs[0], at["groups"], arrays.get("weight"), arrays.get("bias"), at["epsilon"])


def _max_pool(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    return F.max_pool2d(inputs[0], at["kernel"], at["stride"], at["padding"], at["dilation"], at["ceil"])


def _max_places(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    sizes = at["kernel"], at["stride"], at["padding"], at["dilation"], at["ceil"]
    return F.max_pool2d(inputs[0], *sizes, return_indices=True)[1]


def _avg_pool(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    return F.avg_pool2d(inputs[0], at["kernel"], at["stride"], at["padding"], at["ceil"], at["count_padding"])


def _lrn(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    parts = inputs[0].chunk(at["groups"], 1)
    # torch divides alpha by the size.
    made = [F.local_response_norm(x, at["size"], at["alpha"] * at["size"], at["beta"], at["k"]) for x in parts]
    return torch.cat(made, 1)


def _pad(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    before, after = at["before"], at["after"]
    if len(before) != inputs[0].ndim - 1 or len(after) != len(before):
        raise RequestError(f"pad takes a number for each of {inputs[0].ndim - 1} axes, before and after")
    sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    return F.pad(inputs[0], sides, value=at["value"])


def _resize(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    corners = at["align_corners"] if at["mode"] == "bilinear" else None
    return F.interpolate(inputs[0], at["size"], mode=at["mode"], align_corners=corners)


def _slice(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    index = (slice(None),) * (1 + at["axis"]) + (slice(at["start"], at["stop"], at["step"]),)
    if not 0 <= at["axis"] < inputs[0].ndim - 1:
        raise RequestError(f"there is no axis {at['axis']} of {inputs[0].ndim - 1}")
    return inputs[0][index]


def _gather(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    return inputs[0].index_select(1 + at["axis"], arrays["indices"])


def _scatter(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    places, values = inputs
    return values.new_zeros((*values.shape[:-1], at["size"])).scatter(-1, places, values)


def _constant(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    return arrays["value"][None]


def _reduced(function: Callable[..., Tensor]) -> Run:
    def run(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
        return function(inputs[0], dim=tuple(1 + axis for axis in at["axes"]), keepdim=at["keep"])

    return run


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return Operator(lambda at, arrays, inputs, training: function(inputs[0]))


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return Operator(lambda at, arrays, inputs, training: function(inputs[0], inputs[1]), 2)


def _with(function: Callable[[Tensor, Any], Tensor], attributes: Mapping[str, Any]) -> Operator:
    return Operator(lambda at, arrays, inputs, training: function(inputs[0], at), 1, attributes)


def _dropout(at: Any, arrays: Arrays, inputs: Sequence[Tensor], training: bool) -> Tensor:
    function = F.dropout2d if at["channels"] else F.dropout
    return function(inputs[0], at["rate"], training)


_WEIGHTS = ("weight", "bias")
_BIAS, _BOTH = frozenset({"bias"}), frozenset(_WEIGHTS)
_SIZES: Mapping[str, Any] = {"kernel": ..., "stride": ..., "padding": (0, 0), "dilation": (1, 1), "ceil": False}
_REDUCED: Mapping[str, Any] = {"axes": ..., "keep": False}
_STEPS: Mapping[str, Any] = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}

OPERATORS: Mapping[str, Operator] = {
    # `input`: the images, float32 or uint8; without a row above.
    "input": Operator(lambda at, arrays, inputs, training: inputs[0], 0, {"shape": ..., "type": "float32"}),
    "constant": Operator(_constant, 0, {}, ("value",), fixed=frozenset({"value"})),
    "cast": _unary(lambda x: x.float()),
    # weight [out, in / groups, kh, kw], and of conv_transpose [in, out / groups, kh, kw]; linear [out, in], last axis
    "conv": Operator(_conv, 1, _STEPS, _WEIGHTS, _BIAS),
    "conv_transpose": Operator(_conv_transpose, 1, {**_STEPS, "output_padding": (0, 0)}, _WEIGHTS, _BIAS),
    "linear": Operator(_linear, 1, {}, _WEIGHTS, _BIAS),
    # weight * (x - mean) / sqrt(variance + epsilon) + bias, along axis 0; momentum is torch's, of training alone
    "batch_norm": Operator(
        _batch_norm, 1, {"epsilon": 1e-5, "momentum": 0.1}, (*_WEIGHTS, "mean", "variance"), _BOTH,
        frozenset({"mean", "variance"}),
    ),
    "group_norm": Operator(_group_norm, 1, {"groups": ..., "epsilon": 1e-5}, _WEIGHTS, _BOTH),
    # a / (k + alpha * S)^beta, S the sum of squares of `size` channels: alpha is the paper's, not divided by size
    "lrn": Operator(_lrn, 1, {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0, "groups": 1}),
    # padding of a pooling takes part in no maximum, and in an average where count_padding
    "max_pool": Operator(_max_pool, 1, _SIZES),
    "max_places": Operator(_max_places, 1, _SIZES),  # of the maxima, in the flattened map
    "avg_pool": Operator(
        _avg_pool, 1,
        {"kernel": ..., "stride": ..., "padding": (0, 0), "ceil": False, "count_padding": True},
    ),
    "mean": Operator(_reduced(torch.mean), 1, _REDUCED),
    "sum": Operator(_reduced(torch.sum), 1, _REDUCED),
    "max": Operator(_reduced(torch.amax), 1, _REDUCED),
    "relu": _unary(F.relu), "selu": _unary(F.selu), "tanh": _unary(torch.tanh), "sigmoid": _unary(torch.sigmoid),
    "silu": _unary(F.silu), "hard_swish": _unary(F.hardswish), "hard_sigmoid": _unary(F.hardsigmoid),
    "exp": _unary(torch.exp),
    "prelu": Operator(lambda at, arrays, inputs, training: F.prelu(inputs[0], arrays["weight"]), 1, {}, ("weight",)),
    "clip": _with(lambda x, at: x.clamp(at["least"], at["most"]), {"least": ..., "most": ...}),
    "leaky_relu": _with(lambda x, at: F.leaky_relu(x, at["slope"]), {"slope": 0.01}),
    "elu": _with(lambda x, at: F.elu(x, at["alpha"]), {"alpha": 1.0}),
    "gelu": _with(lambda x, at: F.gelu(x, approximate=at["approximate"]), {"approximate": "none"}),
    "softmax": _with(lambda x, at: torch.softmax(x, 1 + at["axis"]), {"axis": 0}),
    "dropout": Operator(_dropout, 1, {"rate": 0.5, "channels": False}),
    # Two rows, whose shapes are broadcast
    "add": _binary(torch.add), "sub": _binary(torch.sub), "mul": _binary(torch.mul), "div": _binary(torch.div),
    "maximum": _binary(torch.maximum),
    "affine": _with(lambda x, at: x * at["scale"] + at["offset"], {"scale": 1.0, "offset": 0.0}),
    "power": _with(lambda x, at: x.pow(at["exponent"]), {"exponent": ...}),
    "concat": Operator(lambda at, arrays, inputs, training: torch.cat(list(inputs), 1 + at["axis"]), None, {"axis": 0}),
    "reshape": _with(lambda x, at: x.reshape(x.shape[0], *at["shape"]), {"shape": ...}),
    "transpose": _with(lambda x, at: x.permute(0, *(1 + axis for axis in at["axes"])), {"axes": ...}),
    "slice": Operator(_slice, 1, {"axis": ..., "start": 0, "stop": ..., "step": 1}),
    "pad": Operator(_pad, 1, {"before": ..., "after": ..., "value": 0.0}),
    "resize": Operator(_resize, 1, {"size": ..., "mode": "nearest", "align_corners": False}),
    "gather": Operator(_gather, 1, {"axis": 0}, ("indices",), fixed=frozenset({"indices"})),
    "scatter": Operator(_scatter, 2, {"size": ...}),  # places and values -> zeros with the values there, last axis
}  # fmt: skip
