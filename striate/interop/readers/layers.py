"""What every reader gives: the layers of a network in order, with torch's conventions, and the shape after each.

Maps are [channels, height, width], kernels [outputs, inputs, height, width], matrices [outputs, inputs]; what a
framework has otherwise is turned by its reader, which notes it in `notes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable, shown
from striate.interop.readers.layer_shapes import (
    LARGEST_SIDE,
    SAME_SHAPE,
    Floats,
    Shape,
    after,
    described,
    pooled,
    whole,
)
from striate.reading import WEIGHTS

InputShape = tuple[int, int, int]
Sides = tuple[int, int, int, int]  # top, bottom, left, right

MOST_LAYERS = 5_000
MOST_VALUES = 2**28  # of one layer's output: a gigabyte
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer: its kind, the names of what it takes, numbers, arrays, and the shape of its output without the batch."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    arrays: Mapping[str, Floats]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Described:
    """A network as read. framework: its name. input: channels, height and width. notes: what was changed, in words.

    The last layer gives logits: a softmax or sigmoid behind it is left out and noted. multilabel: it was a sigmoid.
    """

    framework: str
    input: tuple[int, int, int]
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]
    multilabel: bool = False

    @property
    def outputs(self) -> int:
        """The length of the last layer's output."""
        return self.layers[-1].shape[0]


@dataclass
class Builder:
    """Layers added one after another, each checked against the shapes of what it takes.

    framework: its name, for messages. input: channels, height and width of an image. orders: of vectors that have their
    numbers in another order in the file, the place here of each. multilabel: the network ends in a sigmoid.
    """

    framework: str
    input: tuple[int, int, int]
    layers: list[Layer] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    orders: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    multilabel: bool = False
    held: int = 0  # bytes of all arrays

    INPUT = "input"

    def __post_init__(self) -> None:
        channels, *sides = self.input
        if not 1 <= channels <= 1024 or not all(1 <= side <= LARGEST_SIDE for side in sides):
            raise RequestError(f"images of {described(self.input)} are not taken")
        self.shapes[self.INPUT] = self.input

    def note(self, text: str) -> None:
        """Remember what was changed; the same note several times is counted."""
        self.notes[text] = self.notes.get(text, 0) + 1

    def shape(self, name: str) -> Shape:
        """The shape of an output. Raises RequestError for one that no layer before gives."""
        if name not in self.shapes:
            raise RequestError(f"a layer takes {shown(name)}, which no layer before it gives")
        return self.shapes[name]

    def add(
        self,
        kind: str,
        inputs: tuple[str, ...],
        name: str,
        attributes: Mapping[str, Any] = NOTHING,
        arrays: Mapping[str, NDArray[Any]] = NOTHING,
    ) -> str:
        """Add a layer; gives the name of its output, which is unique. Raises RequestError, with its name."""
        if len(self.layers) >= MOST_LAYERS:
            raise RequestError(f"it has more than {MOST_LAYERS:,} layers")
        try:
            self.held += 4 * sum(value.size for value in arrays.values())
            if self.held > WEIGHTS:  # one array of a file may be that of thousands of layers
                raise RequestError(f"its arrays and those before it have more than {WEIGHTS:,} bytes")
            plain = {key: floats(value) for key, value in arrays.items()}
            shape = after(kind, [self.shape(one) for one in inputs], attributes, plain)
            if math.prod(shape) > MOST_VALUES or min(shape) < 1:
                raise RequestError(f"its output would be {described(shape)}")
        except RequestError as error:
            raise RequestError(f"layer {printable(name)[:80]!r} ({kind}): {error}") from None
        unique, number = name, 1
        while unique in self.shapes:
            number += 1
            unique = f"{name}#{number}"
        self.layers.append(Layer(unique, kind, inputs, dict(attributes), plain, shape))
        self.shapes[unique] = shape
        if len(shape) == 1 and kind in SAME_SHAPE and inputs[0] in self.orders:
            self.orders[unique] = self.orders[inputs[0]]
        return unique

    def flattened_last(self, source: str, name: str) -> str:
        """A map as a vector by row, column and channel, as where channels are last.

        torch's is by channel, row and column: the next matrix gets its columns in that order instead.
        """
        shape = self.shape(source)
        if len(shape) == 1:
            return source
        flat = self.add("flatten", (source,), name)
        order = np.arange(math.prod(shape), dtype=np.int64).reshape(shape).transpose(1, 2, 0).reshape(-1)
        if not np.array_equal(order, np.arange(len(order))):
            self.orders[flat] = order
            self.note("the layer behind a flattened map has its columns put in the order channel, row, column")
        return flat

    def padded(self, source: str, sides: Sides, name: str, value: float = 0.0) -> str:
        """Pad a map by (top, bottom, left, right) with a value, if there is anything to pad."""
        if not any(sides):
            return source
        return self.add("pad", (source,), f"{name}.pad", {"padding": sides, "value": value})

    def convolution(
        self,
        source: str,
        name: str,
        weight: NDArray[Any],
        bias: NDArray[Any] | None,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: Sides = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> str:
        """A convolution; with more padding on one side than on the other, a row of padding before it."""
        if groups < 1 or min(stride) < 1 or min(dilation) < 1:
            raise RequestError(f"layer {printable(name)[:80]!r} has groups, strides or dilations below 1")
        around, sides = _split(padding)
        source = self.padded(source, sides, name)
        attributes = {"stride": stride, "padding": around, "dilation": dilation, "groups": groups}
        return self.add("conv", (source,), name, attributes, _with_bias(weight, bias))

    def linear(self, source: str, name: str, weight: NDArray[Any], bias: NDArray[Any] | None) -> str:
        """A matrix [outputs, inputs]; a map before it is flattened by channel, row and column."""
        if len(self.shape(source)) > 1:
            source = self.add("flatten", (source,), f"{name}.flatten")
        if source in self.orders and weight.ndim == 2 and weight.shape[1] == len(self.orders[source]):
            turned = np.empty_like(weight)
            turned[:, self.orders[source]] = weight
            weight = turned
        return self.add("linear", (source,), name, NOTHING, _with_bias(weight, bias))

    def pool(
        self,
        kind: str,
        source: str,
        name: str,
        *,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: Sides = (0, 0, 0, 0),
        ceil: bool = False,
        count_padding: bool = True,
    ) -> str:
        """ "max_pool" or "avg_pool". Padding that differs between the sides is a row before a max-pooling.

        Raises RequestError for an average over such padding.
        """
        if min(stride) < 1 or min(kernel) < 1:
            raise RequestError(f"layer {printable(name)[:80]!r} has a window or strides below 1")
        around, sides = _split(padding)
        uncounted = kind == "max_pool" or not count_padding
        if any(sides) and not ceil and uncounted and self._by_ceil(source, kernel, stride, padding):
            # More below and to the right: rounding up has the same windows.
            around, sides, ceil = (padding[0], padding[2]), (0, 0, 0, 0), True
        largest = all(2 * pad <= side for pad, side in zip(around, kernel, strict=True))
        if any(sides) or not largest:
            if kind != "max_pool":
                raise RequestError(f"layer {printable(name)[:80]!r}: an average over padding of {padding} is not taken")
            source, around = self.padded(source, padding, name, -math.inf), (0, 0)
        attributes: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": around, "ceil": ceil}
        if kind == "avg_pool":
            attributes["count_padding"] = count_padding
        return self.add(kind, (source,), name, attributes)

    def _by_ceil(self, source: str, kernel: tuple[int, int], stride: tuple[int, int], sides: Sides) -> bool:
        """Whether a pooling with the upper and left padding on both sides, rounded up, has as many windows."""
        shape = self.shape(source)
        top, bottom, left, right = sides
        if len(shape) != 3 or bottom < top or right < left or 2 * top > kernel[0] or 2 * left > kernel[1]:
            return False
        attributes = {"kernel": kernel, "stride": stride, "padding": (top, left), "ceil": True}
        rooms = [
            side + more - window
            for side, more, window in zip(shape[1:], (top + bottom, left + right), kernel, strict=True)
        ]
        fits = all(side + 2 * pad >= window for side, pad, window in zip(shape[1:], (top, left), kernel, strict=True))
        wanted = [room // step + 1 for room, step in zip(rooms, stride, strict=True)]
        return fits and list(pooled(shape, attributes)[1:]) == wanted

    def batch_norm(
        self, source: str, name: str, weight: NDArray[Any] | None, bias: NDArray[Any] | None,
        mean: NDArray[Any], variance: NDArray[Any], epsilon: float,
    ) -> str:  # fmt: skip
        """Batch normalisation; a missing scale is one, a missing shift zero."""
        mean, variance = floats(mean), floats(variance)
        if not 0 <= epsilon < 1 or (variance < 0).any():
            raise RequestError(f"layer {printable(name)[:80]!r}: epsilon {epsilon} or a negative variance")
        self.note(f"batch normalisation has epsilon {epsilon:g}")
        arrays: dict[str, NDArray[Any]] = {
            "weight": np.ones_like(mean) if weight is None else weight,
            "bias": np.zeros_like(mean) if bias is None else bias,
            "mean": mean,
            "variance": variance,
        }
        if source in self.orders and all(one.shape == self.orders[source].shape for one in arrays.values()):
            back = np.argsort(self.orders[source])
            arrays = {key: one[back] for key, one in arrays.items()}
        return self.add("batch_norm", (source,), name, {"epsilon": epsilon}, arrays)

    def scaled(self, source: str, name: str, factor: float, shift: float) -> str:
        """A map or vector times a number, plus another."""
        channels = self.shape(source)[0]
        arrays = {"weight": np.full(channels, factor, np.float32), "bias": np.full(channels, shift, np.float32)}
        return self.add("scale", (source,), name, {}, arrays)

    def biased(self, bias: NDArray[Any]) -> str:
        """Give the layer that was added last a bias, which other layers hold apart."""
        last = self.layers.pop()
        self.layers.append(replace(last, arrays={**last.arrays, "bias": floats(bias)}))
        return last.name

    def rescaled_norm(self, weight: NDArray[Any], bias: NDArray[Any]) -> str:
        """Give the batch normalisation that was added last its scale and shift, which other layers hold apart."""
        last = self.layers.pop()
        arrays = {**last.arrays, "weight": floats(weight), "bias": floats(bias)}
        after(last.kind, [last.shape], last.attributes, arrays)
        self.layers.append(replace(last, arrays=arrays))
        return last.name

    def finished(self, output: str) -> Described:
        """The network that ends in an output, of which only what it needs is kept. Raises RequestError for a map."""
        layers = {layer.name: layer for layer in self.layers}
        needed, waiting = set(), [output]
        while waiting:
            name = waiting.pop()
            if name in layers and name not in needed:
                needed.add(name)
                waiting.extend(layers[name].inputs)
        kept = tuple(layer for layer in self.layers if layer.name in needed)
        if not kept:
            raise RequestError("it has no layer of a network")
        if kept[-1].name != output:
            raise RequestError("its last layer is not its output")
        if len(kept[-1].shape) != 1:
            raise RequestError(f"it ends in a map, {described(kept[-1].shape)}: classifiers alone are imported")
        if kept[-1].name in self.orders:
            raise RequestError("it ends in a flattened map: classifiers alone are imported")
        told = [text if count == 1 else f"{text} ({count} times)" for text, count in self.notes.items()]
        return Described(self.framework, self.input, kept, tuple(told), self.multilabel)

    def ended(self, source: str, kind: str, name: str) -> str:
        """A softmax or sigmoid at the end of the network: it is left out, as the task of the model applies it.

        One output with a sigmoid, yes or no, becomes two classes: no and yes.
        """
        if kind == "softmax" or self.shape(source) != (1,):
            self.multilabel = kind == "sigmoid"
            self.note(f"the {kind} at the end is left out: the task applies it")
            return source
        self.note("one output with a sigmoid became two classes, no and yes")
        weight, bias = np.array([[0.0], [1.0]], np.float32), np.zeros(2, np.float32)
        return self.linear(source, f"{name}.classes", weight, bias)


def floats(value: NDArray[Any]) -> Floats:
    """An array as contiguous float32. Raises RequestError for other than real numbers, and ones not finite."""
    if value.dtype.kind not in "fiu":
        raise RequestError(f"an array of {value.dtype} where numbers are expected")
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(value, np.float32)
    if not np.isfinite(found).all():
        raise RequestError("an array has values that are NaN or infinite: the file is damaged")
    return found


def pair(value: object, what: str, least: int = 0) -> tuple[int, int]:
    """Two whole numbers, of height and width; one stands for both."""
    found = list(value) if isinstance(value, list | tuple) else [value, value]
    if len(found) == 1:
        found *= 2
    if len(found) != 2:
        raise RequestError(f"{what} is one number, or two, not {shown(value)}")
    return whole(found[0], what, least), whole(found[1], what, least)


def same_padding(size: Shape, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Sides:
    """TensorFlow's SAME: as many outputs as strides fit into the map, the odd pixel below and to the right."""
    sides: list[int] = []
    for side, window, step, apart in zip(size[1:], kernel, stride, dilation, strict=True):
        total = max((-(-side // step) - 1) * step + (window - 1) * apart + 1 - side, 0)
        sides += [total // 2, total - total // 2]
    return sides[0], sides[1], sides[2], sides[3]


def _with_bias(weight: NDArray[Any], bias: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}


def _split(padding: Sides) -> tuple[tuple[int, int], Sides]:
    """Padding as (height, width) where both sides are equal, else as (top, bottom, left, right) apart."""
    top, bottom, left, right = padding
    if top == bottom and left == right:
        return (top, left), (0, 0, 0, 0)
    return (0, 0), padding
