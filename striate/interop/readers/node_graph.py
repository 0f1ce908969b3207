"""A graph of ONNX's operators, as plain values: from an ONNX file, or from what OpenVINO reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from striate.errors import RequestError, shown
from striate.interop.readers.layer_shapes import Shape, whole
from striate.interop.readers.layers import Sides, pair, same_padding

Array = NDArray[Any]
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Node:
    """An operator of ONNX: its kind, name, attributes, and the names of what it takes and gives."""

    kind: str
    name: str
    at: Attributes
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class NodeGraph:
    """A graph of nodes. image: the name of the input, with its sides, None where open. array: the values of a name."""

    image: str
    sides: tuple[int | None, ...]
    nodes: tuple[Node, ...]
    output: str
    array: Callable[[str], Array | None]


def sides_of(at: Attributes, shape: Shape, kernel: tuple[int, int]) -> Sides:
    """The padding of a window: by numbers, or by `auto_pad`."""
    auto = at.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        pads = [whole(one, "a padding") for one in at.get("pads", [0, 0, 0, 0])] if auto == "NOTSET" else [0, 0, 0, 0]
        if len(pads) != 4:
            raise RequestError(f"pads are {pads}: four numbers of a map are expected")
        return pads[0], pads[2], pads[1], pads[3]
    stride, dilation = (
        pair(list(at.get("strides", [1, 1])), "strides", 1),
        pair(list(at.get("dilations", [1, 1])), "dilations", 1),
    )
    found = same_padding(shape, kernel, stride, dilation)
    if auto == "SAME_UPPER":
        return found
    if auto == "SAME_LOWER":
        return found[1], found[0], found[3], found[2]
    raise RequestError(f"auto_pad is {shown(auto)}")
