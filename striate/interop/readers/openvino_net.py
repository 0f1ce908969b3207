"""TensorFlow's SavedModel and TFLite of floats, as OpenVINO reads them: its operators as ONNX's, and so as layers.

OpenVINO's own reader opens these files. It runs nothing in them, but is not written for files of strangers, as the
readers here are.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from striate.errors import RequestError, printable
from striate.inference.runtimes import import_openvino
from striate.interop.readers.layers import Described, InputShape
from striate.interop.readers.node_graph import Array, Node, NodeGraph
from striate.interop.readers.onnx_net import Nodes

_LARGEST = 2**31  # bytes of all files
_MOST_NODES = 20_000
_SECONDS = 300
# Errors that it raises are told when it is read again.
_READ = """
import sys
sys.modules["openvino_telemetry"] = None
import openvino
try:
    openvino.Core().read_model(sys.argv[1])
except RuntimeError:
    pass
"""
_TRUST = "OpenVINO opened the file, which is not written for files of strangers"


def read_by_openvino(path: Path, shape: InputShape | None = None) -> Described:
    """The network of a `.tflite` file, or of a folder with a saved_model.pb.

    Raises RequestError for other files, int8, and operators that are not known.
    """
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    if not path.exists() or sum(one.stat().st_size for one in files) > _LARGEST:
        raise RequestError(f"there is no such file, or it has more than {_LARGEST:,} bytes")
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        raise RequestError("the folder has no saved_model.pb: it is no SavedModel of TensorFlow")
    _require_survived(path)
    try:
        model = import_openvino().Core().read_model(str(path))
    except RuntimeError as error:
        raise RequestError(
            f"OpenVINO cannot read it: {printable(str(error).strip().splitlines()[-1])[:200]}"
        ) from error
    reader = Nodes(_Operations(model).graph(), "TFLite" if path.suffix == ".tflite" else "TensorFlow", shape)
    reader.builder.note(_TRUST)
    return reader.read()


def _require_survived(path: Path) -> None:
    """Raise RequestError for a file at which OpenVINO's reader ends its process, as by a division by 0 in TFLite's.

    It reads the file in another process first.
    """
    command = [sys.executable, "-P", "-c", _READ, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RequestError(f"OpenVINO reads it for more than {_SECONDS} seconds") from None
    if done.returncode:
        raise RequestError("the file is damaged: OpenVINO's reader breaks off at it")


class _Operations:
    """The operators of an OpenVINO model as nodes of ONNX."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.arrays: dict[str, Array] = {}
        self.shapes: set[str] = set()  # of values that are shapes, and no maps
        self.names: dict[int, str] = {}

    def graph(self) -> NodeGraph:
        """The graph. Raises RequestError for an operator that is not known."""
        operations = self.model.get_ordered_ops()
        if len(self.model.inputs) != 1 or len(self.model.outputs) != 1 or len(operations) > _MOST_NODES:
            raise RequestError(
                f"it has {len(self.model.inputs)} inputs and {len(self.model.outputs)} outputs; one of each is expected"
            )
        if self.model.inputs[0].element_type.get_type_name() != "f32":
            raise RequestError("its input is not of floats: a network in int8 is not imported, only its float form")
        nodes: list[Node] = []
        image, output = "", ""
        for place, one in enumerate(operations):
            kind, name = one.get_type_name(), f"value{place}"
            self.names[one.get_instance_id()] = name
            inputs = [self.names[given.get_source_output().get_node().get_instance_id()] for given in one.inputs()]
            if kind == "Parameter":
                image = name
            elif kind == "Result":
                output = inputs[0]
            elif kind == "Constant":
                self.arrays[name] = np.asarray(one.data)
            elif kind == "ShapeOf" or (kind != "Reshape" and self.shapes & set(inputs)):
                self.shapes.add(name)
            else:
                nodes.append(self.node(one, kind, name, inputs))
        sides = tuple(None if side.is_dynamic else side.get_length() for side in self.model.inputs[0].partial_shape)
        return NodeGraph(image, sides, tuple(nodes), output, self.arrays.get)

    def node(self, one: Any, kind: str, name: str, inputs: list[str]) -> Node:
        told = printable(one.get_friendly_name())[:80]
        if kind in ("FakeQuantize", "Convert"):
            raise RequestError("it is a network in int8, which is not imported, only its float form")
        at = dict(one.get_attributes())
        if kind in _SAME:
            return Node(_SAME[kind], told, at, tuple(inputs), name)
        if kind not in _KINDS:
            raise RequestError(f"operator {told!r} is a {kind}, which is not known")
        found, chosen, taken = _KINDS[kind](self, one, at, inputs)
        return Node(found, told, chosen, tuple(taken), name)

    def constant(self, name: str) -> Array:
        """Raises RequestError for what is computed."""
        if name not in self.arrays:
            raise RequestError("a weight, a shape or an axis is computed, which is not known")
        return self.arrays[name]


_Made = tuple[str, Mapping[str, Any], list[str]]


def _window(at: Mapping[str, Any]) -> dict[str, Any]:
    auto = {"same_upper": "SAME_UPPER", "same_lower": "SAME_LOWER"}.get(str(at.get("auto_pad")), "NOTSET")
    pads = [*at.get("pads_begin", [0, 0]), *at.get("pads_end", [0, 0])]
    ones = [1, 1]
    return {"strides": at.get("strides", ones), "dilations": at.get("dilations", ones), "pads": pads, "auto_pad": auto}


def _grouped(graph: _Operations, one: Any, at: Mapping[str, Any], inputs: list[str]) -> _Made:
    weight = graph.constant(inputs[1])  # [groups, out / groups, in / groups, height, width]
    if weight.ndim != 5:
        raise RequestError(f"a kernel in groups has {weight.ndim} dimensions; five are expected")
    name = f"{inputs[1]}.kernel"
    graph.arrays[name] = weight.reshape(-1, *weight.shape[2:])
    return "Conv", {**_window(at), "group": int(weight.shape[0])}, [inputs[0], name]


def _pooled(kind: str) -> Callable[[_Operations, Any, Mapping[str, Any], list[str]], _Made]:
    def made(graph: _Operations, one: Any, at: Mapping[str, Any], inputs: list[str]) -> _Made:
        ceil, counted = str(at.get("rounding_type")) != "floor", not at.get("exclude-pad", at.get("exclude_pad", True))
        window = {**_window(at), "kernel_shape": at["kernel"], "ceil_mode": ceil, "count_include_pad": counted}
        return kind, window, inputs[:1]

    return made


def _product(graph: _Operations, one: Any, at: Mapping[str, Any], inputs: list[str]) -> _Made:
    return "Gemm", {"transA": int(at["transpose_a"]), "transB": int(at["transpose_b"])}, inputs


def _reshaped(graph: _Operations, one: Any, at: Mapping[str, Any], inputs: list[str]) -> _Made:
    if len(one.get_output_partial_shape(0)) == 2:  # a vector for each image, whatever the batch
        return "Flatten", {}, inputs[:1]
    return "Reshape", {}, inputs


def _transposed(graph: _Operations, one: Any, at: Mapping[str, Any], inputs: list[str]) -> _Made:
    return "Transpose", {"perm": graph.constant(inputs[1]).reshape(-1).tolist()}, inputs[:1]


def _reduced(graph: _Operations, one: Any, at: Mapping[str, Any], inputs: list[str]) -> _Made:
    axes = graph.constant(inputs[1]).reshape(-1).tolist()
    return "ReduceMean", {"axes": axes, "keepdims": int(at["keep_dims"])}, inputs[:1]


def _padded(graph: _Operations, one: Any, at: Mapping[str, Any], inputs: list[str]) -> _Made:
    pads = [int(side) for name in inputs[1:3] for side in graph.constant(name).reshape(-1)]
    value = float(graph.constant(inputs[3]).reshape(-1)[0]) if len(inputs) > 3 else 0.0
    return "Pad", {"pads": pads, "value": value, "mode": str(at.get("pad_mode", "constant"))}, inputs[:1]


# Kinds that ONNX has with the same inputs and attributes.
_SAME: Mapping[str, str] = MappingProxyType(
    {
        "Relu": "Relu", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Elu": "Elu", "PRelu": "PRelu", "Gelu": "Gelu",
        "HSwish": "HardSwish", "Swish": "Silu", "Softmax": "Softmax", "Add": "Add", "Subtract": "Sub",
        "Multiply": "Mul", "Divide": "Div", "Concat": "Concat", "Squeeze": "Squeeze",
    }
)  # fmt: skip
_KINDS: Mapping[str, Callable[[_Operations, Any, Mapping[str, Any], list[str]], _Made]] = MappingProxyType(
    {
        "Convolution": lambda graph, one, at, inputs: ("Conv", _window(at), inputs),
        "GroupConvolution": _grouped,
        "MaxPool": _pooled("MaxPool"),
        "AvgPool": _pooled("AveragePool"),
        "MatMul": _product,
        "Reshape": _reshaped,
        "Transpose": _transposed,
        "ReduceMean": _reduced,
        "Pad": _padded,
        "Clamp": lambda graph, one, at, inputs: ("Clip", {"min": at["min"], "max": at["max"]}, inputs[:1]),
    }
)
