"""Torch7's networks: modules of `nn` and `cudnn` in a `.t7` or `.net` file, as torch's layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, shown, unknown
from striate.interop.readers.layer_shapes import whole
from striate.interop.readers.layers import Builder, Described, InputShape
from striate.interop.readers.torch7_file import TorchObject, read
from striate.reading import read_given

_LARGEST = 2**31  # bytes
_THROUGH = ("Identity", "Contiguous", "Copy")
_ENDS = ("SoftMax", "LogSoftMax", "SpatialSoftMax")
_JOINS = {
    "Concat": "concat",
    "JoinTable": "concat",
    "CAddTable": "add",
    "CMulTable": "multiply",
    "CMaxTable": "maximum",
}
_DEPTH = 60  # of containers within containers


def read_torch7(path: Path, shape: InputShape | None = None) -> Described:
    """The network of a file. shape: channels, height and width of an image, which Torch7 does not store.

    Raises RequestError for other files and for modules that are not known.
    """
    found = _module(read(read_given(path, "the network", _LARGEST)))
    if shape is None:
        raise RequestError("Torch7 does not store the size of an image: give --input CHANNELS HEIGHT WIDTH")
    reader = _Reader(Builder("Torch7", shape))
    return reader.builder.finished(reader.module(found, (Builder.INPUT,), "", 0)[0])


def _module(found: Any) -> TorchObject:
    """The network in a file: by itself, or in a table."""
    if isinstance(found, dict):
        inside = {key: value for key, value in found.items() if isinstance(value, TorchObject)}
        chosen = [key for key in ("model", "net", "network", "modelPrototype") if key in inside] or list(inside)
        if len(chosen) < 1:
            raise RequestError(f"it has a table without a network: {shown(list(found))}")
        found = inside[chosen[0]]
    if not isinstance(found, TorchObject):
        raise RequestError(f"it has {shown(type(found).__name__)}, and no network")
    return found


class _Reader:
    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def module(self, one: Any, sources: tuple[str, ...], name: str, depth: int) -> tuple[str, ...]:
        """Add a module, with those in it; gives its outputs, several of a ConcatTable."""
        if not isinstance(one, TorchObject) or depth > _DEPTH:
            raise RequestError(f"{name or 'it'} is {shown(type(one).__name__)}, or too deep, and no module")
        package, _, kind = one.kind.partition(".")
        if package not in ("nn", "cudnn"):
            raise RequestError(
                f"{name or 'it'} is a {shown(one.kind)}: modules of nn and cudnn in containers are known"
            )
        if kind in ("Sequential", "DataParallelTable"):
            parts = self.parts(one)
            for place, part in enumerate(parts if kind == "Sequential" else parts[:1], start=1):
                sources = self.module(part, sources, _named(name, part, place), depth + 1)
            return sources
        if kind in ("Concat", "ConcatTable"):
            made = [
                self.module(part, sources, _named(name, part, place), depth + 1)
                for place, part in enumerate(self.parts(one), start=1)
            ]
            outputs = tuple(output for part in made for output in part)
            return outputs if kind == "ConcatTable" else (self.joined("Concat", one.fields, outputs, name),)
        if kind in _JOINS:
            return (self.joined(kind, one.fields, sources, name),)
        if len(sources) != 1:
            raise RequestError(f"{name} is a {kind}, which takes one of {len(sources)} outputs")
        if kind in _THROUGH:
            return sources
        if kind in _ENDS:
            return (self.builder.ended(sources[0], "softmax", name),)
        if kind not in _MODULES:
            raise unknown(f"module of Torch7 {name[:80]!r}:", kind, (*_MODULES, *_JOINS))
        return (_MODULES[kind](self, one.fields, sources[0], name),)

    def joined(self, kind: str, fields: Mapping[Any, Any], sources: tuple[str, ...], name: str) -> str:
        if _JOINS[kind] == "concat":
            axis = whole(fields.get("dimension"), "dimension", 1)
            # Axes are counted from 1, with the batch; of JoinTable without it, where nInputDims says so.
            inner = fields.get("nInputDims") in (3.0, 1.0)
            if axis != (1 if inner else 2):
                raise RequestError(f"{name} joins along the axis {axis}, not the channels")
        return self.builder.add(_JOINS[kind], sources, name)

    def parts(self, one: TorchObject) -> list[Any]:
        """The modules in a container, which are numbered from 1."""
        table = one.fields.get("modules")
        if not isinstance(table, dict) or sorted(table) != [float(place) for place in range(1, len(table) + 1)]:
            raise RequestError(f"a {one.kind} has no numbered modules")
        return [table[float(place)] for place in range(1, len(table) + 1)]


def _named(container: str, part: Any, place: int) -> str:
    kind = part.kind.partition(".")[2] if isinstance(part, TorchObject) else "part"
    return f"{container}{'.' if container else ''}{kind}{place}"


def _int(fields: Mapping[Any, Any], key: str, default: int | None = None, least: int = 0) -> int:
    value = fields.get(key)
    return default if value is None and default is not None else whole(value, key, least)


def _array(fields: Mapping[Any, Any], key: str) -> NDArray[Any]:
    value = fields.get(key)
    if not isinstance(value, np.ndarray):
        raise RequestError(f"a module has no {key}: it is {shown(value)}")
    return value


def _maybe(fields: Mapping[Any, Any], key: str) -> NDArray[Any] | None:
    value = fields.get(key)
    return value if isinstance(value, np.ndarray) and value.size else None


def _convolution(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    kernel = (_int(fields, "kH", None, 1), _int(fields, "kW", None, 1))
    groups = _int(fields, "groups", 1, 1)
    weight, outputs = _array(fields, "weight"), _int(fields, "nOutputPlane", None, 1)
    inputs = _int(fields, "nInputPlane", None, 1) // groups
    if weight.size != outputs * inputs * math.prod(kernel):
        raise RequestError(f"{name} has a weight of {weight.shape} for {inputs} to {outputs} maps of {kernel}")
    padding = _int(fields, "padding", 0)
    down, across = _int(fields, "padH", padding), _int(fields, "padW", padding)
    return reader.builder.convolution(
        source,
        name,
        weight.reshape(outputs, inputs, *kernel),
        _maybe(fields, "bias"),
        stride=(_int(fields, "dH", 1, 1), _int(fields, "dW", 1, 1)),
        padding=(down, down, across, across),
        dilation=(_int(fields, "dilationH", 1, 1), _int(fields, "dilationW", 1, 1)),
        groups=groups,
    )


def _pool(kind: str) -> _Add:
    def add(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
        if kind == "avg_pool" and fields.get("divide") is False:
            raise RequestError(f"{name} sums instead of averaging, which is not known")
        down, across = _int(fields, "padH", 0), _int(fields, "padW", 0)
        kernel = (_int(fields, "kH", None, 1), _int(fields, "kW", None, 1))
        return reader.builder.pool(
            kind,
            source,
            name,
            kernel=kernel,
            stride=(_int(fields, "dH", kernel[0], 1), _int(fields, "dW", kernel[1], 1)),
            padding=(down, down, across, across),
            ceil=fields.get("ceil_mode") is True,
            count_padding=fields.get("count_include_pad") is not False,
        )

    return add


def _normalised(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    mean, epsilon = _array(fields, "running_mean"), fields.get("eps", 1e-5)
    if not isinstance(epsilon, float):
        raise RequestError(f"{name} has an epsilon {shown(epsilon)}")
    variance = _maybe(fields, "running_var")
    if variance is None:
        # Of 2014: one over the deviation, in which epsilon is already.
        deviation = _array(fields, "running_std").astype(np.float64)
        if not (deviation > 0).all():
            raise RequestError(f"{name} has a running_std that is not positive")
        variance, epsilon = 1 / deviation**2, 0.0
        reader.builder.note("an old batch normalisation stored one over the deviation")
    return reader.builder.batch_norm(
        source, name, _maybe(fields, "weight"), _maybe(fields, "bias"), mean, variance, epsilon
    )


def _linear(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    return reader.builder.linear(source, name, _array(fields, "weight"), _maybe(fields, "bias"))


def _flattened(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    """View and Reshape, to a vector."""
    shape = reader.builder.shape(source)
    sizes = fields.get("size")
    wanted = [int(one) for one in sizes.reshape(-1)] if isinstance(sizes, np.ndarray) else []
    if wanted[:1] == [-1] and len(wanted) > 1:
        wanted = wanted[1:]
    if wanted not in ([-1], [math.prod(shape)]):
        raise RequestError(f"{name} makes {wanted} of {shape}: to a vector of all values is known; is --input right?")
    return source if len(shape) == 1 else reader.builder.add("flatten", (source,), name)


def _threshold(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    if fields.get("threshold", 0.0) != 0 or fields.get("val", 0.0) != 0:
        raise RequestError(f"{name} is a Threshold other than a ReLU")
    return reader.builder.add("relu", (source,), name)


def _leaky(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    return reader.builder.add("leaky_relu", (source,), name, {"slope": _float(fields, "negval", 0.01)})


def _dropout(kind: str) -> _Add:
    def add(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
        rate = _float(fields, "p", 0.5)
        if not 0 <= rate < 1:
            raise RequestError(f"{name} is a dropout of {rate:g}")
        made = reader.builder.add(kind, (source,), name, {"rate": rate})
        if kind == "dropout" and fields.get("v2") is not True and rate:
            # The first form scales when it is evaluated, not when it is trained.
            reader.builder.note(f"an old dropout multiplies by {1 - rate:g} when it is evaluated")
            made = reader.builder.scaled(made, f"{name}.scale", 1 - rate, 0.0)
        return made

    return add


def _lrn(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    numbers = {key: _float(fields, key, default) for key, default in (("alpha", 1e-4), ("beta", 0.75), ("k", 1.0))}
    return reader.builder.add("lrn", (source,), name, {"size": _int(fields, "size", 5, 1), **numbers})


def _zeros(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    top, bottom, left, right = (_int(fields, key, 0) for key in ("pad_t", "pad_b", "pad_l", "pad_r"))
    return reader.builder.padded(source, (top, bottom, left, right), name)


def _constant(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    return reader.builder.scaled(source, name, _float(fields, "constant_scalar", 1.0), 0.0)


def _float(fields: Mapping[Any, Any], key: str, default: float) -> float:
    value = fields.get(key, default)
    if not isinstance(value, float) or not math.isfinite(value):
        raise RequestError(f"{key} is a number, not {shown(value)}")
    return value


def _parametric(reader: _Reader, fields: Mapping[Any, Any], source: str, name: str) -> str:
    return reader.builder.add("prelu", (source,), name, {}, {"weight": _array(fields, "weight").reshape(-1)})


def _plain(kind: str) -> _Add:
    return lambda reader, fields, source, name: reader.builder.add(kind, (source,), name)


_Add = Callable[[_Reader, Mapping[Any, Any], str, str], str]
_MODULES: Mapping[str, _Add] = MappingProxyType(
    {
        "SpatialConvolution": _convolution,
        "SpatialConvolutionMM": _convolution,
        "SpatialDilatedConvolution": _convolution,
        "SpatialMaxPooling": _pool("max_pool"),
        "SpatialAveragePooling": _pool("avg_pool"),
        "SpatialBatchNormalization": _normalised,
        "BatchNormalization": _normalised,
        "Linear": _linear,
        "View": _flattened,
        "Reshape": _flattened,
        "ReLU": _plain("relu"),
        "ReLU6": _plain("relu6"),
        "Threshold": _threshold,
        "LeakyReLU": _leaky,
        "PReLU": _parametric,
        "ELU": _plain("elu"),
        "Tanh": _plain("tanh"),
        "Sigmoid": _plain("sigmoid"),
        "Dropout": _dropout("dropout"),
        "SpatialDropout": _dropout("dropout2d"),
        "SpatialCrossMapLRN": _lrn,
        "SpatialZeroPadding": _zeros,
        "MulConstant": _constant,
    }
)
