"""What a reader gives, as a graph of rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from striate.interop.graph import Graph, GraphBuilder
from striate.interop.readers.layers import Builder, Described, Layer

_SAME = ("relu", "selu", "tanh", "sigmoid", "silu", "gelu", "elu", "leaky_relu", "prelu")


def graph_of(found: Described, *, swapped: bool = False) -> Graph:
    """The graph of a network as read, from images [C, H, W] to logits.

    swapped: the network takes blue, green and red, and the graph red, green and blue: the first convolutions get their
    channels turned. Raises RequestError as the graph does.
    """
    writer = _Writer(GraphBuilder(), swapped=swapped)
    writer.rows[Builder.INPUT] = writer.build.input(found.input, name="images")
    writer.first = frozenset({Builder.INPUT})
    for layer in found.layers:
        writer.add(layer)
    return writer.build.graph(writer.rows[found.layers[-1].name])


class _Writer:
    def __init__(self, build: GraphBuilder, *, swapped: bool) -> None:
        self.build, self.swapped = build, swapped
        self.rows: dict[str, str] = {}  # of layers, ours
        self.names: set[str] = {"images"}
        self.first: frozenset[str] = frozenset()  # the image, and what pads it

    def add(self, layer: Layer) -> None:
        """Add the rows of a layer."""
        inputs = [self.rows[name] for name in layer.inputs]
        name, arrays = self.named(layer.name), dict(layer.arrays)
        if self.swapped and set(layer.inputs) & self.first:
            if layer.kind == "pad":
                self.first |= {layer.name}
            elif layer.kind == "conv" and layer.attributes["groups"] == 1:
                arrays["weight"] = arrays["weight"][:, ::-1]
            else:
                order = {"indices": np.array([2, 1, 0], np.int64)}
                inputs[0] = self.build.add("gather", inputs[0], name=self.named(f"{name}_rgb"), arrays=order)
        if layer.kind in _SAME:
            self.rows[layer.name] = self.build.add(
                layer.kind, inputs, name=name, attributes=layer.attributes, arrays=arrays
            )
        else:
            self.rows[layer.name] = _KINDS[layer.kind](self, name, inputs, layer, arrays)

    def named(self, name: str) -> str:
        """A name of letters, digits and _ that no row has."""
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:60] or "row"
        plain = plain if plain[0].isalpha() else f"row_{plain}"
        number, found = 1, plain
        while found.lower() in self.names:
            number += 1
            found = f"{plain}_{number}"
        self.names.add(found.lower())
        return found


def _same(operator: str, attributes: Mapping[str, Any] = MappingProxyType({})) -> _Add:
    """A layer that is one operator, with its own attributes and these."""
    return lambda writer, name, inputs, layer, arrays: writer.build.add(
        operator, inputs, name=name, attributes={**layer.attributes, **attributes}, arrays=arrays
    )


def _lrn(writer: _Writer, name: str, inputs: list[str], layer: Layer, arrays: Mapping[str, Any]) -> str:
    # The graph's alpha is of the sum of squares, not of their mean.
    attributes = {**layer.attributes, "alpha": layer.attributes["alpha"] / layer.attributes["size"]}
    return writer.build.add("lrn", inputs, name=name, attributes=attributes)


def _padded(writer: _Writer, name: str, inputs: list[str], layer: Layer, arrays: Mapping[str, Any]) -> str:
    top, bottom, left, right = layer.attributes["padding"]
    sides = {"before": (0, top, left), "after": (0, bottom, right), "value": layer.attributes["value"]}
    return writer.build.add("pad", inputs, name=name, attributes=sides)


def _reshaped(writer: _Writer, name: str, inputs: list[str], layer: Layer, arrays: Mapping[str, Any]) -> str:
    return writer.build.add("reshape", inputs, name=name, attributes={"shape": layer.shape})


def _scaled(writer: _Writer, name: str, inputs: list[str], layer: Layer, arrays: Mapping[str, Any]) -> str:
    weight, bias = layer.arrays["weight"], layer.arrays["bias"]
    if np.ptp(weight) == 0 and np.ptp(bias) == 0:
        attributes = {"scale": float(weight[0]), "offset": float(bias[0])}
        return writer.build.add("affine", inputs, name=name, attributes=attributes)
    if len(layer.shape) == 3:
        kernel = {"weight": weight.reshape(-1, 1, 1, 1), "bias": bias}
        return writer.build.add("conv", inputs, name=name, attributes={"groups": len(weight)}, arrays=kernel)
    factor, shift = (
        writer.build.add("constant", (), name=writer.named(f"{name}_{role}"), arrays={"value": value})
        for role, value in (("factor", weight), ("shift", bias))
    )
    return writer.build.add("add", [writer.build.add("mul", [inputs[0], factor], name=name), shift])


def _chained(operator: str, *, mean: bool = False) -> _Add:
    """An operator of two over several inputs."""

    def add(writer: _Writer, name: str, inputs: list[str], layer: Layer, arrays: Mapping[str, Any]) -> str:
        made, *others = inputs
        if operator == "mul" and len(others) == 1 and len(writer.build.shape(others[0])) < len(layer.shape):
            shape = {"shape": (*writer.build.shape(others[0]), 1, 1)}
            others = [writer.build.add("reshape", others[0], name=writer.named(f"{name}_map"), attributes=shape)]
        for place, other in enumerate(others):
            last = place == len(others) - 1 and not mean
            made = writer.build.add(operator, [made, other], name=name if last else writer.named(f"{name}_{place}"))
        if mean:
            made = writer.build.add("affine", made, name=name, attributes={"scale": 1 / len(inputs), "offset": 0.0})
        return made

    return add


_Add = Callable[[_Writer, str, list[str], Layer, Mapping[str, Any]], str]
_KINDS: Mapping[str, _Add] = MappingProxyType(
    {
        "conv": _same("conv"),
        "linear": _same("linear"),
        "batch_norm": _same("batch_norm"),
        "max_pool": _same("max_pool"),
        "avg_pool": _same("avg_pool"),
        "global_avg_pool": _same("mean", {"axes": (1, 2)}),
        "global_max_pool": _same("max", {"axes": (1, 2)}),
        "relu6": _same("clip", {"least": 0.0, "most": 6.0}),
        "hardswish": _same("hard_swish"),
        "hardsigmoid": _same("hard_sigmoid"),
        "dropout": _same("dropout"),
        "dropout2d": _same("dropout", {"channels": True}),
        "concat": _same("concat"),
        "lrn": _lrn,
        "pad": _padded,
        "flatten": _reshaped,
        "unflatten": _reshaped,
        "scale": _scaled,
        "add": _chained("add"),
        "multiply": _chained("mul"),
        "maximum": _chained("maximum"),
        "average": _chained("add", mean=True),
    }
)
