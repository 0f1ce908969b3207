"""Caffe's networks with their weights: a prototxt and its `.caffemodel`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable, shown, unknown
from striate.interop.readers.layers import Builder, Described, InputShape
from striate.netfile.caffe import (
    FIRST_FORMAT,
    LEFT_OUT,
    both_sides,
    image_shape,
    own_part,
    phase_of,
    text_of,
    whole_number,
)
from striate.netfile.formats import text_of as network_text
from striate.netfile.prototxt import Message, fields
from striate.reading import read_given
from striate.weights.caffemodel import read_caffemodel

_LARGEST = 2**30  # bytes of weights; VGG-19's, the largest of the model zoo, have half
Array = NDArray[np.float32]


def read_caffe(network: Path, weights: Path, shape: InputShape | None = None) -> Described:
    """The network of a prototxt, of training or of deployment, with the blobs of a caffemodel.

    shape: channels, height and width of an image, where the prototxt does not say them. Data, losses and the softmax
    are left out. Raises RequestError for what is not known, with its layer.
    """
    found = fields(network_text(network))
    blobs = read_caffemodel(read_given(weights, "the weights", _LARGEST))
    reader = _Reader(Builder("Caffe", shape or image_shape(found)), blobs)
    for one in (*found.get("layers", ()), *found.get("layer", ())):
        if not isinstance(one, Mapping):
            raise RequestError(f"a layer of the prototxt is {shown(one)}, and no message")
        reader.layer(one)
    return reader.builder.finished(reader.last)


class _Reader:
    def __init__(self, builder: Builder, blobs: Mapping[str, Array]) -> None:
        self.builder, self.blobs = builder, blobs
        self.outputs: dict[str, str] = {}  # of Caffe's blobs, ours: a layer may write its output in place of its input
        self.last = Builder.INPUT
        self.normalised = ""  # the output of a BatchNorm, whose Scale may follow

    def layer(self, one: Message) -> None:
        """Add a layer of the prototxt."""
        kind = FIRST_FORMAT.get(text_of(one, "type", ""), text_of(one, "type", ""))
        name = printable(text_of(one, "name", kind))
        tops = [str(top) for top in one.get("top", ())]
        bottoms = [str(bottom) for bottom in one.get("bottom", ())]
        if phase_of(one) == "TEST" or kind in ("Accuracy", "Silence"):
            return
        if kind in ("Softmax", "SoftmaxWithLoss") and bottoms:
            source = self.output(bottoms[0])
            self.last = self.builder.ended(source, "softmax", name)
            return
        if not bottoms or kind in LEFT_OUT:
            if kind == "Input" or (kind in LEFT_OUT and not bottoms):
                return
            raise RequestError(f"layer {shown(name)} of the prototxt has no input")
        if kind not in _LAYERS:
            raise unknown(f"layer of Caffe {name[:80]!r}:", kind, _LAYERS)
        if kind != "Split" and len(tops) != 1:
            raise RequestError(f"layer {shown(name)} of the prototxt has {len(tops)} outputs")
        taken = tuple(self.output(bottom) for bottom in bottoms)
        try:
            made = _LAYERS[kind](self, name, one, taken)
        except ValueError as error:
            if isinstance(error, RequestError):
                raise
            raise RequestError(f"layer {shown(name)} of the prototxt: {error}") from error
        for top in tops:
            self.outputs[top] = made
        self.last = made

    def output(self, blob: str) -> str:
        """Ours of a blob; the first one that no layer gives is the image."""
        if blob not in self.outputs:
            if Builder.INPUT in self.outputs.values():
                raise RequestError(f"the prototxt takes {shown(blob)}, which no layer before gives")
            self.outputs[blob] = Builder.INPUT
        return self.outputs[blob]

    def blob(self, name: str, leaf: str, shape: Sequence[int] | None = None) -> Array:
        """An array of the caffemodel, in a shape of which one side may be -1. Raises RequestError if it is missing."""
        found = self.blobs.get(f"{name}.{leaf}")
        if found is None:
            layers = sorted({key.rpartition(".")[0] for key in self.blobs})
            raise RequestError(
                f"the caffemodel has no {leaf} of layer {name[:80]!r}; it has the layers {', '.join(layers)[:300]}"
            )
        try:
            return found if shape is None else found.reshape(shape)
        except ValueError:
            raise RequestError(f"layer {name[:80]!r} has a blob of {found.shape} where {shape} is expected") from None

    def bias(self, name: str, part: Message) -> Array | None:
        return None if text_of(part, "bias_term", "true") == "false" else self.blob(name, "bias", (-1,))


def _convolution(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    part = own_part(one, "convolution_param")
    kernel = both_sides(part, "kernel_size", "kernel", None)
    pad, dilation = both_sides(part, "pad", "pad", 0), whole_number(part, "dilation", 1)
    if 0 in kernel:
        raise RequestError(f"layer {name!r} has a window of nothing")
    return reader.builder.convolution(
        taken[0],
        name,
        reader.blob(name, "weight", (whole_number(part, "num_output"), -1, *kernel)),
        reader.bias(name, part),
        stride=both_sides(part, "stride", "stride", 1),
        padding=(pad[0], pad[0], pad[1], pad[1]),
        dilation=(dilation, dilation),
        groups=whole_number(part, "group", 1),
    )


def _pooling(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    part = own_part(one, "pooling_param")
    pool = {"MAX": "max", "0": "max", "AVE": "avg", "1": "avg"}.get(text_of(part, "pool", "MAX"))
    if pool is None:
        raise RequestError(f"layer {name!r}: the pooling {text_of(part, 'pool', '')} is not known; MAX and AVE are")
    if text_of(part, "global_pooling", "false") == "true":
        return reader.builder.add(f"global_{pool}_pool", (taken[0],), name)
    pad = both_sides(part, "pad", "pad", 0)
    ceil = text_of(part, "round_mode", "CEIL") != "FLOOR"
    if ceil:
        reader.builder.note("pooling rounds its size up, as Caffe does")
    return reader.builder.pool(
        f"{pool}_pool",
        taken[0],
        name,
        kernel=both_sides(part, "kernel_size", "kernel", None),
        stride=both_sides(part, "stride", "stride", 1),
        padding=(pad[0], pad[0], pad[1], pad[1]),
        ceil=ceil,
    )


def _full(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    part = own_part(one, "inner_product_param")
    weight = reader.blob(name, "weight", (whole_number(part, "num_output"), -1))
    return reader.builder.linear(taken[0], name, weight, reader.bias(name, part))


def _normalised(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    part = own_part(one, "batch_norm_param")
    factor = float(reader.blob(name, "2", (-1,))[0])
    divisor = factor or 1.0
    mean, variance = (reader.blob(name, leaf, (-1,)) / divisor for leaf in ("weight", "bias"))
    made = reader.builder.batch_norm(taken[0], name, None, None, mean, variance, float(text_of(part, "eps", "1e-5")))
    reader.normalised = made
    return made


def _scaled(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    part = own_part(one, "scale_param")
    if len(taken) != 1 or whole_number(part, "axis", 1) != 1:
        raise RequestError(f"layer {name!r}: a Scale of one input along the channels alone is known")
    weight = reader.blob(name, "weight", (-1,))
    given = text_of(part, "bias_term", "false") == "true"
    bias = reader.blob(name, "bias", (-1,)) if given else np.zeros_like(weight)
    if taken[0] == reader.normalised and reader.builder.layers[-1].name == taken[0]:
        return reader.builder.rescaled_norm(weight, bias)
    return reader.builder.add("scale", taken, name, {}, {"weight": weight, "bias": bias})


def _lrn(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    part = own_part(one, "lrn_param")
    if text_of(part, "norm_region", "ACROSS_CHANNELS") not in ("ACROSS_CHANNELS", "0"):
        raise RequestError(f"layer {name!r}: local response normalisation across channels alone is known")
    alpha, beta, k = (
        float(text_of(part, key, default)) for key, default in (("alpha", "1"), ("beta", "0.75"), ("k", "1"))
    )
    size = whole_number(part, "local_size", 5)
    if not 1 <= size <= 100 or not all(0 <= value < 1e6 for value in (alpha, beta, k)):
        raise RequestError(f"layer {name!r}: local response normalisation of size {size}")
    return reader.builder.add("lrn", taken, name, {"size": size, "alpha": alpha, "beta": beta, "k": k})


def _rectified(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    slope = float(text_of(own_part(one, "relu_param"), "negative_slope", "0"))
    if not 0 <= slope < 10:
        raise RequestError(f"layer {name!r}: a slope of {slope:g}")
    return reader.builder.add(*(("leaky_relu", taken, name, {"slope": slope}) if slope else ("relu", taken, name)))


def _parametric(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    return reader.builder.add("prelu", taken, name, {}, {"weight": reader.blob(name, "weight", (-1,))})


def _combined(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    part = own_part(one, "eltwise_param")
    kinds = {"PROD": "multiply", "0": "multiply", "SUM": "add", "1": "add", "MAX": "maximum", "2": "maximum"}
    kind = kinds.get(text_of(part, "operation", "SUM"))
    if kind is None or any(float(one) != 1 for one in part.get("coeff", ())):
        raise RequestError(f"layer {name!r}: sums with factors are not known")
    return reader.builder.add(kind, taken, name)


def _concatenated(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    if whole_number(own_part(one, "concat_param"), "axis", 1) != 1:
        raise RequestError(f"layer {name!r}: maps are concatenated by their channels alone: axis 1")
    return reader.builder.add("concat", taken, name)


def _dropout(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    rate = float(text_of(own_part(one, "dropout_param"), "dropout_ratio", "0.5"))
    if not 0 <= rate < 1:
        raise RequestError(f"layer {name!r}: a dropout of {rate:g}")
    return reader.builder.add("dropout", taken, name, {"rate": rate})


def _flattened(reader: _Reader, name: str, one: Message, taken: tuple[str, ...]) -> str:
    flat = len(reader.builder.shape(taken[0])) == 1
    return taken[0] if flat else reader.builder.add("flatten", taken, name)


def _plain(kind: str) -> _Add:
    return lambda reader, name, one, taken: reader.builder.add(kind, taken, name)


_Add = Callable[[_Reader, str, Message, tuple[str, ...]], str]
_LAYERS: Mapping[str, _Add] = MappingProxyType(
    {
        "Convolution": _convolution,
        "Pooling": _pooling,
        "InnerProduct": _full,
        "BatchNorm": _normalised,
        "Scale": _scaled,
        "LRN": _lrn,
        "ReLU": _rectified,
        "PReLU": _parametric,
        "TanH": _plain("tanh"),
        "Sigmoid": _plain("sigmoid"),
        "ELU": _plain("elu"),
        "Eltwise": _combined,
        "Concat": _concatenated,
        "Dropout": _dropout,
        "Flatten": _flattened,
        "Split": lambda reader, name, one, taken: taken[0],
    }
)
