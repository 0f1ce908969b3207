"""What the operators of `striate.interop.nhwc` are made with: tensors, activations and padding of one graph's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from striate.errors import RequestError
from striate.interop.channels_last import ChannelsLast, shape_last
from striate.interop.graph import Array, Graph, Row
from striate.interop.nhwc import Steps
from striate.interop.passes import same_padding

LOWEST = float(np.finfo(np.float32).min)
FUSED = {"relu": 1, "relu6": 3}  # activations that an operator may end with, as its options number them


class Lowering:
    """The operators of one graph. framework: whose they are, for what its user is told."""

    def __init__(self, graph: Graph, framework: str) -> None:
        self.graph, self.steps, self.users, self.framework = graph, Steps(), graph.users(), framework
        self.layout = ChannelsLast(graph)
        self.tensors: dict[str, int] = {}
        self.joined: dict[str, str] = {}  # an activation's name -> the row that computes it, too
        self.rows = {row.name: row for row in graph.rows}

    def given(self, row: Row, place: int = 0) -> int:
        """The tensor of an input."""
        return self.tensors[row.inputs[place]]

    def shape(self, row: Row, place: int = 0) -> tuple[int, ...]:
        """Of an input, as the graph has it."""
        return self.rows[row.inputs[place]].shape

    def number(self, value: float | Array) -> int:
        """A constant number, or several."""
        return self.steps.constant(np.asarray(value, np.float32))

    def step(
        self,
        row: Row,
        code: str,
        inputs: Sequence[int],
        options: Mapping[str, Any] | None = None,
        shape: Sequence[int] | None = None,
    ) -> int:
        """An operator; its result is of the row's shape, channels last, unless `shape` is given."""
        result = self.steps.value(row.name, shape_last(row.shape) if shape is None else shape)
        return self.steps.operator(code, inputs, result, options)

    def activation(self, row: Row) -> int:
        """The activation after a row, which the row then computes, too: 0 for none."""
        after = self.users[row.name]
        if len(after) != 1 or row.name in self.graph.outputs:
            return 0
        at = after[0].attributes
        six = after[0].operator == "clip" and (at["least"], at["most"]) == (0.0, 6.0)
        kind = FUSED.get("relu6" if six else after[0].operator, 0)
        if kind:
            self.joined[after[0].name] = row.name
        return kind

    def padded(self, row: Row, given: int, sides: Sequence[tuple[int, int]], value: float = 0.0) -> int:
        """A map [N, H, W, C] with more rows and columns."""
        if not any(any(side) for side in sides):
            return given
        channels, height, width = self.shape(row)
        amounts = self.steps.constant(np.array([(0, 0), *sides, (0, 0)], np.int32))
        shape = (height + sum(sides[0]), width + sum(sides[1]), channels)
        if value == 0:
            return self.step(row, "PAD", (given, amounts), {}, shape)
        return self.step(row, "PADV2", (given, amounts, self.number(value)), {}, shape)

    def windowed(self, row: Row, kernel: Sequence[int], value: float = 0.0) -> tuple[int, int]:
        """The input of a convolution or pooling, padded where SAME would pad otherwise; and 0 for SAME, 1 for VALID."""
        at, (_, *above) = row.attributes, self.shape(row)
        pads = same_padding(above, kernel, at["stride"])
        fits = [-(-side // step) for side, step in zip(above, at["stride"], strict=True)] == list(row.shape[1:])
        if fits and all(before == pad for (before, _), pad in zip(pads, at["padding"], strict=True)):
            return self.given(row), 0
        return self.padded(row, self.given(row), self.sides(row, kernel), value), 1

    def sides(self, row: Row, kernel: Sequence[int]) -> list[tuple[int, int]]:
        """What a convolution or pooling needs before and after each axis."""
        at, (_, *above) = row.attributes, self.shape(row)
        windows = zip(row.shape[1:], at["stride"], kernel, above, at["padding"], strict=True)
        return [(pad, max(0, (count - 1) * step + size - side - pad)) for count, step, size, side, pad in windows]

    def scaled(self, row: Row, given: int, scale: float | Array, offset: float | Array) -> int:
        """given * scale + offset, without what changes nothing."""
        if not np.all(np.asarray(scale) == 1):
            given = self.step(row, "MUL", (given, self.number(scale)), {"activation": 0})
        if np.any(offset):
            given = self.step(row, "ADD", (given, self.number(offset)), {"activation": 0})
        return given

    def sliced(self, row: Row, given: int, steps: Sequence[Sequence[int]], axis: int, shape: Sequence[int]) -> int:
        """A part of one axis, all of the others. steps: where it begins and ends, and its step, for each axis."""
        all_else = sum(1 << place for place in range(len(steps[0])) if place != axis)
        held = [self.steps.constant(np.array(one, np.int32)) for one in steps]
        masks = {"begin_mask": all_else, "end_mask": all_else}
        return self.step(row, "STRIDED_SLICE", (given, *held), masks, shape)

    def refused(self, row: Row, why: str) -> RequestError:
        """The error for a row that the framework cannot hold."""
        return RequestError(f"row {row.name}: {self.framework} {why}")
