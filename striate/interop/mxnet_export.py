"""`striate export --to mxnet`: a symbol as JSON and its parameters, as MXNet 1.x reads them, written without it.

Source: MXNet 1.9.1, src/ndarray/ndarray.cc (NDArray::Save, version 2) and its operators.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from striate.errors import RequestError
from striate.interop.graph import Array, Graph, Row
from striate.interop.passes import for_prediction
from striate.interop.readers.opening import read_network
from striate.interop.readers.to_graph import graph_of
from striate.interop.written import Written, graph_of_model, notes_on, read_back
from striate.model import Model
from striate.storage import json_text

_LIST, _ARRAY = 0x112, 0xF993FAC9  # magic numbers of a list of arrays, and of one of version 2
_EPSILON = 1e-3  # of a batch normalisation that only scales: its variance is 1 - epsilon


def write(model: Model, path: Path) -> Written:
    """Write `path`, which ends in -symbol.json, and its -0000.params beside it.

    Raises RequestError for rows that are no operator of MXNet, by their names.
    """
    pixels = model.pixels
    text, arrays = mxnet_files(graph_of_model(model))
    path.write_text(text, "utf-8")
    beside = path.with_name(path.name.removesuffix("-symbol.json") + "-0000.params")
    beside.write_bytes(arrays)
    again = graph_of(read_network(path, beside, (pixels.channels, pixels.height, pixels.width)))
    layout = f"float32 [N, {pixels.channels}, {pixels.height}, {pixels.width}], called data"
    notes = (*notes_on(model, layout), "batch normalisations have fix_gamma=False, and their epsilon is written")
    return Written(read_back(model, again), notes)


def mxnet_files(graph: Graph) -> tuple[str, bytes]:
    """The content of the symbol's JSON and of the parameters' file."""
    written = _Writer(for_prediction(graph))
    nodes = written.nodes
    topology = {
        "nodes": nodes,
        "arg_nodes": [place for place, node in enumerate(nodes) if node["op"] == "null"],
        "node_row_ptr": list(range(len(nodes) + 1)),
        "heads": [[written.places[graph.outputs[0]], 0, 0]],
        "attrs": {"mxnet_version": ["int", 10901]},
    }
    return json_text(topology), _parameters(written.arrays)


def _parameters(arrays: Mapping[str, Array]) -> bytes:
    parts = [struct.pack("<QQQ", _LIST, 0, len(arrays))]
    for values in arrays.values():
        shape = struct.pack(f"<I{values.ndim}q", values.ndim, *values.shape)
        # Storage 0 is dense, device 1 number 0 the CPU, type 0 float32.
        parts.append(struct.pack("<Ii", _ARRAY, 0) + shape + struct.pack("<iii", 1, 0, 0))
        parts.append(np.ascontiguousarray(values, "<f4").tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    parts += [struct.pack("<Q", len(name.encode())) + name.encode() for name in arrays]
    return b"".join(parts)


@dataclass
class _Writer:
    graph: Graph
    nodes: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)  # by name, with arg: or aux: before it
    places: dict[str, int] = field(default_factory=dict)  # of a row, the number of its node

    def __post_init__(self) -> None:
        self.rows = {row.name: row for row in self.graph.rows}
        for row in self.graph.rows:
            if row.operator == "cast":
                self.places[row.name] = self.places[row.inputs[0]]
            elif row.operator == "input":
                self.places[row.name] = self._node("null", "data", {}, ())
            elif row.operator != "constant":
                if row.operator not in _ROWS:
                    raise RequestError(f"row {row.name}: no operator of MXNet is written for {row.operator}")
                self.places[row.name] = _ROWS[row.operator](self, row)

    def _node(self, kind: str, name: str, attributes: Mapping[str, Any], inputs: Sequence[int]) -> int:
        node: dict[str, Any] = {"op": kind, "name": name, "inputs": [[place, 0, 0] for place in inputs]}
        if attributes:
            node["attrs"] = {key: str(value) for key, value in attributes.items()}
        self.nodes.append(node)
        return len(self.nodes) - 1

    def node(
        self,
        row: Row,
        kind: str,
        attributes: Mapping[str, Any],
        arrays: Mapping[str, Array] | None = None,
        inputs: Sequence[int] | None = None,
    ) -> int:
        """An operator and the nodes of its arrays; gives its number. Arrays called moving_ are auxiliary states."""
        given = [self.places[name] for name in row.inputs] if inputs is None else list(inputs)
        number = sum(1 for one in self.nodes if one["name"].split("/")[0] == row.name and one["op"] != "null")
        name = f"{row.name}/{number}" if number else row.name
        for role, values in (arrays or {}).items():
            kept = f"{name}_{role}"
            self.arrays[f"{'aux' if role.startswith('moving_') else 'arg'}:{kept}"] = values
            given.append(self._node("null", kept, {}, ()))
        return self._node(kind, name, attributes, given)

    def weights(self, row: Row) -> dict[str, Array]:
        bias = self.graph.array(row, "bias")
        return {"weight": self.graph.held(row, "weight"), **({} if bias is None else {"bias": bias})}


def _conv(writer: _Writer, row: Row) -> int:
    at, held = row.attributes, writer.weights(row)
    attributes = {
        "kernel": held["weight"].shape[2:], "stride": at["stride"], "pad": at["padding"], "dilate": at["dilation"],
        "num_filter": len(held["weight"]), "num_group": at["groups"], "no_bias": "bias" not in held,
    }  # fmt: skip
    return writer.node(row, "Convolution", attributes, held)


def _linear(writer: _Writer, row: Row) -> int:
    held = writer.weights(row)
    attributes = {"num_hidden": len(held["weight"]), "no_bias": "bias" not in held}
    return writer.node(row, "FullyConnected", attributes, held)


def _batch_norm(writer: _Writer, row: Row) -> int:
    mean, variance = writer.graph.held(row, "mean"), writer.graph.held(row, "variance")
    gamma, beta = writer.graph.array(row, "weight"), writer.graph.array(row, "bias")
    held = {
        "gamma": np.ones_like(mean) if gamma is None else gamma,
        "beta": np.zeros_like(mean) if beta is None else beta, "moving_mean": mean, "moving_var": variance,
    }  # fmt: skip
    momentum = 1 - row.attributes["momentum"]
    attributes = {"eps": row.attributes["epsilon"], "momentum": momentum, "fix_gamma": False}
    return writer.node(row, "BatchNorm", attributes, held)


def _scaled(writer: _Writer, row: Row, scale: Array, offset: Array, given: int) -> int:
    """x * scale + offset for each channel, as a batch normalisation with fixed statistics."""
    held = {
        "gamma": scale, "beta": offset, "moving_mean": np.zeros_like(scale),
        "moving_var": np.full_like(scale, 1 - _EPSILON),
    }  # fmt: skip
    attributes = {"eps": _EPSILON, "fix_gamma": False, "use_global_stats": True}
    return writer.node(row, "BatchNorm", attributes, held, [given])


def _pool(kind: str) -> Callable[[_Writer, Row], int]:
    def write(writer: _Writer, row: Row) -> int:
        at = row.attributes
        if at.get("dilation", (1, 1)) != (1, 1):
            raise RequestError(f"row {row.name}: MXNet has no pooling with dilation")
        attributes = {
            "kernel": at["kernel"], "stride": at["stride"], "pad": at["padding"], "pool_type": kind,
            "pooling_convention": "full" if at["ceil"] else "valid",
        }  # fmt: skip
        if kind == "avg":
            if at["ceil"]:
                raise RequestError(f"row {row.name}: MXNet's average pooling that rounds up divides otherwise")
            attributes["count_include_pad"] = at["count_padding"]
        return writer.node(row, "Pooling", attributes)

    return write


def _whole(kind: str) -> Callable[[_Writer, Row], int]:
    def write(writer: _Writer, row: Row) -> int:
        if row.attributes["axes"] != (1, 2) or len(writer.rows[row.inputs[0]].shape) != 3:
            raise RequestError(f"row {row.name}: a {row.operator} of whole maps only is written for MXNet")
        pooled = writer.node(row, "Pooling", {"kernel": (1, 1), "pool_type": kind, "global_pool": True})
        return pooled if row.attributes["keep"] else writer.node(row, "Flatten", {}, None, [pooled])

    return write


def _plain(kind: str, attributes: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Callable[[_Writer, Row], int]:
    return lambda writer, row: writer.node(row, kind, attributes(row.attributes))


def _activation(name: str) -> Callable[[_Writer, Row], int]:
    return _plain("Activation", lambda at: {"act_type": name})


def _clip(writer: _Writer, row: Row) -> int:
    if not all(math.isfinite(one) for one in row.attributes.values()):
        raise RequestError(f"row {row.name}: MXNet clips to numbers, not to {dict(row.attributes)}")
    return writer.node(row, "clip", {"a_min": row.attributes["least"], "a_max": row.attributes["most"]})


def _two(kind: str) -> Callable[[_Writer, Row], int]:
    def write(writer: _Writer, row: Row) -> int:
        sources = [writer.rows[name] for name in row.inputs]
        kinds = [one.operator for one in sources]
        if "constant" not in kinds:
            if len(sources[0].shape) != len(sources[1].shape):
                raise RequestError(f"row {row.name}: {sources[1].shape} is not broadcast to {row.shape} in MXNet")
            return writer.node(row, kind, {})
        values, channels = writer.graph.held(sources[kinds.index("constant")], "value"), row.shape[0]
        wrong = values.size != 1 and values.shape != (channels, *(1,) * (len(row.shape) - 1))
        if wrong or (kinds[0] == "constant" and row.operator in ("sub", "div")):
            raise RequestError(f"row {row.name}: {row.operator} with an array of {values.shape} is not written")
        numbers = np.broadcast_to(values.ravel(), channels).astype(np.float32)
        ones, zeros = np.ones_like(numbers), np.zeros_like(numbers)
        scale = {"mul": numbers, "div": 1 / numbers if row.operator == "div" else ones}.get(row.operator, ones)
        offset = {"add": numbers, "sub": -numbers}.get(row.operator, zeros)
        return _scaled(writer, row, scale, offset, writer.places[row.inputs[1 - kinds.index("constant")]])

    return write


def _affine(writer: _Writer, row: Row) -> int:
    scaled = writer.node(row, "_mul_scalar", {"scalar": row.attributes["scale"]})
    return writer.node(row, "_plus_scalar", {"scalar": row.attributes["offset"]}, None, [scaled])


def _reshape(writer: _Writer, row: Row) -> int:
    if len(row.shape) == 1:
        return writer.node(row, "Flatten", {})
    return writer.node(row, "Reshape", {"shape": (0, *row.shape)})


def _concat(writer: _Writer, row: Row) -> int:
    return writer.node(row, "Concat", {"num_args": len(row.inputs), "dim": row.attributes["axis"] + 1})


def _lrn(writer: _Writer, row: Row) -> int:
    at = row.attributes
    if at["groups"] != 1:
        raise RequestError(f"row {row.name}: MXNet normalises over all channels, not in groups")
    alpha = at["alpha"] * at["size"]  # MXNet divides by the size
    return writer.node(row, "LRN", {"nsize": at["size"], "alpha": alpha, "beta": at["beta"], "knorm": at["k"]})


_ROWS: Mapping[str, Callable[[_Writer, Row], int]] = {
    "conv": _conv, "linear": _linear, "batch_norm": _batch_norm, "max_pool": _pool("max"), "avg_pool": _pool("avg"),
    "mean": _whole("avg"), "max": _whole("max"), "lrn": _lrn, "clip": _clip,
    "relu": _activation("relu"), "tanh": _activation("tanh"), "sigmoid": _activation("sigmoid"),
    "selu": _plain("LeakyReLU", lambda at: {"act_type": "selu"}),
    "elu": _plain("LeakyReLU", lambda at: {"act_type": "elu", "slope": at["alpha"]}),
    "leaky_relu": _plain("LeakyReLU", lambda at: {"act_type": "leaky", "slope": at["slope"]}),
    "softmax": _plain("softmax", lambda at: {"axis": at["axis"] + 1}),
    "add": _two("broadcast_add"), "sub": _two("broadcast_sub"), "mul": _two("broadcast_mul"),
    "div": _two("broadcast_div"), "affine": _affine, "reshape": _reshape, "concat": _concat,
}  # fmt: skip
