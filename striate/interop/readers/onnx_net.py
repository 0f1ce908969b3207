"""Operators of ONNX as layers: those that exporters write for image classifiers.

Source: ONNX's Operators.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from striate.errors import RequestError, shown, unknown
from striate.interop.readers.layer_shapes import whole
from striate.interop.readers.layers import Builder, Described, InputShape, pair
from striate.interop.readers.node_graph import Array, Attributes, Node, NodeGraph, sides_of


class Nodes:
    """Reads the nodes of a graph into layers.

    shape: channels, height and width of an image, where the graph does not say them.
    """

    def __init__(self, graph: NodeGraph, framework: str, shape: InputShape | None) -> None:
        self.graph, self.array = graph, graph.array
        self.maps = {graph.image: Builder.INPUT}  # of values, ours
        self.last_axis: set[str] = set()  # maps that the graph has with channels last, and ours first
        self.builder = Builder(framework, self._image(shape))

    def _image(self, shape: InputShape | None) -> InputShape:
        if len(self.graph.sides) != 4:
            raise RequestError(f"its input has {len(self.graph.sides)} dimensions: images of four are expected")
        found = self.graph.sides[1:]
        first = next((node for node in self.graph.nodes if self.graph.image in node.inputs), None)
        if found[2] in (1, 3) and first is not None and first.kind == "Transpose":
            found = (found[2], found[0], found[1])
            self.last_axis.add(self.graph.image)
        if None in found and shape is None:
            raise RequestError("it takes images of any size: give --input CHANNELS HEIGHT WIDTH")
        channels, height, width = (
            whole(given if side is None else side, "a side of its input", 1)
            for side, given in zip(found, shape or found, strict=True)
        )
        return channels, height, width

    def read(self) -> Described:
        """Every node in order."""
        for node in self.graph.nodes:
            try:
                self.maps[node.output] = self._node(node, ends=node.output == self.graph.output)
            except (IndexError, TypeError) as error:
                raise RequestError(f"node {node.name!r} ({node.kind}) is not as it should be") from error
        return self.builder.finished(self.map(self.graph.output))

    def _node(self, node: Node, *, ends: bool) -> str:
        if node.kind in ("Softmax", "LogSoftmax", "Sigmoid") and ends:
            kind = "sigmoid" if node.kind == "Sigmoid" else "softmax"
            return self.builder.ended(self.map(node.inputs[0]), kind, node.name)
        if node.kind not in _OPERATORS:
            raise unknown(f"operator of {self.builder.framework} {node.name[:80]!r}:", node.kind, _OPERATORS)
        return _OPERATORS[node.kind](self, node.name, node.at, node.inputs, node.output)

    def map(self, name: str) -> str:
        """Ours of a value. Raises RequestError for one that is no map of images."""
        if name not in self.maps:
            raise RequestError(f"a node takes {shown(name)}, which is no map of the image here")
        return self.maps[name]

    def given(self, inputs: Sequence[str], place: int) -> Array:
        """The array at a place of a node's inputs. Raises RequestError where it is computed, or missing."""
        found = self.array(inputs[place]) if place < len(inputs) else None
        if found is None:
            raise RequestError("a weight is computed, or missing: export the network again, with constant folding")
        return found

    def optional(self, inputs: Sequence[str], place: int) -> Array | None:
        return self.given(inputs, place) if place < len(inputs) and inputs[place] else None


def _convolution(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    source, weight = reader.map(inputs[0]), reader.given(inputs, 1)
    if weight.ndim != 4:
        raise RequestError(f"node {name!r} is a convolution of {weight.ndim - 2} dimensions; two are expected")
    kernel = (weight.shape[2], weight.shape[3])
    return reader.builder.convolution(
        source,
        name,
        weight,
        reader.optional(inputs, 2),
        stride=pair(list(at.get("strides", [1, 1])), "strides", 1),
        padding=sides_of(at, reader.builder.shape(source), kernel),
        dilation=pair(list(at.get("dilations", [1, 1])), "dilations", 1),
        groups=whole(at.get("group", 1), "group", 1, 100_000),
    )


def _matrix(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    """Gemm: alpha A B + beta C."""
    weight, bias = reader.given(inputs, 1), reader.optional(inputs, 2)
    if at.get("transA", 0) or weight.ndim != 2:
        raise RequestError(f"node {name!r} is a product of another kind than of a linear layer")
    weight = (weight if at.get("transB", 0) else weight.T) * np.float32(at.get("alpha", 1.0))
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), weight.shape[:1]) * np.float32(at.get("beta", 1.0))
    return reader.builder.linear(reader.map(inputs[0]), name, weight, bias)


def _product(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    weight = reader.given(inputs, 1)
    if weight.ndim != 2 or len(reader.builder.shape(reader.map(inputs[0]))) != 1:
        raise RequestError(f"node {name!r} is a product of another kind than of a linear layer")
    return reader.builder.linear(reader.map(inputs[0]), name, weight.T, None)


def _pool(kind: str) -> _Add:
    def add(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
        source, kernel = (
            reader.map(inputs[0]),
            pair(list(at["kernel_shape"]) if "kernel_shape" in at else None, "kernel", 1),
        )
        if at.get("storage_order", 0) or any(one != 1 for one in at.get("dilations", [])):
            raise RequestError(f"node {name!r} is a pooling with dilation, which is not known")
        return reader.builder.pool(
            kind,
            source,
            name,
            kernel=kernel,
            stride=pair(list(at.get("strides", [1, 1])), "strides", 1),
            padding=sides_of(at, reader.builder.shape(source), kernel),
            ceil=bool(at.get("ceil_mode", 0)),
            count_padding=bool(at.get("count_include_pad", 0)),
        )

    return add


def _global(kind: str) -> _Add:
    def add(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
        vector = reader.builder.add(kind, (reader.map(inputs[0]),), name)
        return reader.builder.add("unflatten", (vector,), f"{name}.map")

    return add


def _mean(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    axes = at.get("axes")
    if axes is None:
        axes = reader.given(inputs, 1).reshape(-1).tolist()
    last = inputs[0] in reader.last_axis
    if sorted(axis % 4 for axis in axes) != ([1, 2] if last else [2, 3]):
        raise RequestError(f"node {name!r} is a mean over the axes {shown(axes)}, and not of a map")
    vector = reader.builder.add("global_avg_pool", (reader.map(inputs[0]),), name)
    if not at.get("keepdims", 1):
        return vector
    if last:
        reader.last_axis.add(output)
    return reader.builder.add("unflatten", (vector,), f"{name}.map")


def _normalised(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    scale, shift, mean, variance = (reader.given(inputs, place) for place in (1, 2, 3, 4))
    return reader.builder.batch_norm(
        reader.map(inputs[0]), name, scale, shift, mean, variance, float(at.get("epsilon", 1e-5))
    )


def _lrn(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    numbers = {
        key: float(at.get(name, default))
        for key, name, default in (("alpha", "alpha", 1e-4), ("beta", "beta", 0.75), ("k", "bias", 1.0))
    }
    return reader.builder.add(
        "lrn", (reader.map(inputs[0]),), name, {"size": whole(at.get("size"), "size", 1, 1000), **numbers}
    )


def _flattened(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    source = reader.map(inputs[0])
    if at.get("axis", 1) not in (1, 1 - len(reader.builder.shape(source))):
        raise RequestError(f"node {name!r} flattens from the axis {at.get('axis')}")
    return _flat(reader, name, inputs[0])


def _flat(reader: Nodes, name: str, given: str) -> str:
    source = reader.map(given)
    if len(reader.builder.shape(source)) == 1:
        return source
    if given in reader.last_axis:
        return reader.builder.flattened_last(source, name)
    return reader.builder.add("flatten", (source,), name)


def _reshaped(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    shape = reader.builder.shape(reader.map(inputs[0]))
    wanted = [int(one) for one in reader.given(inputs, 1).reshape(-1)]
    count = math.prod(shape)
    if len(wanted) == 2 and wanted[1] in (-1, count):
        return _flat(reader, name, inputs[0])
    if len(shape) == 1 and len(wanted) == 4 and sorted(wanted[1:])[:2] == [1, 1]:
        if wanted[3] != 1:
            reader.last_axis.add(output)
        return reader.builder.add("unflatten", (reader.map(inputs[0]),), name)
    raise RequestError(f"node {name!r} reshapes {shape} to {wanted}: to vectors is known; was the batch fixed?")


def _squeezed(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    shape = reader.builder.shape(reader.map(inputs[0]))
    if len(shape) == 3 and shape[1:] != (1, 1):
        raise RequestError(f"node {name!r} squeezes a map of {shape}")
    return _flat(reader, name, inputs[0])


def _transposed(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    """Between maps with channels first and last: ours stay first."""
    order, last = list(at.get("perm", [])), inputs[0] in reader.last_axis
    if order == [0, 2, 3, 1] and not last:
        reader.last_axis.add(output)
    elif order != [0, 3, 1, 2] or not last:
        raise RequestError(f"node {name!r} puts the axes in the order {order}, which is not known here")
    reader.builder.note("a transposition between channels first and last is left out")
    return reader.map(inputs[0])


def _two(kind: str) -> _Add:
    """Add, Sub, Mul and Div: of two maps, or of a map and numbers."""

    def add(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
        held = [reader.array(one) for one in inputs]
        if held[0] is None and held[1] is None:
            operator = {"add": "add", "mul": "multiply"}.get(kind)
            if operator is None:
                raise RequestError(f"node {name!r} is a difference or quotient of two maps, which is not known")
            same = (inputs[0] in reader.last_axis) == (inputs[1] in reader.last_axis)
            if not same:
                raise RequestError(f"node {name!r} combines maps with channels first and last")
            if inputs[0] in reader.last_axis:
                reader.last_axis.add(output)
            maps = [reader.map(one) for one in inputs]
            maps.sort(key=lambda one: -math.prod(reader.builder.shape(one)))
            return reader.builder.add(operator, tuple(maps), name)
        place = 0 if held[1] is not None else 1
        value = held[1 - place]
        if value is None or (place == 1 and kind in ("sub", "div")):
            raise RequestError(f"node {name!r} is of numbers and a map in an order that is not known")
        return _scaled(reader, name, kind, inputs[place], value.astype(np.float32), output)

    return add


def _scaled(reader: Nodes, name: str, kind: str, given: str, value: Array, output: str) -> str:
    source, last = reader.map(given), given in reader.last_axis
    shape = reader.builder.shape(source)
    sides = list(value.shape[1:] if value.ndim == len(shape) + 1 else value.shape)
    axis = -1 if last or len(shape) == 1 else -3
    if value.size != 1 and (value.size != shape[0] or len(sides) < -axis or sides[axis] != shape[0]):
        raise RequestError(f"node {name!r} combines {shape} with an array of {value.shape}")
    wide = np.broadcast_to(value.reshape(-1), (shape[0],))
    layers = reader.builder.layers
    if (
        kind == "add"
        and layers
        and layers[-1].name == source
        and layers[-1].kind == "linear"
        and "bias" not in layers[-1].arrays
    ):
        return reader.builder.biased(wide)
    none = np.zeros_like(wide)
    if kind in ("add", "sub"):
        factor, shift = np.ones_like(wide), wide if kind == "add" else -wide
    elif kind == "mul":
        factor, shift = wide, none
    elif not wide.all():
        raise RequestError(f"node {name!r} divides by 0")
    else:
        factor, shift = 1 / wide, none
    if source in reader.builder.orders and value.size != 1:
        raise RequestError(f"node {name!r} scales a flattened map with channels last, which is not known")
    if last:
        reader.last_axis.add(output)
    return reader.builder.add("scale", (source,), name, {}, {"weight": factor, "bias": shift})


def _padded(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    pads = at["pads"] if "pads" in at else reader.given(inputs, 1).reshape(-1).tolist()
    value = reader.optional(inputs, 2)
    number = float(at.get("value", 0.0)) if value is None else float(value.reshape(-1)[0])
    if at.get("mode", "constant") != "constant" or len(pads) != 8 or any(pads[place] for place in (0, 1, 4, 5)):
        raise RequestError(f"node {name!r} pads by {shown(pads)} in the mode {shown(at.get('mode', 'constant'))}")
    if inputs[0] in reader.last_axis:
        raise RequestError(f"node {name!r} pads a map with channels last, which is not known")
    sides = [whole(int(one), "a padding") for one in pads]
    return reader.builder.padded(reader.map(inputs[0]), (sides[2], sides[6], sides[3], sides[7]), name, number)


def _clipped(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    limits = [reader.optional(inputs, place) for place in (1, 2)]
    least, most = (
        float(one.reshape(-1)[0]) if one is not None else at.get(key)
        for one, key in zip(limits, ("min", "max"), strict=True)
    )
    if (least, most) != (0, 6):
        raise RequestError(f"node {name!r} clips to {least} and {most}; a ReLU6 is known")
    return _follow(reader, name, "relu6", inputs[0], output)


def _concatenated(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    last = {one in reader.last_axis for one in inputs}
    maps = [reader.map(one) for one in inputs]
    rank = len(reader.builder.shape(maps[0])) + 1
    axis = at.get("axis", 1) % rank
    if len(last) != 1 or axis != (3 if True in last else 1) or any(one in reader.builder.orders for one in maps):
        raise RequestError(f"node {name!r} concatenates along the axis {at.get('axis')}, not the channels")
    if True in last:
        reader.last_axis.add(output)
    return reader.builder.add("concat", tuple(maps), name)


def _follow(
    reader: Nodes, name: str, kind: str, given: str, output: str, at: Attributes = MappingProxyType({}),
    arrays: Mapping[str, Array] = MappingProxyType({}),
) -> str:  # fmt: skip
    """A layer that changes values one by one."""
    if given in reader.last_axis:
        reader.last_axis.add(output)
    return reader.builder.add(kind, (reader.map(given),), name, at, arrays)


def _plain(kind: str) -> _Add:
    return lambda reader, name, at, inputs, output: _follow(reader, name, kind, inputs[0], output)


def _leaky(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    return _follow(reader, name, "leaky_relu", inputs[0], output, {"slope": float(at.get("alpha", 0.01))})


def _parametric(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    return _follow(reader, name, "prelu", inputs[0], output, arrays={"weight": reader.given(inputs, 1).reshape(-1)})


def _elu(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    if at.get("alpha", 1.0) != 1.0:
        raise RequestError(f"node {name!r} is an ELU of another alpha than 1")
    return _follow(reader, name, "elu", inputs[0], output)


def _through(reader: Nodes, name: str, at: Attributes, inputs: Sequence[str], output: str) -> str:
    if inputs[0] in reader.last_axis:
        reader.last_axis.add(output)
    return reader.map(inputs[0])


_Add = Callable[[Nodes, str, Attributes, Sequence[str], str], str]
_OPERATORS: Mapping[str, _Add] = MappingProxyType(
    {
        "Conv": _convolution,
        "Gemm": _matrix,
        "MatMul": _product,
        "MaxPool": _pool("max_pool"),
        "AveragePool": _pool("avg_pool"),
        "GlobalAveragePool": _global("global_avg_pool"),
        "GlobalMaxPool": _global("global_max_pool"),
        "ReduceMean": _mean,
        "BatchNormalization": _normalised,
        "LRN": _lrn,
        "Flatten": _flattened,
        "Reshape": _reshaped,
        "Squeeze": _squeezed,
        "Transpose": _transposed,
        "Add": _two("add"),
        "Sub": _two("sub"),
        "Mul": _two("mul"),
        "Div": _two("div"),
        "Pad": _padded,
        "Clip": _clipped,
        "Concat": _concatenated,
        "Relu": _plain("relu"),
        "Tanh": _plain("tanh"),
        "Sigmoid": _plain("sigmoid"),
        "Selu": _plain("selu"),
        "HardSwish": _plain("hardswish"),
        "Silu": _plain("silu"),
        "Gelu": _plain("gelu"),
        "LeakyRelu": _leaky,
        "PRelu": _parametric,
        "Elu": _elu,
        "Dropout": _through,
        "Identity": _through,
        "Cast": _through,
    }
)
