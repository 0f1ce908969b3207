"""`striate export --to caffe`: a prototxt for deployment and its caffemodel, written without Caffe.

Source: caffe.proto of BVLC Caffe 1.0; its poolings round their size up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from striate.errors import RequestError
from striate.interop.graph import Array, Graph, Row
from striate.interop.passes import for_prediction
from striate.interop.protobuf import floats, integers, message
from striate.interop.readers.opening import read_network
from striate.interop.readers.to_graph import graph_of
from striate.interop.written import Written, graph_of_model, notes_on, read_back
from striate.model import Model


def write(model: Model, path: Path) -> Written:
    """Write `path`, a prototxt, and the caffemodel beside it.

    Raises RequestError for rows that Caffe has no layer for, and poolings that it rounds otherwise, by their names.
    """
    graph, pixels = graph_of_model(model), model.pixels
    text, weights = caffe_files(graph, model.net)
    path.write_text(text, "utf-8")
    path.with_suffix(".caffemodel").write_bytes(weights)
    shape = (pixels.channels, pixels.height, pixels.width)
    again = graph_of(read_network(path, path.with_suffix(".caffemodel"), shape))
    layout = f"float32 [N, {pixels.channels}, {pixels.height}, {pixels.width}]"
    notes = [*notes_on(model, layout), "a batch normalisation is a BatchNorm layer and a Scale layer"]
    return Written(read_back(model, again), tuple(notes))


def caffe_files(graph: Graph, name: str) -> tuple[str, bytes]:
    """The content of the prototxt and of the caffemodel."""
    written = _Writer(for_prediction(graph), name)
    return "".join(written.text), message(1, name) + b"".join(written.weights)


@dataclass
class _Writer:
    graph: Graph
    name: str
    text: list[str] = field(default_factory=list)
    weights: list[bytes] = field(default_factory=list)
    tops: dict[str, str] = field(default_factory=dict)  # of a row, the blob of its result

    def __post_init__(self) -> None:
        self.rows = {row.name: row for row in self.graph.rows}
        self.taken: set[str] = set()
        self.text.append(f'name: "{self.name}"\n')
        for row in self.graph.rows:
            if row.operator == "cast":
                self.tops[row.name] = self.tops[row.inputs[0]]
            elif row.operator != "constant":
                if row.operator not in _ROWS:
                    raise RequestError(f"row {row.name}: no layer of Caffe is {row.operator}")
                self.tops[row.name] = _ROWS[row.operator](self, row)

    def layer(
        self,
        row: Row,
        kind: str,
        values: str = "",
        blobs: Sequence[Array] = (),
        bottoms: Sequence[str] | None = None,
    ) -> str:
        """A layer; gives its blob. values: the text of its parameters."""
        name, count = row.name, 1
        while name in self.taken:
            count += 1
            name = f"{row.name}_{count}"
        self.taken.add(name)
        given = [self.tops[one] for one in row.inputs] if bottoms is None else bottoms
        lines = [f'name: "{name}"', f'type: "{kind}"', *(f'bottom: "{one}"' for one in given), f'top: "{name}"']
        lines += [values] if values else []
        self.text.append("layer {\n" + "".join(f"  {line}\n" for line in lines) + "}\n")
        if blobs:
            content = message(1, name) + message(2, kind)
            content += b"".join(message(7, message(7, integers(1, one.shape)) + floats(5, one)) for one in blobs)
            self.weights.append(message(100, content))
        return name


def _input(writer: _Writer, row: Row) -> str:
    sides = " ".join(f"dim: {side}" for side in (1, *row.shape))
    return writer.layer(row, "Input", f"input_param {{ shape {{ {sides} }} }}", (), ())


def _biased(writer: _Writer, row: Row) -> tuple[str, list[Array]]:
    bias = writer.graph.array(row, "bias")
    return ("", [bias]) if bias is not None else (" bias_term: false", [])


def _conv(writer: _Writer, row: Row) -> str:
    at, weight = row.attributes, writer.graph.held(row, "weight")
    dilation = at["dilation"]
    if dilation[0] != dilation[1]:
        raise RequestError(f"row {row.name}: Caffe dilates height and width alike")
    term, bias = _biased(writer, row)
    sides = "".join(
        f" {name}_{axis}: {value}"
        for name, pair in (("kernel", weight.shape[2:]), ("stride", at["stride"]), ("pad", at["padding"]))
        for axis, value in zip("hw", pair, strict=True)
    )
    further = f" dilation: {dilation[0]}" if dilation[0] > 1 else ""
    values = f"convolution_param {{ num_output: {len(weight)}{sides}{further} group: {at['groups']}{term} }}"
    return writer.layer(row, "Convolution", values, [weight, *bias])


def _linear(writer: _Writer, row: Row) -> str:
    weight = writer.graph.held(row, "weight")
    term, bias = _biased(writer, row)
    return writer.layer(
        row, "InnerProduct", f"inner_product_param {{ num_output: {len(weight)}{term} }}", [weight, *bias]
    )


def _batch_norm(writer: _Writer, row: Row) -> str:
    weight, bias = writer.graph.array(row, "weight"), writer.graph.array(row, "bias")
    mean, variance = writer.graph.held(row, "mean"), writer.graph.held(row, "variance")
    values = f"batch_norm_param {{ use_global_stats: true eps: {row.attributes['epsilon']:.9g} }}"
    made = writer.layer(row, "BatchNorm", values, [mean, variance, np.ones(1, np.float32)])
    if weight is None and bias is None:
        return made
    scale = np.ones_like(mean) if weight is None else weight
    return _scaled(writer, row, scale, np.zeros_like(mean) if bias is None else bias, made)


def _scaled(writer: _Writer, row: Row, scale: Array, offset: Array, given: str) -> str:
    return writer.layer(row, "Scale", "scale_param { bias_term: true }", [scale, offset], [given])


def _pool(kind: str) -> Callable[[_Writer, Row], str]:
    def write(writer: _Writer, row: Row) -> str:
        at, above = row.attributes, writer.rows[row.inputs[0]].shape[1:]
        if at.get("dilation", (1, 1)) != (1, 1):
            raise RequestError(f"row {row.name}: Caffe has no pooling with dilation")
        if kind == "AVE" and any(at["padding"]) and not at["count_padding"]:
            raise RequestError(f"row {row.name}: an average pooling of Caffe counts padding")
        windows = zip(above, at["kernel"], at["stride"], at["padding"], strict=True)
        found = tuple(_rounded(*window) for window in windows)
        if found != row.shape[1:]:
            ours, theirs = (" x ".join(map(str, one)) for one in (row.shape[1:], found))
            raise RequestError(f"row {row.name}: the pooling gives {ours}, and Caffe, which rounds up, {theirs}")
        sides = "".join(
            f" {name}_{axis}: {value}"
            for name, pair in (("kernel", at["kernel"]), ("stride", at["stride"]), ("pad", at["padding"]))
            for axis, value in zip("hw", pair, strict=True)
        )
        return writer.layer(row, "Pooling", f"pooling_param {{ pool: {kind}{sides} }}")

    return write


def _rounded(side: int, kernel: int, stride: int, pad: int) -> int:
    """The size that Caffe's pooling gives."""
    count = -(-(side + 2 * pad - kernel) // stride) + 1
    return count - 1 if pad and (count - 1) * stride >= side + pad else count


def _whole(kind: str) -> Callable[[_Writer, Row], str]:
    def write(writer: _Writer, row: Row) -> str:
        if row.attributes["axes"] != (1, 2) or len(writer.rows[row.inputs[0]].shape) != 3:
            raise RequestError(f"row {row.name}: Caffe has a {row.operator} of whole maps only")
        pooled = writer.layer(row, "Pooling", f"pooling_param {{ pool: {kind} global_pooling: true }}")
        return pooled if row.attributes["keep"] else writer.layer(row, "Flatten", "", (), [pooled])

    return write


def _plain(kind: str, values: Callable[[Mapping[str, Any]], str] = lambda at: "") -> Callable[[_Writer, Row], str]:
    return lambda writer, row: writer.layer(row, kind, values(row.attributes))


def _lrn(writer: _Writer, row: Row) -> str:
    at = row.attributes
    if at["groups"] != 1:
        raise RequestError(f"row {row.name}: Caffe normalises over all channels, not in groups")
    # a / (k + alpha S)^beta as k^-beta a / (1 + alpha / k S)^beta: OpenCV takes k for 1. Caffe divides by the size.
    alpha = at["alpha"] * at["size"] / at["k"]
    values = f"local_size: {at['size']} alpha: {alpha:.9g} beta: {at['beta']:.9g} k: 1"
    made = writer.layer(row, "LRN", f"lrn_param {{ {values} }}")
    if at["k"] == 1:
        return made
    ones = np.ones(row.shape[0], np.float32)
    return _scaled(writer, row, ones * at["k"] ** -at["beta"], 0 * ones, made)


def _two(operation: str) -> Callable[[_Writer, Row], str]:
    def write(writer: _Writer, row: Row) -> str:
        sources = [writer.rows[name] for name in row.inputs]
        if any(one.operator == "constant" for one in sources):
            return _with_constant(writer, row, sources)
        if not operation or sources[0].shape != sources[1].shape:
            raise RequestError(f"row {row.name}: Caffe has no layer for {row.operator} of {sources[1].shape}")
        values = "eltwise_param { operation: SUM coeff: 1 coeff: -1 }" if row.operator == "sub" else ""
        return writer.layer(row, "Eltwise", values or f"eltwise_param {{ operation: {operation} }}")

    return write


def _with_constant(writer: _Writer, row: Row, sources: Sequence[Row]) -> str:
    place = [one.operator for one in sources].index("constant")
    values, channels = writer.graph.held(sources[place], "value"), row.shape[0]
    wrong = values.size != 1 and values.shape != (channels, *(1,) * (len(row.shape) - 1))
    if wrong or (place == 0 and row.operator in ("sub", "div")):
        raise RequestError(f"row {row.name}: Caffe has no layer for {row.operator} with an array of {values.shape}")
    numbers = np.broadcast_to(values.ravel(), channels).astype(np.float32)
    ones, zeros = np.ones_like(numbers), np.zeros_like(numbers)
    scale = {"mul": numbers, "div": 1 / numbers if row.operator == "div" else ones}.get(row.operator, ones)
    offset = {"add": numbers, "sub": -numbers}.get(row.operator, zeros)
    return _scaled(writer, row, scale, offset, writer.tops[row.inputs[1 - place]])


def _affine(writer: _Writer, row: Row) -> str:
    ones, at = np.ones(row.shape[0], np.float32), row.attributes
    return _scaled(writer, row, ones * at["scale"], ones * at["offset"], writer.tops[row.inputs[0]])


def _concat(writer: _Writer, row: Row) -> str:
    return writer.layer(row, "Concat", f"concat_param {{ axis: {row.attributes['axis'] + 1} }}")


def _reshape(writer: _Writer, row: Row) -> str:
    if len(row.shape) == 1:
        return writer.layer(row, "Flatten")
    sides = " ".join(f"dim: {side}" for side in (0, *row.shape))
    return writer.layer(row, "Reshape", f"reshape_param {{ shape {{ {sides} }} }}")


def _prelu(writer: _Writer, row: Row) -> str:
    weight = np.broadcast_to(writer.graph.held(row, "weight"), row.shape[:1])
    return writer.layer(row, "PReLU", "", [weight])


_ROWS: Mapping[str, Callable[[_Writer, Row], str]] = {
    "input": _input, "conv": _conv, "linear": _linear, "batch_norm": _batch_norm, "max_pool": _pool("MAX"),
    "avg_pool": _pool("AVE"), "mean": _whole("AVE"), "max": _whole("MAX"), "lrn": _lrn, "prelu": _prelu,
    "relu": _plain("ReLU"), "tanh": _plain("TanH"), "sigmoid": _plain("Sigmoid"), "softmax": _plain("Softmax"),
    "elu": _plain("ELU", lambda at: f"elu_param {{ alpha: {at['alpha']:.9g} }}"),
    "leaky_relu": _plain("ReLU", lambda at: f"relu_param {{ negative_slope: {at['slope']:.9g} }}"),
    "add": _two("SUM"), "sub": _two("SUM"), "mul": _two("PROD"), "div": _two(""), "maximum": _two("MAX"),
    "affine": _affine, "concat": _concat, "reshape": _reshape,
}  # fmt: skip
