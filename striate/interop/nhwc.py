"""A graph's rows as operators on maps [N, H, W, C], which are called as TensorFlow Lite calls them.

`striate.interop.nhwc_rows.lowered` makes them of a graph; .tflite files and SavedModels are written from them, and an
int8 file is the same operators on other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.storage import sha256_of


@dataclass(frozen=True, eq=False)
class Tensor:
    """shape: with the images as the first axis, written 1, where of_images. values: of a constant.

    type: float32, int32, uint8 or int8. scales, zero: real value = scale * (stored - zero), one scale, or
    one for each position of `axis`; None for numbers that mean themselves.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    values: NDArray[Any] | None = None
    of_images: bool = False
    scales: tuple[float, ...] | None = None
    zero: int = 0
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Operator:
    """inputs, result: numbers of tensors. options: as TensorFlow Lite's schema has them, with `activation` 0, 1, 3."""

    code: str
    inputs: tuple[int, ...]
    result: int
    options: Mapping[str, Any]


class Steps:
    """Tensors, and operators in an order in which each comes after its inputs.

    images, result: the numbers of the tensors that are given and computed.
    """

    def __init__(self) -> None:
        self.images = self.result = 0
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self._kept: dict[tuple[Any, ...], int] = {}
        self._names: dict[str, int] = {}

    def value(self, name: str, shape: Sequence[int], kind: str = "float32") -> int:
        """A tensor that is computed, or the images; gives its number. shape: of one image."""
        return self.tensor(Tensor(name, (1, *shape), kind, of_images=True))

    def constant(self, values: NDArray[Any], name: str = "constant") -> int:
        """A constant, float32 or int32; the same one is kept once."""
        values = np.array(values, np.int32 if values.dtype.kind in "iu" else np.float32, order="C")
        key = sha256_of(values.tobytes()), values.shape, values.dtype.kind
        if key not in self._kept:
            self._kept[key] = self.tensor(Tensor(name, values.shape, values.dtype.name, values))
        return self._kept[key]

    def tensor(self, one: Tensor) -> int:
        """Add a tensor; gives its number. Names are made different, because OpenVINO tells tensors by their names."""
        self._names[one.name] = count = self._names.get(one.name, 0) + 1
        self.tensors.append(one if count == 1 else replace(one, name=f"{one.name}:{count}"))
        return len(self.tensors) - 1

    def shape(self, number: int) -> tuple[int, ...]:
        """Of a tensor, for one image."""
        return self.tensors[number].shape[1:]

    def operator(self, code: str, inputs: Sequence[int], result: int, options: Mapping[str, Any] | None = None) -> int:
        """Add an operator; gives its result."""
        self.operators.append(Operator(code, tuple(inputs), result, options or {}))
        return result
