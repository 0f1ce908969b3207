"""Deeplearning4j's zip archives: a MultiLayerNetwork's configuration.json and coefficients.bin.

Source: `ModelSerializer`, the JSON of `MultiLayerConfiguration` and `BaseDataBuffer.write` of eclipse/deeplearning4j.
All parameters are one row of numbers: of a convolution bias, then weight; of a dense layer the weight column by column,
then bias; of a batch normalisation gamma, beta, mean and variance.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, shown, unknown
from striate.interop.readers.archives import members
from striate.interop.readers.keras import parsed
from striate.interop.readers.layer_shapes import whole
from striate.interop.readers.layers import Builder, Described, InputShape, pair, same_padding

_JSON, _COEFFICIENTS = 2**24, 2**31  # bytes
_TYPES = {"FLOAT": ">f4", "DOUBLE": ">f8", "HALF": ">f2"}
_LONG_LENGTHS = ("MIXED_DATA_TYPES", "LONG_SHAPE")  # ways of allocation whose lengths have eight bytes
Json = Mapping[str, Any]


def read_dl4j(path: Path, shape: InputShape | None = None) -> Described:
    """The network of an archive. shape: channels, height and width of an image, where the configuration does not say.

    Raises RequestError for another file, and for layers that are not known.
    """
    found = members(path, {"configuration.json": _JSON, "coefficients.bin": _COEFFICIENTS})
    config = parsed(found["configuration.json"])
    if "confs" not in config:
        raise RequestError("its configuration has no confs: networks of the class MultiLayerNetwork alone are imported")
    reader = _Reader(Builder("Deeplearning4j", shape or _image(config)), coefficients(found["coefficients.bin"]))
    return reader.read(config)


def coefficients(content: bytes) -> NDArray[np.float32]:
    """The numbers of a coefficients.bin: an array with the shape, and one with the values, both big-endian."""
    try:
        _, at = _buffer(content, 0)
        values, _ = _buffer(content, at)
    except (struct.error, UnicodeDecodeError) as error:
        raise RequestError("its coefficients.bin ends early, or is none") from error
    return values.astype(np.float32)


def _buffer(content: bytes, at: int) -> tuple[NDArray[Any], int]:
    """A buffer that begins at a place, and where it ends. Of the shape, the numbers are not needed."""
    way, at = _text(content, at)
    if way in _LONG_LENGTHS:
        count, at = struct.unpack_from(">q", content, at)[0], at + 8
    else:
        count, at = struct.unpack_from(">i", content, at)[0], at + 4
    kind, at = _text(content, at)
    dtype = np.dtype({"LONG": ">i8", "INT": ">i4", **_TYPES}.get(kind, "V0"))
    if dtype.kind == "V":
        raise RequestError(f"its coefficients.bin has numbers of the type {shown(kind)}")
    if not 0 <= count * dtype.itemsize <= len(content) - at:
        raise RequestError(f"its coefficients.bin declares {count:,} numbers, and has {len(content) - at:,} bytes left")
    return np.frombuffer(content, dtype, count, at), at + count * dtype.itemsize


def _text(content: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">H", content, at)
    if length > 64 or at + 2 + length > len(content):
        raise RequestError("its coefficients.bin is damaged, or none")
    return content[at + 2 : at + 2 + length].decode("ascii"), at + 2 + length


def _image(config: Json) -> InputShape:
    """Channels, height and width, from what turns a vector into a map before the first layer."""
    before = config.get("inputPreProcessors")
    first = before.get("0") if isinstance(before, dict) else None
    if isinstance(first, dict) and "inputHeight" not in first:
        first = next((one for one in first.values() if isinstance(one, dict)), None)  # the older form
    if not isinstance(first, dict) or "inputHeight" not in first:
        raise RequestError("its configuration does not say the size of an image: give --input CHANNELS HEIGHT WIDTH")
    channels, height, width = (whole(first.get(key), key, 1) for key in ("numChannels", "inputHeight", "inputWidth"))
    return channels, height, width


class _Reader:
    def __init__(self, builder: Builder, values: NDArray[np.float32]) -> None:
        self.builder, self.values, self.at = builder, values, 0

    def read(self, config: Json) -> Described:
        confs = config["confs"]
        if not isinstance(confs, list) or not confs or not all(isinstance(one, dict) for one in confs):
            raise RequestError(f"its confs are {shown(confs)}")
        source = Builder.INPUT
        for place, conf in enumerate(confs):
            kind, layer = _layer(conf.get("layer"))
            name = str(layer.get("layerName") or f"layer{place}")
            if kind not in _LAYERS:
                raise unknown(f"layer of Deeplearning4j {name[:80]!r}:", kind, _LAYERS)
            if layer.get("cnn2dDataFormat", "NCHW") != "NCHW":
                raise RequestError(f"layer {name!r} has the format {shown(layer['cnn2dDataFormat'])}; NCHW is known")
            source = _LAYERS[kind](self, layer, source, name)
            source = self.activation(layer, source, name, ends=place == len(confs) - 1)
        if self.at != len(self.values):
            raise RequestError(f"it has {len(self.values):,} coefficients, of which its layers take {self.at:,}")
        return self.builder.finished(source)

    def take(self, *shape: int, columns: bool = False) -> NDArray[np.float32]:
        """The next coefficients, in this shape. Raises RequestError if there are fewer."""
        count = math.prod(shape)
        if count > len(self.values) - self.at:
            raise RequestError(f"its layers take more than its {len(self.values):,} coefficients")
        found = self.values[self.at : self.at + count]
        self.at += count
        return found.reshape(shape, order="F" if columns else "C")

    def activation(self, layer: Json, source: str, name: str, *, ends: bool) -> str:
        value = layer.get("activationFn")
        if value is None:
            return source
        if not isinstance(value, dict):
            raise RequestError(f"layer {name!r} has the activation {shown(value)}")
        kind = _class(value).removeprefix("Activation").lower()
        inner = value if "@class" in value else next(iter(value.values()), {})
        if kind == "identity":
            return source
        if kind in ("softmax", "sigmoid") and ends:
            return self.builder.ended(source, kind, f"{name}.activation")
        if kind in ("lrelu", "leakyrelu"):
            slope = float(inner.get("alpha", 0.01)) if isinstance(inner, dict) else 0.01
            return self.builder.add("leaky_relu", (source,), f"{name}.activation", {"slope": slope})
        if kind not in _ACTIVATIONS:
            raise unknown(f"activation of layer {name!r}:", kind, _ACTIVATIONS)
        return self.builder.add(_ACTIVATIONS[kind], (source,), f"{name}.activation")


def _layer(found: object) -> tuple[str, Json]:
    """The class of a layer and its values: {"@class": ...} or, until 0.9, {"convolution": {...}}."""
    if not isinstance(found, dict) or not found:
        raise RequestError(f"a layer of its configuration is {shown(found)}")
    if "@class" in found:
        return _class(found), found
    kind, inner = next(iter(found.items()))
    if not isinstance(inner, dict):
        raise RequestError(f"a layer of its configuration is {shown(found)}")
    return kind, inner


def _class(found: Json) -> str:
    name = found.get("@class") or next(iter(found), "")
    return str(name).rpartition(".")[2]


def _sizes(layer: Json, key: str, default: int | None = None, least: int = 0) -> tuple[int, int]:
    value = layer.get(key)
    return (default, default) if value is None and default is not None else pair(value, key, least)


def _window(reader: _Reader, layer: Json, source: str, name: str) -> dict[str, Any]:
    kernel, stride = _sizes(layer, "kernelSize", None, 1), _sizes(layer, "stride", 1, 1)
    pad, mode = _sizes(layer, "padding", 0), layer.get("convolutionMode")
    around = (pad[0], pad[0], pad[1], pad[1])
    if mode == "Same":
        around = same_padding(reader.builder.shape(source), kernel, stride, _sizes(layer, "dilation", 1, 1))
        if around[0] != around[1] or around[2] != around[3]:
            reader.builder.note(f"Same pads {around[0]},{around[1]} (rows) and {around[2]},{around[3]} (columns)")
    elif mode not in (None, "Truncate", "Strict"):
        raise RequestError(f"layer {name!r} has the convolution mode {shown(mode)}")
    return {"kernel": kernel, "stride": stride, "padding": around}


def _convolution(reader: _Reader, layer: Json, source: str, name: str) -> str:
    window = _window(reader, layer, source, name)
    inputs, outputs = whole(layer.get("nin"), "nin", 1, 100_000), whole(layer.get("nout"), "nout", 1, 100_000)
    bias = None if layer.get("hasBias") is False else reader.take(outputs)
    weight = reader.take(outputs, inputs, *window.pop("kernel"))
    dilation = _sizes(layer, "dilation", 1, 1)
    return reader.builder.convolution(source, name, weight, bias, dilation=dilation, **window)


def _pooling(reader: _Reader, layer: Json, source: str, name: str) -> str:
    kind = {"MAX": "max_pool", "AVG": "avg_pool"}.get(str(layer.get("poolingType")))
    if kind is None:
        raise RequestError(f"layer {name!r}: the pooling {shown(layer.get('poolingType'))} is not known")
    counted = layer.get("avgPoolIncludePadInDivisor") is True
    return reader.builder.pool(kind, source, name, count_padding=counted, **_window(reader, layer, source, name))


def _global(reader: _Reader, layer: Json, source: str, name: str) -> str:
    kind = {"MAX": "global_max_pool", "AVG": "global_avg_pool"}.get(str(layer.get("poolingType")))
    if kind is None:
        raise RequestError(f"layer {name!r}: the pooling {shown(layer.get('poolingType'))} is not known")
    return reader.builder.add(kind, (source,), name)


def _dense(reader: _Reader, layer: Json, source: str, name: str) -> str:
    inputs, outputs = whole(layer.get("nin"), "nin", 1, 2**31), whole(layer.get("nout"), "nout", 1, 100_000)
    weight = reader.take(inputs, outputs, columns=True).T
    bias = None if layer.get("hasBias") is False else reader.take(outputs)
    return reader.builder.linear(source, name, weight, bias)


def _normalised(reader: _Reader, layer: Json, source: str, name: str) -> str:
    count = whole(layer.get("nout", layer.get("nin")), "nout", 1, 100_000)
    scaled = layer.get("lockGammaBeta") is not True
    gamma, beta = (reader.take(count), reader.take(count)) if scaled else (None, None)
    mean, variance = reader.take(count), reader.take(count)
    if layer.get("useLogStd") is True:
        with np.errstate(over="ignore"):
            variance = np.power(10.0, variance.astype(np.float64)) ** 2
    epsilon = layer.get("eps", 1e-5)
    if not isinstance(epsilon, float):
        raise RequestError(f"layer {name!r} has an epsilon {shown(epsilon)}")
    return reader.builder.batch_norm(source, name, gamma, beta, mean, variance, epsilon)


def _lrn(reader: _Reader, layer: Json, source: str, name: str) -> str:
    numbers = {key: float(layer.get(key, default)) for key, default in (("alpha", 1e-4), ("beta", 0.75), ("k", 2.0))}
    size = whole(layer.get("n", 5.0), "n", 1, 100)
    # alpha is of the sum here, not of the mean.
    return reader.builder.add("lrn", (source,), name, {"size": size, **numbers, "alpha": numbers["alpha"] * size})


def _dropout(reader: _Reader, layer: Json, source: str, name: str) -> str:
    inner = layer.get("idropout")
    kept = inner.get("p") if isinstance(inner, dict) else None
    rate = 1 - kept if isinstance(kept, float) and 0 < kept <= 1 else 0.5
    return reader.builder.add("dropout", (source,), name, {"rate": rate})


def _through(reader: _Reader, layer: Json, source: str, name: str) -> str:
    return source


_ACTIVATIONS = {
    "relu": "relu", "relu6": "relu6", "tanh": "tanh", "sigmoid": "sigmoid", "elu": "elu", "selu": "selu",
    "swish": "silu", "gelu": "gelu",
}  # fmt: skip
_Add = Callable[[_Reader, Json, str, str], str]
_LAYERS: Mapping[str, _Add] = MappingProxyType(
    {
        "ConvolutionLayer": _convolution,
        "convolution": _convolution,
        "SubsamplingLayer": _pooling,
        "subsampling": _pooling,
        "GlobalPoolingLayer": _global,
        "GlobalPooling": _global,
        "DenseLayer": _dense,
        "dense": _dense,
        "OutputLayer": _dense,
        "output": _dense,
        "BatchNormalization": _normalised,
        "batchNormalization": _normalised,
        "LocalResponseNormalization": _lrn,
        "localResponseNormalization": _lrn,
        "ActivationLayer": _through,
        "activation": _through,
        "LossLayer": _through,
        "DropoutLayer": _dropout,
        "dropout": _dropout,
    }
)
