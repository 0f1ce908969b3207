"""A network as a graph of rows: what every reader makes and every writer takes.

A reader of a format builds a graph row by row; each `add` checks its row and returns the row's name:

    build = GraphBuilder()
    x = build.input((1, 28, 28))
    x = build.add("conv", x, name="conv1", attributes={"padding": (2, 2)}, arrays={"weight": w, "bias": b})
    x = build.add("relu", x)
    x = build.add("max_pool", x, attributes={"kernel": (2, 2), "stride": (2, 2)})
    x = build.add("reshape", x, attributes={"shape": (20 * 14 * 14,)})
    graph = build.graph(build.add("linear", x, name="fc", arrays={"weight": v}))

`striate.interop.operators` lists the operators with their attributes and arrays. Shapes, axes and maps [C, H, W] are
those of one image, without the batch; weights are as torch has them. Padding is the same on both sides of an axis:
other padding is a `pad` row before (with value -inf before a max_pool). `GraphNet(graph)`
(`striate.interop.graph_net`) is the torch module, `graph_of(net, shape)` (`striate.interop.aten`) the graph of any net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import RequestError, unknown
from striate.interop.operators import OPERATORS, Value

MOST_ROWS = 20_000
MOST_VALUES = 2**31  # of one row's result, of one image
_BATCH = 3  # of the images that shapes are computed with, which hold no values
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError, OverflowError, NotImplementedError)

Array = NDArray[Any]


@dataclass(frozen=True)
class Row:
    """One step: `operator` (of `OPERATORS`) on the results of the rows `inputs`.

    name: of the row and its result. attributes: all that the operator has. arrays: the name of an array in the graph,
    by its role ("weight", "bias", ...). shape: of the result for one image. type: float32, uint8 or int64.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    arrays: Mapping[str, str]
    shape: tuple[int, ...]
    type: str = "float32"


@dataclass(frozen=True, eq=False)
class Graph:
    """Rows in an order in which each comes after its inputs; the first is `input`. outputs: names of rows.

    arrays: by name; one that several rows name is shared.
    """

    rows: tuple[Row, ...]
    outputs: tuple[str, ...]
    arrays: Mapping[str, Array]

    def __getitem__(self, name: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)

    @property
    def input(self) -> Row:
        """The row of the images."""
        return self.rows[0]

    def array(self, row: Row, role: str) -> Array | None:
        """The row's array of that role; None where it has none."""
        return self.arrays[row.arrays[role]] if role in row.arrays else None

    def held(self, row: Row, role: str) -> Array:
        """The row's array of a role that such rows always have."""
        return self.arrays[row.arrays[role]]

    def users(self) -> dict[str, list[Row]]:
        """The rows that take each row's result, by its name."""
        found: dict[str, list[Row]] = {row.name: [] for row in self.rows}
        for row in self.rows:
            for name in row.inputs:
                found[name].append(row)
        return found

    def text(self) -> str:
        """A line for each row: name, operator, inputs, shape."""
        sides = {row.name: " x ".join(map(str, row.shape)) for row in self.rows}
        return "\n".join(f"{row.name}: {row.operator}({', '.join(row.inputs)}) {sides[row.name]}" for row in self.rows)


class GraphBuilder:
    """Builds a graph; see the module. Each row's shape is computed, without allocating it, as the row is added."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._arrays: dict[str, Array] = {}
        self._results: dict[str, Tensor] = {}  # on the meta device

    def input(self, shape: Sequence[int], *, kind: str = "float32", name: str = "images") -> str:
        """The images [C, H, W] (float32 or uint8), the first row. Raises RequestError as `add` does."""
        return self.add("input", (), name=name, attributes={"shape": tuple(shape), "type": kind})

    def array(self, name: str, values: Array) -> str:
        """Keep an array under a name, for several rows; gives the name. Floats become float32, integers int64."""
        values = np.asarray(values)
        if name in self._arrays:
            raise RequestError(f"the graph has two arrays {name!r}")
        if values.dtype.kind not in "fiub":
            raise RequestError(f"array {name!r} holds {values.dtype}, not numbers")
        kept = np.ascontiguousarray(values, np.float32 if values.dtype.kind == "f" else np.int64)
        kept = kept.reshape(values.shape)  # of a scalar
        kept.flags.writeable = False
        self._arrays[name] = kept
        return name

    def add(
        self,
        operator: str,
        inputs: str | Sequence[str],
        *,
        name: str | None = None,
        attributes: Mapping[str, Value] | None = None,
        arrays: Mapping[str, Array | str] | None = None,
    ) -> str:
        """Add a row and give its name; without a `name` it is numbered: relu1, relu2.

        arrays: by role, values or the name of an array that was given to `array`. Raises RequestError, with the name of
        the row, for an unknown operator, attribute or input, what is missing, and shapes that do not fit.
        """
        inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        name = self._named(operator, name)
        if operator not in OPERATORS:
            raise unknown("operator", operator, OPERATORS)
        if len(self._rows) >= MOST_ROWS:
            raise RequestError(f"a graph has at most {MOST_ROWS} rows")
        where = f"row {name} ({operator})"
        if (operator == "input") == bool(self._rows):
            raise RequestError(f"{where}: the first row, and no other, is input")
        for one in inputs:
            if one not in self._rows:
                raise RequestError(f"{where}: {unknown('row', one, self._rows)}")
        count = OPERATORS[operator].inputs
        if len(inputs) != count and (count is not None or not inputs):
            raise RequestError(f"{where} takes {'one or more' if count is None else count} inputs, not {len(inputs)}")
        held = _attributes(operator, attributes or {}, where)
        roles = self._roles(operator, name, arrays or {}, where)
        result = self._result(operator, held, roles, inputs, where)
        if held.get("ceil"):
            held["ceil"] = self._rounds(operator, held, inputs)
        self._results[name] = result
        kind = str(result.dtype).removeprefix("torch.")
        shape = tuple(result.shape[1:])
        self._rows[name] = Row(name, operator, inputs, MappingProxyType(held), MappingProxyType(roles), shape, kind)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a row's result, for one image."""
        return self._rows[name].shape

    def graph(self, *outputs: str) -> Graph:
        """The rows that the outputs need. Raises RequestError for an unknown row."""
        needed = set()
        pending = list(outputs)
        while pending:
            name = pending.pop()
            if name not in self._rows:
                raise unknown("row", name, self._rows)
            if name not in needed:
                needed.add(name)
                pending += self._rows[name].inputs
        rows = tuple(row for row in self._rows.values() if row.name in needed or row.operator == "input")
        used = {array for row in rows for array in row.arrays.values()}
        arrays = {name: values for name, values in self._arrays.items() if name in used}
        return Graph(rows, outputs, MappingProxyType(arrays))

    def _named(self, operator: str, name: str | None) -> str:
        if name is None:
            numbers = (f"{operator}{number}" for number in range(1, MOST_ROWS + 2))
            name = next(one for one in numbers if one not in self._rows)
        if name in self._rows:
            raise RequestError(f"the graph has two rows {name!r}")
        return name

    def _roles(self, operator: str, name: str, arrays: Mapping[str, Array | str], where: str) -> dict[str, str]:
        """The names of the row's arrays by role; new ones are kept."""
        taken = OPERATORS[operator]
        for role in arrays:
            if role not in taken.arrays:
                raise RequestError(f"{where}: {unknown('array', role, taken.arrays)}")
        for role in taken.arrays:
            if role not in arrays and role not in taken.optional:
                raise RequestError(f"{where} lacks its {role}")
        roles = {
            role: given if isinstance(given, str) else self.array(f"{name}.{role}", given)
            for role, given in arrays.items()
        }
        for given in roles.values():
            if given not in self._arrays:
                raise RequestError(f"{where}: {unknown('array', given, self._arrays)}")
        return roles

    def _rounds(self, operator: str, attributes: Mapping[str, Any], inputs: Sequence[str]) -> bool:
        """Whether rounding up or down makes a difference to the pooling's shape."""
        above = self._results[inputs[0]].shape[-2:]
        dilations = attributes.get("dilation", (1, 1))
        windows = zip(above, attributes["kernel"], attributes["padding"], dilations, attributes["stride"], strict=True)
        return any((side + 2 * pad - step * (kernel - 1) - 1) % stride for side, kernel, pad, step, stride in windows)

    def _result(
        self, operator: str, attributes: Mapping[str, Any], roles: Mapping[str, str], inputs: Sequence[str], where: str
    ) -> Tensor:
        """The row's result without values. Raises RequestError where the operator refuses its inputs."""
        given = [self._results[one] for one in inputs]
        arrays = {role: _empty(self._arrays[one]) for role, one in roles.items()}
        shapes = " and ".join(" x ".join(map(str, one.shape[1:])) for one in given)
        try:
            if operator == "input":
                kind = {"float32": torch.float32, "uint8": torch.uint8}[str(attributes["type"])]
                if not all(type(side) is int and side > 0 for side in attributes["shape"]):
                    raise ValueError(f"a shape has sides of 1 or more, not {attributes['shape']}")
                given = [torch.empty((_BATCH, *attributes["shape"]), dtype=kind, device="meta")]
            with torch.no_grad():
                result = OPERATORS[operator].run(attributes, arrays, given, False)
        except KeyError as error:
            raise RequestError(f"{where}: {error} is not supported") from None
        except _FAILURES as error:
            told = " ".join(str(error).split())[:200]
            raise RequestError(f"{where} does not fit {shapes or 'its shape'}: {told}") from None
        if operator != "constant" and (not result.ndim or result.shape[0] != _BATCH):
            raise RequestError(f"{where} gives {list(result.shape)} for {_BATCH} images, which is not one for each")
        if not 0 < result[0].numel() <= MOST_VALUES:
            raise RequestError(f"{where} gives {result[0].numel()} values of an image; allowed: 1 to {MOST_VALUES}")
        return result


def _attributes(operator: str, given: Mapping[str, Value], where: str) -> dict[str, Any]:
    """All attributes of the operator, with its defaults. Raises RequestError for unknown and missing ones."""
    known = OPERATORS[operator].attributes
    for name in given:
        if name not in known:
            raise RequestError(f"{where}: {unknown('attribute', name, known)}")
    held = {**known, **given}
    for name, value in held.items():
        if value is ...:
            raise RequestError(f"{where} lacks its {name}")
        if isinstance(value, Sequence) and not isinstance(value, str):
            held[name] = tuple(value)
    return held


def _empty(array: Array) -> Tensor:
    return torch.empty(array.shape, dtype=torch.int64 if array.dtype.kind == "i" else torch.float32, device="meta")
