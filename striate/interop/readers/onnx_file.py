"""Networks in ONNX files. The file is parsed by `onnx`, which runs nothing in it; arrays in other files are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from striate.errors import RequestError, printable, shown
from striate.interop.readers.layers import Described, InputShape
from striate.interop.readers.node_graph import Array, Node, NodeGraph
from striate.interop.readers.onnx_net import Nodes
from striate.reading import read_given

_LARGEST = 2**31  # bytes, which is protobuf's own limit
_MOST_NODES = 20_000
_TYPES = ("f", "i", "u", "b")


def read_onnx(path: Path, shape: InputShape | None = None) -> Described:
    """The network of a file. shape: channels, height and width of an image, where the file leaves them open.

    Raises RequestError for another file, arrays in other files, and operators that are not known.
    """
    try:
        model = onnx.ModelProto.FromString(read_given(path, "the network", _LARGEST))
    except RequestError:
        raise
    except Exception as error:  # protobuf has errors of its own
        raise RequestError("it is not an ONNX file, or is damaged") from error
    if not model.HasField("graph") or not model.graph.node:
        raise RequestError("it is not an ONNX file, or has no nodes")
    return Nodes(_described(model.graph), "ONNX", shape).read()


def _described(graph: Any) -> NodeGraph:
    if len(graph.node) > _MOST_NODES:
        raise RequestError(f"it has {len(graph.node):,} nodes; at most {_MOST_NODES:,} are read")
    texts = [text for node in graph.node for text in (node.name, node.op_type, node.domain, *node.input, *node.output)]
    if not all(isinstance(text, str) for text in (*texts, *(one.name for one in graph.initializer))):
        raise RequestError("it is damaged: its names are not text")
    tensors = {one.name: one for one in graph.initializer}
    images = [one for one in graph.input if one.name not in tensors]
    if len(images) != 1 or len(graph.output) != 1:
        raise RequestError(f"it has {len(images)} inputs and {len(graph.output)} outputs; one of each is expected")
    image = images[0].type.tensor_type
    if image.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
        raise RequestError("its input is not of floats: it has its preprocessing inside")
    values: dict[str, Array] = {}

    def array(name: str) -> Array | None:
        if name in tensors and name not in values:
            values[name] = _tensor(tensors[name])
        return values.get(name)

    nodes = []
    for node in graph.node:
        name = printable(node.name or node.op_type)[:200]
        if node.domain not in ("", "ai.onnx"):
            raise RequestError(f"node {name!r} is of {shown(node.domain)}, and not of ONNX")
        if len(node.output) < 1:
            raise RequestError(f"node {name!r} has no output")
        at = {one.name: _attribute(one) for one in node.attribute}
        if node.op_type != "Constant":
            nodes.append(Node(node.op_type, name, at, tuple(node.input), node.output[0]))
        elif "value" in at:
            values[node.output[0]] = at["value"]
        else:
            raise RequestError(f"node {name!r} is a constant of another kind than a tensor")
    sides = tuple(one.dim_value or None for one in image.shape.dim)
    return NodeGraph(images[0].name, sides, tuple(nodes), graph.output[0].name, array)


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
