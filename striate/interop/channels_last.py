"""Maps with their channels last, [N, H, W, C], as TensorFlow's formats have them: shapes, axes and flattened vectors.

A value of one image with three or more axes has its last two, height and width, moved to the front.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.interop.graph import Array, Graph, Row

# Rows that treat all values alike: a vector may be in another order until a linear row takes it.
_ALIKE = {"relu", "tanh", "sigmoid", "silu", "selu", "elu", "gelu", "leaky_relu", "clip", "hard_swish", "affine",
          "hard_sigmoid", "dropout"}  # fmt: skip


def shape_last(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of one image with its channels last."""
    return tuple(shape) if len(shape) < 3 else (*shape[-2:], *shape[:-2])


def axis_last(axis: int, count: int) -> int:
    """Where an axis of one image's `count` axes is in [N, ...] with the channels last."""
    if count < 3:
        return 1 + axis
    return 1 + axis - (count - 2) if axis >= count - 2 else 3 + axis


def moved(values: Array) -> Array:
    """An array of one image, with three axes or more, with its channels last."""
    return np.moveaxis(values, (-2, -1), (0, 1))


def _into(count: int) -> list[int]:
    """The permutation [N, ...] -> channels last of a value with `count` axes."""
    order = [0] * (count + 1)
    for axis in range(count):
        order[axis_last(axis, count)] = 1 + axis
    return order


class ChannelsLast:
    """Which flattened vectors of a graph are in the order of their maps with the channels last."""

    def __init__(self, graph: Graph) -> None:
        self._rows = {row.name: row for row in graph.rows}
        self._users = graph.users()
        self._outputs = set(graph.outputs)
        self._orders: dict[str, Array] = {}
        for row in graph.rows:
            source = self._rows[row.inputs[0]] if row.inputs else row
            if row.operator == "reshape" and len(source.shape) == 3 and len(row.shape) == 1:
                channels, height, width = source.shape
                if channels > 1 and height * width > 1 and self._linear_only(row):
                    places = np.arange(channels * height * width).reshape(source.shape)
                    self._orders[row.name] = moved(places).ravel()
            elif row.operator in _ALIKE and source.name in self._orders:
                self._orders[row.name] = self._orders[source.name]

    def order(self, name: str) -> Array | None:
        """Of a vector, where each of its values is in the graph's vector; None where they are the same."""
        return self._orders.get(name)

    def turns(self, row: Row) -> tuple[list[int], list[int]]:
        """The permutations before and after a reshape that keep the values' order; empty where none is needed."""
        source = self._rows[row.inputs[0]]
        above, below = source.shape, row.shape
        if row.name in self._orders or (_alone(above) and _alone(below)):
            return [], []
        if len(above) >= 3 and len(below) >= 3 and above[-2:] == below[-2:]:
            return [], []
        count = len(above)
        back = [] if _alone(above) else [0, *(axis_last(axis, count) for axis in range(count))]
        return back, ([] if _alone(below) else _into(len(below)))

    def order_of_axes(self, row: Row) -> list[int]:
        """The permutation of a transpose, with the channels last."""
        axes = row.attributes["axes"]
        order = [0] * (len(axes) + 1)
        for place, axis in enumerate(axes):
            order[axis_last(place, len(axes))] = axis_last(axis, len(axes))
        return order

    def _linear_only(self, row: Row) -> bool:
        """Whether only linear rows take a vector, perhaps after activations."""
        if row.name in self._outputs:
            return False
        return all(
            user.operator == "linear" or (user.operator in _ALIKE and self._linear_only(user))
            for user in self._users[row.name]
        )


def _alone(shape: Sequence[int]) -> bool:
    """Whether the order of values is the same with the channels last."""
    if len(shape) < 3:
        return True
    front = int(np.prod(shape[:-2]))
    return front == 1 or shape[-2] * shape[-1] == 1
