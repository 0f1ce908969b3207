"""Networks in ONNX files, as layers: the operators that exporters write for image classifiers.

The file is parsed by `onnx`, which runs nothing in it; arrays in other files are refused. Source: ONNX's Operators.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from striate.errors import RequestError, printable, shown, unknown
from striate.interop.readers.layers import Builder, Described, InputShape, Sides, pair, same_padding, whole
from striate.reading import read_given

_LARGEST = 2**31  # bytes, which is protobuf's own limit
_MOST_NODES = 20_000
_TYPES = ("f", "i", "u", "b")
Array = NDArray[Any]
Attributes = Mapping[str, Any]


def read_onnx(path: Path, shape: InputShape | None = None) -> Described:
    """The network of a file. shape: channels, height and width of an image, where the file leaves them open.

    Raises RequestError for another file, arrays in other files, and operators that are not known.
    """
    try:
        model = onnx.ModelProto.FromString(read_given(path, "the network", _LARGEST))
    except (DecodeError, RuntimeError, ValueError) as error:
        raise RequestError("it is not an ONNX file, or is damaged") from error
    if not model.HasField("graph") or not model.graph.node:
        raise RequestError("it is not an ONNX file, or has no nodes")
    if len(model.graph.node) > _MOST_NODES:
        raise RequestError(f"it has {len(model.graph.node):,} nodes; at most {_MOST_NODES:,} are read")
    return _Reader(model.graph, shape).read()


class _Reader:
    def __init__(self, graph: Any, shape: InputShape | None) -> None:
        self.graph = graph
        self.arrays = {one.name: one for one in graph.initializer}
        self.values: dict[str, Array] = {}
        self.maps: dict[str, str] = {}  # of values, ours
        self.last_axis: set[str] = set()  # maps that the graph has with channels last, and ours first
        images = [one for one in graph.input if one.name not in self.arrays]
        if len(images) != 1 or len(graph.output) != 1:
            raise RequestError(f"it has {len(images)} inputs and {len(graph.output)} outputs; one of each is expected")
        self.builder = Builder("ONNX", self._image(images[0], shape))
        self.maps[images[0].name] = Builder.INPUT
        self.uses: dict[str, int] = {}
        for node in graph.node:
            for name in node.input:
                self.uses[name] = self.uses.get(name, 0) + 1

    def _image(self, value: Any, shape: InputShape | None) -> InputShape:
        tensor = value.type.tensor_type
        if tensor.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
            raise RequestError("its input is not of floats: it has its preprocessing inside")
        sides = [one.dim_value or None for one in tensor.shape.dim]
        if len(sides) != 4:
            raise RequestError(f"its input has {len(sides)} dimensions: images [N, C, H, W] are expected")
        found = sides[1:]
        first = next((node for node in self.graph.node if value.name in node.input), None)
        last = sides[3] in (1, 3) and first is not None and first.op_type == "Transpose"
        if last:
            found = [sides[3], sides[1], sides[2]]
            self.last_axis.add(value.name)
        if None in found and shape is None:
            raise RequestError("it takes images of any size: give --input CHANNELS HEIGHT WIDTH")
        channels, height, width = (
            whole(given if side is None else side, "a side of its input", 1)
            for side, given in zip(found, shape or found, strict=True)
        )
        return channels, height, width

    def read(self) -> Described:
        """Every node in order."""
        output = self.graph.output[0].name
        for node in self.graph.node:
            name = printable(node.name or node.op_type)[:200]
            if node.domain not in ("", "ai.onnx"):
                raise RequestError(f"node {name!r} is of {shown(node.domain)}, and not of ONNX")
            if len(node.output) < 1:
                raise RequestError(f"node {name!r} has no output")
            try:
                self._node(node, name, ends=node.output[0] == output)
            except (IndexError, TypeError) as error:
                raise RequestError(f"node {name!r} ({node.op_type}) is not as ONNX has it") from error
        return self.builder.finished(self.map(output))

    def _node(self, node: Any, name: str, *, ends: bool) -> None:
        at = {one.name: _attribute(one) for one in node.attribute}
        if node.op_type == "Constant":
            if "value" not in at:
                raise RequestError(f"node {name!r} is a constant of another kind than a tensor")
            self.values[node.output[0]] = at["value"]
            return
        if node.op_type in ("Softmax", "LogSoftmax", "Sigmoid") and ends:
            kind = "sigmoid" if node.op_type == "Sigmoid" else "softmax"
            self.maps[node.output[0]] = self.builder.ended(self.map(node.input[0]), kind, name)
            return
        if node.op_type not in _OPERATORS:
            raise unknown(f"operator of ONNX {name[:80]!r}:", node.op_type, _OPERATORS)
        self.maps[node.output[0]] = _OPERATORS[node.op_type](self, name, at, list(node.input), node.output[0])

    def map(self, name: str) -> str:
        """Ours of a value. Raises RequestError for one that is no map of images."""
        if name not in self.maps:
            raise RequestError(f"a node takes {shown(name)}, which is no map of the image here")
        return self.maps[name]

    def array(self, name: str) -> Array | None:
        """The array of a name; None for a map."""
        if name in self.arrays and name not in self.values:
            self.values[name] = _tensor(self.arrays[name])
        return self.values.get(name)

    def given(self, inputs: Sequence[str], place: int) -> Array:
        """The array at a place of a node's inputs. Raises RequestError where it is computed, or missing."""
        found = self.array(inputs[place]) if place < len(inputs) else None
        if found is None:
            raise RequestError("a weight is computed, or missing: export the network again, with constant folding")
        return found

    def optional(self, inputs: Sequence[str], place: int) -> Array | None:
        return self.given(inputs, place) if place < len(inputs) and inputs[place] else None


def _tensor(tensor: Any) -> Array:
    """The values of a tensor, held against the bytes that are there. Raises RequestError for those in other files."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise RequestError("its arrays are in other files: save it as one file, onnx.save(model, path)")
    count = math.prod(tensor.dims) if all(side >= 0 for side in tensor.dims) else -1
    held = max(len(tensor.raw_data), len(tensor.float_data), len(tensor.int32_data), len(tensor.int64_data),
               len(tensor.double_data), len(tensor.uint64_data))  # fmt: skip
    if not 0 <= count <= max(held, 0) or len(tensor.dims) > 32:
        raise RequestError(f"it is damaged: an array of shape {list(tensor.dims)} with {held:,} values or bytes")
    try:
        found = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, RuntimeError, KeyError, OverflowError) as error:
        raise RequestError(f"it is damaged: array {printable(tensor.name)[:80]!r} cannot be read") from error
    if found.dtype.kind not in _TYPES:
        raise RequestError(f"array {printable(tensor.name)[:80]!r} holds {found.dtype}, and no numbers")
    return np.asarray(found)


def _attribute(one: Any) -> Any:
    if one.type == onnx.AttributeProto.TENSOR:
        return _tensor(one.t)
    if one.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        raise RequestError("it has graphs within nodes, which are not imported")
    found = onnx.helper.get_attribute_value(one)
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


def _sides(reader: _Reader, at: Attributes, source: str, kernel: tuple[int, int]) -> Sides:
    """The padding of a window: by numbers, or by `auto_pad`."""
    auto = at.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        pads = [whole(one, "a padding") for one in at.get("pads", [0, 0, 0, 0])] if auto == "NOTSET" else [0, 0, 0, 0]
        if len(pads) != 4:
            raise RequestError(f"pads are {pads}: four numbers of a map are expected")
        return pads[0], pads[2], pads[1], pads[3]
    stride, dilation = pair(list(at.get("strides", [1, 1])), "strides", 1), pair(list(at.get("dilations", [1, 1])), "dilations", 1)
    found = same_padding(reader.builder.shape(source), kernel, stride, dilation)
    if auto == "SAME_UPPER":
        return found
    if auto == "SAME_LOWER":
        return found[1], found[0], found[3], found[2]
    raise RequestError(f"auto_pad is {shown(auto)}")


def _convolution(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
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
        padding=_sides(reader, at, source, kernel),
        dilation=pair(list(at.get("dilations", [1, 1])), "dilations", 1),
        groups=whole(at.get("group", 1), "group", 1, 100_000),
    )


def _matrix(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    """Gemm: alpha A B + beta C."""
    weight, bias = reader.given(inputs, 1), reader.optional(inputs, 2)
    if at.get("transA", 0) or weight.ndim != 2:
        raise RequestError(f"node {name!r} is a product of another kind than of a linear layer")
    weight = (weight if at.get("transB", 0) else weight.T) * np.float32(at.get("alpha", 1.0))
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), weight.shape[:1]) * np.float32(at.get("beta", 1.0))
    return reader.builder.linear(reader.map(inputs[0]), name, weight, bias)


def _product(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    weight = reader.given(inputs, 1)
    if weight.ndim != 2 or len(reader.builder.shape(reader.map(inputs[0]))) != 1:
        raise RequestError(f"node {name!r} is a product of another kind than of a linear layer")
    return reader.builder.linear(reader.map(inputs[0]), name, weight.T, None)


def _pool(kind: str) -> _Add:
    def add(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
        source, kernel = reader.map(inputs[0]), pair(list(at["kernel_shape"]) if "kernel_shape" in at else None, "kernel", 1)
        if at.get("storage_order", 0) or any(one != 1 for one in at.get("dilations", [])):
            raise RequestError(f"node {name!r} is a pooling with dilation, which is not known")
        return reader.builder.pool(
            kind,
            source,
            name,
            kernel=kernel,
            stride=pair(list(at.get("strides", [1, 1])), "strides", 1),
            padding=_sides(reader, at, source, kernel),
            ceil=bool(at.get("ceil_mode", 0)),
            count_padding=bool(at.get("count_include_pad", 0)),
        )

    return add


def _global(kind: str) -> _Add:
    def add(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
        vector = reader.builder.add(kind, (reader.map(inputs[0]),), name)
        return reader.builder.add("unflatten", (vector,), f"{name}.map")

    return add


def _mean(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
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


def _normalised(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    scale, shift, mean, variance = (reader.given(inputs, place) for place in (1, 2, 3, 4))
    return reader.builder.batch_norm(reader.map(inputs[0]), name, scale, shift, mean, variance, float(at.get("epsilon", 1e-5)))


def _lrn(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    numbers = {"alpha": at.get("alpha", 1e-4), "beta": at.get("beta", 0.75), "k": at.get("bias", 1.0)}
    return reader.builder.add("lrn", (reader.map(inputs[0]),), name, {"size": whole(at.get("size"), "size", 1, 1000), **numbers})


def _flattened(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    source = reader.map(inputs[0])
    if at.get("axis", 1) not in (1, 1 - len(reader.builder.shape(source))):
        raise RequestError(f"node {name!r} flattens from the axis {at.get('axis')}")
    return _flat(reader, name, inputs[0])


def _flat(reader: _Reader, name: str, given: str) -> str:
    source = reader.map(given)
    if len(reader.builder.shape(source)) == 1:
        return source
    if given in reader.last_axis:
        return reader.builder.flattened_last(source, name)
    return reader.builder.add("flatten", (source,), name)


def _reshaped(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
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


def _squeezed(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    shape = reader.builder.shape(reader.map(inputs[0]))
    if len(shape) == 3 and shape[1:] != (1, 1):
        raise RequestError(f"node {name!r} squeezes a map of {shape}")
    return _flat(reader, name, inputs[0])


def _transposed(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
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

    def add(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
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


def _scaled(reader: _Reader, name: str, kind: str, given: str, value: Array, output: str) -> str:
    source, last = reader.map(given), given in reader.last_axis
    shape = reader.builder.shape(source)
    sides = list(value.shape[1:] if value.ndim == len(shape) + 1 else value.shape)
    axis = -1 if last or len(shape) == 1 else -3
    if value.size != 1 and (value.size != shape[0] or len(sides) < -axis or sides[axis] != shape[0]):
        raise RequestError(f"node {name!r} combines {shape} with an array of {value.shape}")
    wide = np.broadcast_to(value.reshape(-1), (shape[0],))
    layers = reader.builder.layers
    if kind == "add" and layers and layers[-1].name == source and layers[-1].kind == "linear" and "bias" not in layers[-1].arrays:
        return reader.builder.biased(wide)
    factor, shift = {
        "add": (np.ones_like(wide), wide), "sub": (np.ones_like(wide), -wide),
        "mul": (wide, np.zeros_like(wide)), "div": (np.divide(1, wide, where=wide != 0, out=np.full_like(wide, np.inf)), np.zeros_like(wide)),
    }[kind]  # fmt: skip
    if source in reader.builder.orders and value.size != 1:
        raise RequestError(f"node {name!r} scales a flattened map with channels last, which is not known")
    if last:
        reader.last_axis.add(output)
    return reader.builder.add("scale", (source,), name, {}, {"weight": factor, "bias": shift})


def _padded(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    pads = at["pads"] if "pads" in at else reader.given(inputs, 1).reshape(-1).tolist()
    value = reader.optional(inputs, 2)
    number = float(at.get("value", 0.0)) if value is None else float(value.reshape(-1)[0])
    if at.get("mode", "constant") != "constant" or len(pads) != 8 or any(pads[place] for place in (0, 1, 4, 5)):
        raise RequestError(f"node {name!r} pads by {shown(pads)} in the mode {shown(at.get('mode', 'constant'))}")
    if inputs[0] in reader.last_axis:
        raise RequestError(f"node {name!r} pads a map with channels last, which is not known")
    sides = [whole(int(one), "a padding") for one in pads]
    return reader.builder.padded(reader.map(inputs[0]), (sides[2], sides[6], sides[3], sides[7]), name, number)


def _clipped(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    limits = [reader.optional(inputs, place) for place in (1, 2)]
    least, most = (
        float(one.reshape(-1)[0]) if one is not None else at.get(key) for one, key in zip(limits, ("min", "max"), strict=True)
    )
    if (least, most) != (0, 6):
        raise RequestError(f"node {name!r} clips to {least} and {most}; a ReLU6 is known")
    return _follow(reader, name, "relu6", inputs[0], output)


def _concatenated(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
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
    reader: _Reader, name: str, kind: str, given: str, output: str, at: Attributes = MappingProxyType({}),
    arrays: Mapping[str, Array] = MappingProxyType({}),
) -> str:  # fmt: skip
    """A layer that changes values one by one."""
    if given in reader.last_axis:
        reader.last_axis.add(output)
    return reader.builder.add(kind, (reader.map(given),), name, at, arrays)


def _plain(kind: str) -> _Add:
    return lambda reader, name, at, inputs, output: _follow(reader, name, kind, inputs[0], output)


def _leaky(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    return _follow(reader, name, "leaky_relu", inputs[0], output, {"slope": float(at.get("alpha", 0.01))})


def _parametric(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    return _follow(reader, name, "prelu", inputs[0], output, arrays={"weight": reader.given(inputs, 1).reshape(-1)})


def _elu(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    if at.get("alpha", 1.0) != 1.0:
        raise RequestError(f"node {name!r} is an ELU of another alpha than 1")
    return _follow(reader, name, "elu", inputs[0], output)


def _through(reader: _Reader, name: str, at: Attributes, inputs: list[str], output: str) -> str:
    if inputs[0] in reader.last_axis:
        reader.last_axis.add(output)
    return reader.map(inputs[0])


_Add = Callable[[_Reader, str, Attributes, list[str], str], str]
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
        "Gelu": _plain("gelu"),
        "LeakyRelu": _leaky,
        "PRelu": _parametric,
        "Elu": _elu,
        "Dropout": _through,
        "Identity": _through,
        "Cast": _through,
    }
)
