"""Graphs changed row by row, for formats that ask for another form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from striate.interop.graph import Array, Graph, GraphBuilder, Row

# (builder, row, its inputs in the new graph) -> the row's result in the new graph; None: the row is copied
Change = Callable[[GraphBuilder, Row, tuple[str, ...]], str | None]


def rebuilt(graph: Graph, change: Change) -> Graph:
    """The graph with some rows changed."""
    build, names, held = GraphBuilder(), dict[str, str](), set[str]()
    for row in graph.rows:
        inputs = tuple(names[one] for one in row.inputs)
        found = change(build, row, inputs)
        if found is None:
            for name in row.arrays.values():
                if name not in held:
                    build.array(name, graph.arrays[name])
                    held.add(name)
            found = build.add(row.operator, inputs, name=row.name, attributes=row.attributes, arrays=dict(row.arrays))
        names[row.name] = found
    return build.graph(*(names[one] for one in graph.outputs))


def for_prediction(graph: Graph) -> Graph:
    """The graph without rows that only training needs: dropout, and reshapes to the same shape."""
    shapes = {row.name: row.shape for row in graph.rows}

    def change(build: GraphBuilder, row: Row, inputs: tuple[str, ...]) -> str | None:
        same = row.operator == "reshape" and row.shape == shapes[row.inputs[0]]
        return inputs[0] if row.operator == "dropout" or same else None

    return rebuilt(graph, change)


def folded(graph: Graph) -> Graph:
    """The graph with each batch normalisation that follows a convolution, or a linear row, within its weights.

    Only where nothing else takes the convolution's result.
    """
    users = graph.users()
    above: dict[str, Row] = {}  # by the convolution's name, its batch normalisation
    for row in graph.rows:
        after = users[row.name]
        alone = len(after) == 1 and row.name not in graph.outputs
        if row.operator in ("conv", "linear") and alone and after[0].operator == "batch_norm":
            above[row.name] = after[0]

    def change(build: GraphBuilder, row: Row, inputs: tuple[str, ...]) -> str | None:
        if row.name in above:
            scale, shift = scale_and_shift(graph, above[row.name])
            weight, bias = graph.array(row, "weight"), graph.array(row, "bias")
            assert weight is not None
            scaled = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
            moved = shift if bias is None else shift + bias * scale
            arrays: Mapping[str, Any] = {"weight": scaled, "bias": moved}
            return build.add(row.operator, inputs, name=row.name, attributes=row.attributes, arrays=arrays)
        return inputs[0] if row.operator == "batch_norm" and row.inputs[0] in above else None

    return rebuilt(graph, change)


def scale_and_shift(graph: Graph, row: Row) -> tuple[Array, Array]:
    """A batch normalisation's factor and summand [C], in float64."""
    mean, variance = (np.asarray(graph.array(row, role), np.float64) for role in ("mean", "variance"))
    weight, bias = graph.array(row, "weight"), graph.array(row, "bias")
    scale = (1.0 if weight is None else weight) / np.sqrt(variance + row.attributes["epsilon"])
    return scale, (0.0 if bias is None else bias) - mean * scale


def same_padding(sides: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> list[tuple[int, int]]:
    """TensorFlow's padding SAME: zeros before and after each axis. kernel: with its dilation."""
    found = []
    for side, size, step in zip(sides, kernel, stride, strict=True):
        total = max((-(-side // step) - 1) * step + size - side, 0)
        found.append((total // 2, total - total // 2))
    return found
