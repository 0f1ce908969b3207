"""MXNet's networks: a symbol file (`.json`) with its `.params`.

Source: `NDArray::Load` and the JSON of `Symbol.tojson` of Apache MXNet 1.9, and the defaults of its operators.
"""

from __future__ import annotations

import ast
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable, shown, unknown
from striate.interop.readers.keras import parsed
from striate.interop.readers.layer_shapes import whole
from striate.interop.readers.layers import Builder, Described, InputShape, pair
from striate.reading import read_given

_LARGEST, _JSON = 2**31, 2**24  # bytes
_LIST = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_MOST_ARRAYS, _MOST_NODES = 100_000, 20_000
_TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8"}
_ENDS = ("SoftmaxOutput", "softmax", "SoftmaxActivation", "Softmax", "log_softmax")
_LOSSES = {"SoftmaxOutput", "Softmax", "LogisticRegressionOutput"}
_THROUGH = ("identity", "_copy", "BlockGrad", "Cast", "amp_cast")
Array = NDArray[Any]


def read_mxnet(symbol: Path, params: Path, shape: InputShape | None = None) -> Described:
    """The network of a symbol file with the arrays of a parameter file.

    shape: channels, height and width of an image, where the symbol does not say them. Raises RequestError for other
    files and for operators that are not known.
    """
    found = parsed(read_given(symbol, "the network", _JSON))
    arrays = read_params(read_given(params, "the weights", _LARGEST))
    return _Reader(_nodes(found), arrays, shape).read(found)


def read_params(content: bytes) -> dict[str, Array]:
    """The arrays of a parameter file by name, as `arg:conv1_weight`. Raises RequestError for another file."""
    reader = _Bytes(content)
    try:
        if reader.take("<QQ")[0] != _LIST:
            raise RequestError("it is not a parameter file of MXNet")
        arrays = [reader.array() for _ in range(reader.count())]
        names = [reader.text() for _ in range(reader.count())]
    except struct.error as error:
        raise RequestError("it is a parameter file of MXNet that ends early") from error
    if len(names) != len(arrays) or len(set(names)) != len(names):
        raise RequestError(f"it is damaged: {len(names)} names for {len(arrays)} arrays, or one of them twice")
    return dict(zip(names, arrays, strict=True))


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(form, self.content, self.at)
        self.at += struct.calcsize(form)
        return found

    def part(self, length: int) -> bytes:
        if not 0 <= length <= len(self.content) - self.at:
            raise RequestError(
                f"it is damaged: {length:,} bytes are declared, and {len(self.content) - self.at:,} left"
            )
        self.at += length
        return self.content[self.at - length : self.at]

    def count(self) -> int:
        (found,) = self.take("<Q")
        if found > _MOST_ARRAYS:
            raise RequestError(f"it has {found:,} arrays; at most {_MOST_ARRAYS:,} are read")
        return found

    def text(self) -> str:
        return self.part(self.take("<Q")[0]).decode("utf-8", "backslashreplace")

    def array(self) -> Array:
        (magic,) = self.take("<I")
        if magic in (_V2, _V3):
            (storage,) = self.take("<i")
            if storage not in (0, -1):  # dense; of none
                raise RequestError("it has sparse arrays, which are not read")
        shape = self.shape(magic)
        if not shape and magic != _V3:
            return np.zeros(0, np.float32)
        self.take("<ii")  # the device
        (kind,) = self.take("<i")
        if kind not in _TYPES:
            raise RequestError(f"it has an array of the type {kind}, which is not read")
        dtype = np.dtype(_TYPES[kind])
        return np.frombuffer(self.part(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)

    def shape(self, magic: int) -> tuple[int, ...]:
        """The oldest form has the number of dimensions in place of a magic number, and sides of four bytes."""
        rank = magic if magic not in (_V1, _V2, _V3) else self.take("<I")[0]
        if rank > 32:
            raise RequestError(f"it is damaged: an array of {rank} dimensions")
        shape = self.take(f"<{rank}{'q' if magic in (_V1, _V2, _V3) else 'I'}")
        if min(shape, default=1) < 1:
            raise RequestError(f"it is damaged: an array of shape {shape}")
        return shape


def _nodes(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    nodes, heads = found.get("nodes"), found.get("heads")
    if not isinstance(nodes, list) or not isinstance(heads, list) or not heads or not nodes:
        raise RequestError("it is JSON without nodes and heads: no symbol of MXNet")
    if len(nodes) > _MOST_NODES:
        raise RequestError(f"it has {len(nodes):,} nodes; at most {_MOST_NODES:,} are read")
    if not all(isinstance(node, dict) and isinstance(node.get("inputs"), list) for node in nodes):
        raise RequestError("it has nodes without inputs")
    return nodes


class _Reader:
    def __init__(
        self, nodes: Sequence[Mapping[str, Any]], arrays: Mapping[str, Array], shape: InputShape | None
    ) -> None:
        self.nodes, self.arrays = nodes, arrays
        self.outputs: dict[int, str] = {}
        users: dict[int, set[str]] = {}
        for node in nodes:
            for one in node["inputs"]:
                users.setdefault(_place(one), set()).add(str(node.get("op")))
        free = [place for place, node in enumerate(nodes) if node.get("op") == "null" and self.array_of(place) is None]
        data = [place for place in free if not users.get(place, set()) <= _LOSSES]  # labels
        if len(data) != 1:
            names = ", ".join(printable(str(nodes[place].get("name"))) for place in data[:5])
            raise RequestError(f"it has {len(data)} inputs without arrays ({names}); one image is expected")
        self.builder = Builder("MXNet", shape or _image(nodes[data[0]]))
        self.outputs[data[0]] = Builder.INPUT

    def array_of(self, place: int) -> Array | None:
        """The array of a variable, or None."""
        if not 0 <= place < len(self.nodes):
            raise RequestError(f"a node takes the node {place}, which is not there")
        name = self.nodes[place].get("name")
        return next((self.arrays[key] for key in (f"arg:{name}", f"aux:{name}", str(name)) if key in self.arrays), None)

    def read(self, found: Mapping[str, Any]) -> Described:
        head = _place(found["heads"][-1] if len(found["heads"]) == 1 else None, "its outputs")
        for place, node in enumerate(self.nodes):
            if node.get("op") == "null":
                continue
            sources = [_place(one) for one in node["inputs"]]
            if any(source >= place for source in sources):
                raise RequestError("its nodes are not in order")
            self.outputs[place] = self.node(node, sources, ends=place == head)
        if head not in self.outputs:
            raise RequestError(f"its output is the node {head}, which is not there")
        return self.builder.finished(self.outputs[head])

    def node(self, node: Mapping[str, Any], sources: list[int], *, ends: bool) -> str:
        """Add a node; gives its output."""
        kind, name = str(node.get("op")), printable(str(node.get("name")))[:200]
        maps = tuple(self.outputs[source] for source in sources if source in self.outputs)
        arrays = [
            array for source in sources if source not in self.outputs and (array := self.array_of(source)) is not None
        ]
        if not maps:
            raise RequestError(f"node {name!r} ({kind}) takes no map")
        if kind in _ENDS and ends:
            return self.builder.ended(maps[0], "softmax", name)
        if kind in _THROUGH:
            return maps[0]
        if kind not in _OPERATORS:
            raise unknown(f"operator of MXNet {name[:80]!r}:", kind, _OPERATORS)
        try:
            return _OPERATORS[kind](self.builder, name, _Texts(_texts(node), name), maps, arrays)
        except IndexError:
            raise RequestError(f"node {name!r} ({kind}) lacks arrays: {len(arrays)} of its are in the file") from None


def _place(found: object, what: str = "a node's inputs") -> int:
    if not isinstance(found, list) or not found or not isinstance(found[0], int):
        raise RequestError(f"{what} are {shown(found)}")
    if len(found) > 1 and found[1] != 0:
        raise RequestError(f"{what} are {shown(found)}: a second output is not known")
    return found[0]


def _texts(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes of a node, which versions of MXNet call differently."""
    return next((dict(node[key]) for key in ("attrs", "attr", "param") if isinstance(node.get(key), dict)), {})


def _image(node: Mapping[str, Any]) -> InputShape:
    found = re.fullmatch(
        r"[(\[]\d+L?, *(\d{1,5})L?, *(\d{1,5})L?, *(\d{1,5})L?[)\]]", str(_texts(node).get("__shape__", ""))
    )
    if found is None:
        raise RequestError("the symbol does not say the size of an image: give --input CHANNELS HEIGHT WIDTH")
    return int(found[1]), int(found[2]), int(found[3])


class _Texts:
    """The attributes of a node: MXNet writes each as text."""

    def __init__(self, texts: Mapping[str, Any], name: str) -> None:
        self.texts, self.name = texts, name

    def get(self, key: str, default: Any) -> Any:
        if key not in self.texts:
            return default
        text = str(self.texts[key])
        if len(text) > 1000:
            raise RequestError(f"node {self.name!r}: {key} is {len(text)} characters long")
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text

    def pair(self, key: str, default: int, least: int = 0) -> tuple[int, int]:
        value = self.get(key, None)
        return (default, default) if value in (None, ()) else pair(value, f"node {self.name!r}: {key}", least)

    def true(self, key: str, *, default: bool = False) -> bool:
        return self.get(key, default) in (True, 1, "true", "True")

    def number(self, key: str, default: float) -> float:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RequestError(f"node {self.name!r}: {key} is a number, not {shown(value)}")
        return float(value)


def _convolution(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    if at.get("layout", None) not in (None, "None", "NCHW"):
        raise RequestError(f"node {name!r} has the layout {shown(at.get('layout', None))}; NCHW is known")
    pad = at.pair("pad", 0)
    return builder.convolution(
        maps[0],
        name,
        arrays[0],
        None if at.true("no_bias") else arrays[1],
        stride=at.pair("stride", 1, 1),
        padding=(pad[0], pad[0], pad[1], pad[1]),
        dilation=at.pair("dilate", 1, 1),
        groups=whole(at.get("num_group", 1), "num_group", 1),
    )


def _full(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    return builder.linear(maps[0], name, arrays[0], None if at.true("no_bias") else arrays[1])


def _pooling(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    kind = at.get("pool_type", "max")
    if kind not in ("max", "avg"):
        raise RequestError(f"node {name!r}: the pooling {shown(kind)} is not known; max and avg are")
    if at.true("global_pool"):
        vector = builder.add(f"global_{kind}_pool", maps, name)
        return builder.add("unflatten", (vector,), f"{name}.map")
    convention = at.get("pooling_convention", "valid")
    if convention not in ("valid", "full"):
        raise RequestError(f"node {name!r}: the pooling convention {shown(convention)} is not known")
    if convention == "full":
        builder.note("pooling of the convention full rounds its size up")
    pad = at.pair("pad", 0)
    return builder.pool(
        f"{kind}_pool",
        maps[0],
        name,
        kernel=at.pair("kernel", 1, 1),
        stride=at.pair("stride", 1, 1),
        padding=(pad[0], pad[0], pad[1], pad[1]),
        ceil=convention == "full",
        count_padding=at.true("count_include_pad", default=True),
    )


def _normalised(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    if at.get("axis", 1) != 1:
        raise RequestError(f"node {name!r} normalises along the axis {shown(at.get('axis', 1))}, not the channels")
    gamma, beta, mean, variance = arrays[0], arrays[1], arrays[2], arrays[3]
    if at.true("fix_gamma", default=True):
        builder.note("fix_gamma: the scale of a batch normalisation is one, whatever the file holds")
        gamma = np.ones_like(gamma)
    return builder.batch_norm(maps[0], name, gamma, beta, mean, variance, at.number("eps", 1e-3))


def _activation(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    kinds = {
        "relu": "relu",
        "sigmoid": "sigmoid",
        "tanh": "tanh",
    }
    kind = kinds.get(at.get("act_type", ""))
    if kind is None:
        raise unknown(f"activation of node {name!r}:", shown(at.get("act_type", "")), kinds)
    return builder.add(kind, maps, name)


def _leaky(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    kind, slope = at.get("act_type", "leaky"), at.number("slope", 0.25)
    if kind == "leaky":
        return builder.add("leaky_relu", maps, name, {"slope": slope})
    if kind == "prelu":
        return builder.add("prelu", maps, name, {}, {"weight": arrays[0].reshape(-1)})
    if kind == "elu" and slope == 1:
        return builder.add("elu", maps, name)
    if kind in ("gelu", "selu"):
        return builder.add(kind, maps, name)
    raise RequestError(f"node {name!r}: a LeakyReLU of the kind {shown(kind)} with slope {slope:g} is not known")


def _lrn(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    numbers = {"alpha": at.number("alpha", 1e-4), "beta": at.number("beta", 0.75), "k": at.number("knorm", 2)}
    return builder.add("lrn", maps, name, {"size": whole(at.get("nsize", 5), "nsize", 1, 100), **numbers})


def _concatenated(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    if at.get("dim", 1) != 1:
        raise RequestError(f"node {name!r} concatenates along the axis {shown(at.get('dim', 1))}, not the channels")
    return builder.add("concat", maps, name)


def _dropout(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    rate = at.number("p", 0.5)
    if not 0 <= rate < 1:
        raise RequestError(f"node {name!r}: a dropout of {rate:g}")
    return builder.add("dropout", maps, name, {"rate": rate})


def _flattened(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    return maps[0] if len(builder.shape(maps[0])) == 1 else builder.add("flatten", maps, name)


def _reshaped(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    if at.get("shape", None) not in ((0, -1), (-1, math.prod(builder.shape(maps[0])))):
        raise RequestError(f"node {name!r} reshapes to {shown(at.get('shape', None))}: to vectors is known, (0, -1)")
    return _flattened(builder, name, at, maps, arrays)


def _clipped(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
    if (at.number("a_min", -1), at.number("a_max", -1)) != (0, 6):
        raise RequestError(f"node {name!r} clips to other values than 0 and 6")
    return builder.add("relu6", maps, name)


def _scalar(change: Callable[[float], tuple[float, float]]) -> _Add:
    def add(builder: Builder, name: str, at: _Texts, maps: tuple[str, ...], arrays: list[Array]) -> str:
        number = at.number("scalar", 0)
        try:
            factor, shift = change(number)
        except ZeroDivisionError:
            raise RequestError(f"node {name!r} divides by 0") from None
        builder.note(f"the network rescales by itself: {factor:g} times, plus {shift:g}")
        return builder.scaled(maps[0], name, factor, shift)

    return add


def _plain(kind: str) -> _Add:
    return lambda builder, name, at, maps, arrays: builder.add(kind, maps, name)


_Add = Callable[[Builder, str, _Texts, tuple[str, ...], list[Array]], str]
_OPERATORS: Mapping[str, _Add] = MappingProxyType(
    {
        "Convolution": _convolution,
        "FullyConnected": _full,
        "Pooling": _pooling,
        "BatchNorm": _normalised,
        "Activation": _activation,
        "LeakyReLU": _leaky,
        "LRN": _lrn,
        "Concat": _concatenated,
        "Dropout": _dropout,
        "Flatten": _flattened,
        "flatten": _flattened,
        "Reshape": _reshaped,
        "clip": _clipped,
        "relu": _plain("relu"),
        "sigmoid": _plain("sigmoid"),
        "tanh": _plain("tanh"),
        "elemwise_add": _plain("add"),
        "_plus": _plain("add"),
        "_Plus": _plain("add"),
        "broadcast_mul": _plain("multiply"),
        "elemwise_mul": _plain("multiply"),
        "_mul_scalar": _scalar(lambda number: (number, 0.0)),
        "_div_scalar": _scalar(lambda number: (1 / number, 0.0)),
        "_plus_scalar": _scalar(lambda number: (1.0, number)),
        "_minus_scalar": _scalar(lambda number: (1.0, -number)),
    }
)
