"""ATen operators as rows of a graph: for each, a function of the recorder and the node that adds the row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import fx

from striate.errors import RequestError

Node = Any  # fx.Node, whose arguments are of many types


class Recorder(Protocol):
    """What the functions below need of `striate.interop.aten`."""

    def add(
        self,
        node: Node,
        operator: str,
        inputs: Sequence[Any],
        attributes: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Any] | None = None,
    ) -> str: ...

    def value(self, given: Any) -> Any: ...

    def is_row(self, given: Any) -> bool: ...

    def shape(self, given: Any) -> tuple[int, ...]: ...


One = Callable[[Recorder, Node], str | None]


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def _argument(node: Node, place: int, name: str, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def _axis(record: Recorder, node: Node, axis: int) -> int:
    """An axis of torch, counted from all images, as that of one image. Raises RequestError for the images' own."""
    inputs = node.args[0][0] if isinstance(node.args[0], list | tuple) else node.args[0]
    found = axis % (len(record.shape(inputs)) + 1)
    if found == 0:
        raise RequestError(f"{node.target} is along the axis of the images, which a graph keeps apart")
    return int(found) - 1


def _result(node: Node) -> tuple[int, ...]:
    """The shape of one image's result, as torch recorded it."""
    return tuple(int(side) for side in node.meta["val"].shape[1:])


def _conv(record: Recorder, node: Node) -> str:
    x, weight = node.args[:2]
    padding = _argument(node, 4, "padding", 0)
    if isinstance(padding, str):
        if padding != "valid":
            raise RequestError("a convolution with padding='same' is not exported; give the padding in pixels")
        padding = 0
    attributes = {
        "stride": _pair(_argument(node, 3, "stride", 1)),
        "padding": _pair(padding),
        "dilation": _pair(_argument(node, 5, "dilation", 1)),
        "groups": _argument(node, 6, "groups", 1),
    }
    return record.add(node, "conv", (x,), attributes, {"weight": weight, "bias": _argument(node, 2, "bias", None)})


def _conv_transpose(record: Recorder, node: Node) -> str:
    x, weight = node.args[:2]
    attributes = {
        "stride": _pair(_argument(node, 3, "stride", 1)),
        "padding": _pair(_argument(node, 4, "padding", 0)),
        "output_padding": _pair(_argument(node, 5, "output_padding", 0)),
        "groups": _argument(node, 6, "groups", 1),
        "dilation": _pair(_argument(node, 7, "dilation", 1)),
    }
    arrays = {"weight": weight, "bias": _argument(node, 2, "bias", None)}
    return record.add(node, "conv_transpose", (x,), attributes, arrays)


def _linear(record: Recorder, node: Node) -> str:
    arrays = {"weight": node.args[1], "bias": _argument(node, 2, "bias", None)}
    return record.add(node, "linear", (node.args[0],), None, arrays)


def _batch_norm(record: Recorder, node: Node) -> str:
    x, weight, bias, mean, variance, training, momentum, epsilon = node.args[:8]
    if training or mean is None:
        raise RequestError("a batch normalisation without stored statistics makes images depend on each other")
    arrays = {"weight": weight, "bias": bias, "mean": mean, "variance": variance}
    return record.add(node, "batch_norm", (x,), {"epsilon": epsilon, "momentum": momentum}, arrays)


def _group_norm(record: Recorder, node: Node) -> str:
    attributes = {"groups": node.args[1], "epsilon": _argument(node, 4, "eps", 1e-5)}
    arrays = {"weight": _argument(node, 2, "weight", None), "bias": _argument(node, 3, "bias", None)}
    return record.add(node, "group_norm", (node.args[0],), attributes, arrays)


def _pool_sizes(node: Node) -> dict[str, Any]:
    kernel = _pair(node.args[1])
    stride = _argument(node, 2, "stride", None)
    return {"kernel": kernel, "stride": _pair(stride) if stride else kernel}


def _max_pool(record: Recorder, node: Node, row: str = "max_pool") -> str:
    attributes = {
        **_pool_sizes(node),
        "padding": _pair(_argument(node, 3, "padding", 0)),
        "dilation": _pair(_argument(node, 4, "dilation", 1)),
        "ceil": bool(_argument(node, 5, "ceil_mode", False)),
    }
    return record.add(node, row, (node.args[0],), attributes)


def _avg_pool(record: Recorder, node: Node) -> str:
    if _argument(node, 6, "divisor_override", None):
        raise RequestError("an average pooling with divisor_override is not a row of a graph")
    attributes = {
        **_pool_sizes(node),
        "padding": _pair(_argument(node, 3, "padding", 0)),
        "ceil": bool(_argument(node, 4, "ceil_mode", False)),
        "count_padding": bool(_argument(node, 5, "count_include_pad", True)),
    }
    return record.add(node, "avg_pool", (node.args[0],), attributes)


def _adaptive(row: str, whole: str) -> One:
    def add(record: Recorder, node: Node) -> str:
        sides, into = record.shape(node.args[0])[1:], _pair(node.args[1])
        if into == (1, 1):
            return record.add(node, whole, (node.args[0],), {"axes": (1, 2), "keep": True})
        if any(side % size for side, size in zip(sides, into, strict=True)):
            raise RequestError(f"an adaptive pooling of {sides} to {into} has windows of several sizes")
        kernel = tuple(side // size for side, size in zip(sides, into, strict=True))
        return record.add(node, row, (node.args[0],), {"kernel": kernel, "stride": kernel})

    return add


def _reduced(row: str) -> One:
    def add(record: Recorder, node: Node) -> str:
        over = _argument(node, 1, "dim", None)
        over = over if over else range(1, len(record.shape(node.args[0])) + 1)
        axes = tuple(sorted(_axis(record, node, one) for one in ([over] if isinstance(over, int) else over)))
        keep = bool(_argument(node, 2, "keepdim", False))
        return record.add(node, row, (node.args[0],), {"axes": axes, "keep": keep})

    return add


def _getitem(record: Recorder, node: Node) -> str | None:
    source, place = node.args
    target = str(source.target)
    if target.startswith("aten.max_pool2d_with_indices"):
        row = "max_pool" if place == 0 else "max_places"
        return _max_pool(record, source, row)
    if target == "aten.max.dim":
        return _reduced("max")(record, source) if place == 0 else None
    if target == "aten.unbind.int":
        return _part(record, node, source, _argument(source, 1, "dim", 0), place)
    axis = _argument(source, 2, "dim", 0)
    start = sum(int(one.shape[axis]) for one in source.meta["val"][:place])
    axis = _axis(record, source, axis)
    attributes = {"axis": axis, "start": start, "stop": start + _result(node)[axis]}
    return record.add(node, "slice", (source.args[0],), attributes)


def _part(record: Recorder, node: Node, source: Node, axis: int, place: int) -> str:
    """The place of an axis, without the axis."""
    axis = _axis(record, source, axis)
    place %= record.shape(source.args[0])[axis]
    part = record.add(node, "slice", (source.args[0],), {"axis": axis, "start": place, "stop": place + 1})
    return record.add(node, "reshape", (part,), {"shape": _result(node)})


def _nothing(record: Recorder, node: Node) -> None:
    """No result, or several: each is a row where it is taken."""


def _same(record: Recorder, node: Node) -> str:
    return record.add(node, "reshape", (node.args[0],), {"shape": record.shape(node.args[0])})


def _reshape(record: Recorder, node: Node) -> str:
    if node.meta["val"].shape[0] != node.args[0].meta["val"].shape[0]:
        raise RequestError(f"{node.target} changes the axis of the images, which a graph keeps apart")
    return record.add(node, "reshape", (node.args[0],), {"shape": _result(node)})


def _transpose(record: Recorder, node: Node) -> str:
    axes = list(range(len(record.shape(node.args[0]))))
    one, other = (_axis(record, node, axis) for axis in node.args[1:3])
    axes[one], axes[other] = other, one
    return record.add(node, "transpose", (node.args[0],), {"axes": tuple(axes)})


def _permute(record: Recorder, node: Node) -> str:
    order = node.args[1]
    if order[0] != 0:
        raise RequestError("permute moves the axis of the images, which a graph keeps apart")
    axes = tuple(_axis(record, node, axis) for axis in order[1:])
    return record.add(node, "transpose", (node.args[0],), {"axes": axes})


def _slice(record: Recorder, node: Node) -> str:
    axis = _axis(record, node, _argument(node, 1, "dim", 0))
    length = record.shape(node.args[0])[axis]
    start, stop = (_argument(node, 2, "start", None) or 0), _argument(node, 3, "end", None)
    stop = length if stop is None else min(length, stop if stop >= 0 else stop + length)
    start = start if start >= 0 else max(0, start + length)
    attributes = {"axis": axis, "start": start, "stop": stop, "step": _argument(node, 4, "step", 1)}
    return record.add(node, "slice", (node.args[0],), attributes)


def _select(record: Recorder, node: Node) -> str:
    return _part(record, node, node, node.args[1], node.args[2])


def _pad(record: Recorder, node: Node) -> str:
    sides: Any = node.args[1]
    mode, value = _argument(node, 2, "mode", "constant"), _argument(node, 3, "value", None)
    if mode != "constant":
        raise RequestError(f"padding of the kind {mode} is not a row of a graph")
    count = len(record.shape(node.args[0]))
    if len(sides) > 2 * count:
        raise RequestError("pad pads the axis of the images, which a graph keeps apart")
    before, after = [0] * count, [0] * count
    for place in range(len(sides) // 2):
        before[count - 1 - place], after[count - 1 - place] = sides[2 * place], sides[2 * place + 1]
    attributes = {"before": tuple(before), "after": tuple(after), "value": float(value or 0.0)}
    return record.add(node, "pad", (node.args[0],), attributes)


def _resize(mode: str) -> One:
    def add(record: Recorder, node: Node) -> str:
        corners = mode == "bilinear" and bool(_argument(node, 2, "align_corners", False))
        attributes = {"size": _result(node)[1:], "mode": mode, "align_corners": corners}
        return record.add(node, "resize", (node.args[0],), attributes)

    return add


def _binary(row: str) -> One:
    def add(record: Recorder, node: Node) -> str:
        x, other = node.args[:2]
        factor = float(_argument(node, 2, "alpha", 1))
        if factor != 1:
            scaled = record.is_row(other)
            other = record.add(node, "affine", (other,), {"scale": factor}) if scaled else factor * record.value(other)
        if isinstance(x, fx.Node) and isinstance(other, int | float):
            scalar = float(other)
            affine = {
                "add": (1.0, scalar), "sub": (1.0, -scalar), "mul": (scalar, 0.0),
                "div": (1 / scalar if scalar else math.inf, 0.0),
            }[row]  # fmt: skip
            return record.add(node, "affine", (x,), {"scale": affine[0], "offset": affine[1]})
        return record.add(node, row, (x, other))

    return add


def _rsub(record: Recorder, node: Node) -> str:
    x, other = node.args[:2]
    if isinstance(other, int | float) and float(_argument(node, 2, "alpha", 1)) == 1:
        return record.add(node, "affine", (x,), {"scale": -1.0, "offset": float(other)})
    return record.add(node, "sub", (other, x))


def _concat(record: Recorder, node: Node) -> str:
    parts: Any = node.args[0]
    return record.add(node, "concat", parts, {"axis": _axis(record, node, _argument(node, 1, "dim", 0))})


def _index(record: Recorder, node: Node) -> str:
    places: Any = node.args[1]
    given = [(axis, one) for axis, one in enumerate(places) if one is not None]
    if len(given) != 1 or given[0][0] == 0 or record.is_row(given[0][1]) or record.value(given[0][1]).ndim != 1:
        raise RequestError("an index by several arrays, or by what a network computes, is not a row of a graph")
    return record.add(node, "gather", (node.args[0],), {"axis": given[0][0] - 1}, {"indices": given[0][1]})


def _scatter(record: Recorder, node: Node) -> str:
    into, axis, places, values = node.args[:4]
    held = record.value(into) if not record.is_row(into) else None
    shape = record.shape(places)
    if held is None or bool(held.any()) or int(axis) % (len(shape) + 1) != len(shape):
        raise RequestError("scatter is a row only along the last axis, into zeros")
    return record.add(node, "scatter", (places, values), {"size": int(held.shape[-1])})


def _clip(node: Node, least: float = -math.inf, most: float = math.inf) -> dict[str, Any]:
    low, high = _argument(node, 1, "min", None), _argument(node, 2, "max", None)
    return {"least": least if low is None else float(low), "most": most if high is None else float(high)}


def _simple(row: str, attributes: Callable[[Node], dict[str, Any]] | None = None) -> One:
    return lambda record, node: record.add(node, row, (node.args[0],), attributes(node) if attributes else None)


def _prelu(record: Recorder, node: Node) -> str:
    return record.add(node, "prelu", (node.args[0],), None, {"weight": node.args[1]})


def _softmax(record: Recorder, node: Node) -> str:
    return record.add(node, "softmax", (node.args[0],), {"axis": _axis(record, node, node.args[1])})


ROWS: Mapping[str, One] = {
    "aten.conv2d.default": _conv, "aten.conv2d.padding": _conv, "aten.conv_transpose2d.input": _conv_transpose,
    "aten.linear.default": _linear, "aten.batch_norm.default": _batch_norm, "aten.group_norm.default": _group_norm,
    "aten.max_pool2d.default": _max_pool, "aten.avg_pool2d.default": _avg_pool,
    "aten._assert_tensor_metadata.default": _nothing,
    "aten.max_pool2d_with_indices.default": _nothing, "aten.max.dim": _nothing, "aten.unbind.int": _nothing,
    "aten.split.Tensor": _nothing, "aten.split_with_sizes.default": _nothing, "aten.chunk.default": _nothing,
    "<built-in function getitem>": _getitem,
    "aten.adaptive_avg_pool2d.default": _adaptive("avg_pool", "mean"),
    "aten.adaptive_max_pool2d.default": _adaptive("max_pool", "max"),
    "aten.mean.dim": _reduced("mean"), "aten.sum.dim_IntList": _reduced("sum"), "aten.amax.default": _reduced("max"),
    "aten.relu.default": _simple("relu"), "aten.selu.default": _simple("selu"), "aten.tanh.default": _simple("tanh"),
    "aten.relu_.default": _simple("relu"), "aten.silu_.default": _simple("silu"),
    "aten.hardtanh_.default": _simple("clip", lambda node: _clip(node, -1.0, 1.0)),
    "aten.relu6.default": _simple("clip", lambda node: {"least": 0.0, "most": 6.0}),
    "aten.relu6_.default": _simple("clip", lambda node: {"least": 0.0, "most": 6.0}),
    "aten.sigmoid.default": _simple("sigmoid"), "aten.silu.default": _simple("silu"),
    "aten.exp.default": _simple("exp"),
    "aten.hardswish.default": _simple("hard_swish"), "aten.hardsigmoid.default": _simple("hard_sigmoid"),
    "aten.clamp.default": _simple("clip", _clip), "aten.clamp_min.default": _simple("clip", _clip),
    "aten.hardtanh.default": _simple("clip", lambda node: _clip(node, -1.0, 1.0)),
    "aten.leaky_relu.default": _simple("leaky_relu", lambda node: {"slope": float(_argument(node, 1, "slope", 0.01))}),
    "aten.elu.default": _simple("elu", lambda node: {"alpha": float(_argument(node, 1, "alpha", 1.0))}),
    "aten.gelu.default": _simple("gelu", lambda node: {"approximate": _argument(node, 1, "approximate", "none")}),
    "aten.prelu.default": _prelu, "aten.softmax.int": _softmax,
    "aten.dropout.default": _simple("dropout", lambda node: {"rate": float(node.args[1])}),
    "aten.feature_dropout.default": _simple(
        "dropout", lambda node: {"rate": float(node.args[1]), "channels": True}
    ),
    "aten.add.Tensor": _binary("add"), "aten.sub.Tensor": _binary("sub"), "aten.mul.Tensor": _binary("mul"),
    "aten.div.Tensor": _binary("div"), "aten.rsub.Scalar": _rsub, "aten.add_.Tensor": _binary("add"),
    "aten.mul_.Tensor": _binary("mul"), "aten.neg.default": _simple("affine", lambda node: {"scale": -1.0}),
    "aten.maximum.default": lambda record, node: record.add(node, "maximum", node.args[:2]),
    "aten.pow.Tensor_Scalar": _simple("power", lambda node: {"exponent": float(node.args[1])}),
    "aten.square.default": _simple("power", lambda node: {"exponent": 2.0}),
    "aten.sqrt.default": _simple("power", lambda node: {"exponent": 0.5}),
    "aten.rsqrt.default": _simple("power", lambda node: {"exponent": -0.5}),
    "aten.cat.default": _concat, "aten.index.Tensor": _index, "aten.scatter.src": _scatter,
    "aten.flatten.using_ints": _reshape, "aten.view.default": _reshape, "aten.reshape.default": _reshape,
    "aten.unflatten.int": _reshape, "aten.view_as.default": _reshape, "aten.squeeze.dim": _reshape,
    "aten.squeeze.dims": _reshape, "aten.unsqueeze.default": _reshape, "aten._unsafe_view.default": _reshape,
    "aten.transpose.int": _transpose, "aten.permute.default": _permute,
    "aten.slice.Tensor": _slice, "aten.select.int": _select, "aten.pad.default": _pad,
    "aten.upsample_bilinear2d.vec": _resize("bilinear"), "aten.upsample_nearest2d.vec": _resize("nearest"),
    "aten.alias.default": _same, "aten.contiguous.default": _same, "aten.detach.default": _same,
    "aten.clone.default": _same, "aten.to.dtype": _simple("cast"), "aten._to_copy.default": _simple("cast"),
}  # fmt: skip
