"""Networks that Keras describes by its JSON: known layers as torch's, with their arrays by layer.

The JSON is data; no class that it names is made. Source: the `get_config` of Keras 2 and 3's layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable, shown, unknown
from striate.interop.readers.layer_shapes import whole
from striate.interop.readers.layers import Builder, Described, Sides, pair, same_padding
from striate.netfile.keras_json import Json, checked, list_of, number, one_output, own, part_of, sources_of

Arrays = Sequence[NDArray[Any]]
InputShape = tuple[int, int, int]

# Layers that do something in training alone, and those that change images before a network of one input.
_TRAINING = (
    "ActivityRegularization", "GaussianNoise", "GaussianDropout", "AlphaDropout", "RandomFlip", "RandomRotation",
    "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness", "Identity",
)  # fmt: skip
_CODE = ("Lambda", "TFOpLambda", "TFSMLayer")
_ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "relu": "relu", "relu6": "relu6", "tanh": "tanh", "sigmoid": "sigmoid", "elu": "elu", "selu": "selu",
        "swish": "silu", "silu": "silu", "gelu": "gelu",
        "hard_swish": "hardswish", "hard_silu": "hardswish", "hard_sigmoid": "hardsigmoid",
    }
)  # fmt: skip


def network(
    config: Json,
    weights: Mapping[str, Arrays],
    version: int,
    shape: InputShape | None = None,
    framework: str = "Keras",
) -> Described:
    """The network of a model's configuration, {"class_name": ..., "config": ...}.

    weights: the arrays of each layer by its name, in Keras's order. version: of Keras, 2 or 3. shape: channels, height
    and width of an image, for a model that takes any size. framework: for messages. Raises
    RequestError for what is not known.
    """
    return _Reader(weights, version, framework).read(config, shape)


class _Reader:
    def __init__(self, weights: Mapping[str, Arrays], version: int, framework: str) -> None:
        self.weights, self.version, self.framework = weights, version, framework
        self.builder = Builder(framework, (1, 1, 1))
        self.outputs: dict[str, str] = {}  # of Keras's layers, ours
        self.last = ""
        self.channels_first = False

    def read(self, config: Json, shape: InputShape | None) -> Described:
        inner = part_of(config, "config")
        layers = [checked(one) for one in list_of(inner, "layers")]
        sequence = config.get("class_name") == "Sequential"
        if not sequence and config.get("class_name") not in ("Model", "Functional"):
            raise RequestError(f"a model of the class {shown(config.get('class_name'))} is not known")
        self.channels_first = any(own(one).get("data_format") == "channels_first" for one in layers)
        given = None if sequence else one_output(inner)
        self.last = str(own(layers[-1]).get("name")) if given is None else given
        self.builder = Builder(self.framework, self._image(layers, shape))
        before = Builder.INPUT
        for one in layers:
            name = str(one.get("name") or own(one).get("name"))
            taken = [before] if sequence else [self._output(source) for source in sources_of(one, name)]
            before = self._layer(str(one["class_name"]), name, own(one), taken)
            self.outputs[name] = before
        return self.builder.finished(before if given is None else self._output(given))

    def _output(self, name: str) -> str:
        if name not in self.outputs:
            raise RequestError(f"its layer {shown(name)} is taken before it is there")
        return self.outputs[name]

    def _image(self, layers: Sequence[Json], shape: InputShape | None) -> InputShape:
        """Channels, height and width of an image: the configuration's, with what is open in it from the given ones."""
        first = own(layers[0])
        found = first.get("batch_input_shape", first.get("batch_shape", first.get("batchInputShape")))
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if not isinstance(found, list) or len(found) != 4:
            raise RequestError(f"its input is {shown(found)}: networks of images alone are imported")
        sides = found[1:] if self.channels_first else [found[3], found[1], found[2]]
        if None in sides and shape is None:
            raise RequestError("it takes images of any size: give --input CHANNELS HEIGHT WIDTH")
        channels, height, width = (
            whole(given if side is None else side, "a side of its input", 1)
            for side, given in zip(sides, shape or sides, strict=True)
        )
        return channels, height, width

    def _layer(self, kind: str, name: str, config: Json, taken: Sequence[str]) -> str:
        """Add a layer; gives its output."""
        if kind == "InputLayer":
            if len(taken) > 1 or (not taken and Builder.INPUT in self.outputs.values()):
                raise RequestError("it has several inputs: networks of one image alone are imported")
            return Builder.INPUT
        if kind in _CODE:
            raise RequestError(
                f"its layer {printable(name)[:80]!r} is a {kind}, which is code: it is not run; replace it by layers"
            )
        if kind in _TRAINING:
            self.builder.note(f"{kind} is left out: it acts in training alone")
            return taken[0]
        if kind not in _LAYERS:
            raise unknown(f"layer of Keras {printable(name)[:80]!r}:", kind, _LAYERS)
        if not taken:
            raise RequestError(f"its layer {printable(name)[:80]!r} takes nothing")
        made = _LAYERS[kind](self, name, config, taken)
        activation = config.get("activation")
        if kind == "Activation" or activation in (None, "linear"):
            return made
        return self.activation(activation, f"{name}.activation", made, ends=name == self.last)

    def arrays(self, name: str, least: int, most: int) -> Arrays:
        """The arrays of a layer. Raises RequestError for another number of them."""
        found = self.weights.get(name, ())
        if not least <= len(found) <= most:
            raise RequestError(f"layer {printable(name)[:80]!r} has {len(found)} arrays, not {least} to {most}")
        return found

    def activation(self, value: object, name: str, source: str, *, ends: bool) -> str:
        """An activation by Keras's name, or its configuration."""
        config: Json = {}
        if isinstance(value, Mapping):
            kind, config = str(value.get("class_name")), own(value)
            if kind in _LAYERS and kind != "Activation":
                return _LAYERS[kind](self, name, config, (source,))
            value = config.get("name", kind)
        if value == "linear":
            return source
        if value in ("softmax", "sigmoid") and ends:
            return self.builder.ended(source, str(value), name)
        if value == "hard_sigmoid" and self.version < 3:
            raise RequestError("hard_sigmoid of Keras 2 is not torch's: replace it")
        if value == "leaky_relu":
            return self.builder.add("leaky_relu", (source,), name, {"slope": 0.2})
        if not isinstance(value, str) or value not in _ACTIVATIONS:
            raise unknown("activation of Keras", shown(value), (*_ACTIVATIONS, "softmax"))
        return self.builder.add(_ACTIVATIONS[value], (source,), name)

    def padding(self, config: Json, source: str, kernel: tuple[int, int], name: str) -> Sides:
        kind = config.get("padding", "valid")
        if kind == "valid":
            return 0, 0, 0, 0
        if kind != "same":
            raise RequestError(f"layer {printable(name)[:80]!r}: padding {shown(kind)}; known are valid and same")
        stride = pair(config.get("strides") or kernel, "strides", 1)
        dilation = pair(config.get("dilation_rate", 1), "dilation_rate", 1)
        found = same_padding(self.builder.shape(source), kernel, stride, dilation)
        if found[0] != found[1] or found[2] != found[3]:
            self.builder.note(f"SAME pads {found[0]},{found[1]} (rows) and {found[2]},{found[3]} (columns)")
        return found


def _convolution(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    arrays = reader.arrays(name, 1, 2)
    kernel = pair(config.get("kernel_size"), "kernel_size", 1)
    weight = _kernel(arrays[0], kernel, name)
    return reader.builder.convolution(
        taken[0],
        name,
        weight.transpose(3, 2, 0, 1),
        arrays[1] if len(arrays) > 1 else None,
        stride=pair(config.get("strides", 1), "strides", 1),
        padding=reader.padding(config, taken[0], kernel, name),
        dilation=pair(config.get("dilation_rate", 1), "dilation_rate", 1),
        groups=whole(config.get("groups", 1), "groups", 1),
    )


def _depthwise(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    arrays = reader.arrays(name, 1, 2)
    return _by_channel(reader, name, config, taken, arrays[0], arrays[1] if len(arrays) > 1 else None)


def _by_channel(
    reader: _Reader, name: str, config: Json, taken: Sequence[str], weight: NDArray[Any], bias: NDArray[Any] | None
) -> str:
    """A depthwise convolution; kernel [height, width, channels, multiplier]."""
    kernel = pair(config.get("kernel_size"), "kernel_size", 1)
    weight = _kernel(weight, kernel, name)
    channels = weight.shape[2]
    return reader.builder.convolution(
        taken[0],
        name,
        weight.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel),
        bias,
        stride=pair(config.get("strides", 1), "strides", 1),
        padding=reader.padding(config, taken[0], kernel, name),
        dilation=pair(config.get("dilation_rate", 1), "dilation_rate", 1),
        groups=channels,
    )


def _separable(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    arrays = reader.arrays(name, 2, 3)
    inner = _by_channel(reader, f"{name}.depthwise", config, taken, arrays[0], None)
    weight = _kernel(arrays[1], (1, 1), name).transpose(3, 2, 0, 1)
    return reader.builder.convolution(inner, f"{name}.pointwise", weight, arrays[2] if len(arrays) > 2 else None)


def _kernel(weight: NDArray[Any], kernel: tuple[int, int], name: str) -> NDArray[Any]:
    if weight.ndim != 4 or weight.shape[:2] != kernel:
        raise RequestError(f"layer {printable(name)[:80]!r}: a kernel {weight.shape} for windows of {kernel}")
    return weight


def _dense(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    arrays = reader.arrays(name, 1, 2)
    if len(reader.builder.shape(taken[0])) != 1:
        raise RequestError(f"layer {printable(name)[:80]!r} is dense over a map; a Flatten before it is expected")
    return reader.builder.linear(taken[0], name, arrays[0].T, arrays[1] if len(arrays) > 1 else None)


def _normalised(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    scaled, centred = config.get("scale", True) is True, config.get("center", True) is True
    _require_channels(reader, config.get("axis", -1), name, len(reader.builder.shape(taken[0])))
    arrays = list(reader.arrays(name, 2 + scaled + centred, 2 + scaled + centred))
    weight, bias = arrays.pop(0) if scaled else None, arrays.pop(0) if centred else None
    return reader.builder.batch_norm(
        taken[0], name, weight, bias, arrays[0], arrays[1], number(config, "epsilon", 1e-3)
    )


def _require_channels(reader: _Reader, axis: object, name: str, rank: int) -> None:
    if isinstance(axis, list) and len(axis) == 1:
        axis = axis[0]
    channels = (1, -3) if reader.channels_first and rank == 3 else (rank, -1)
    if axis not in channels:
        raise RequestError(f"layer {printable(name)[:80]!r} is along the axis {shown(axis)}, not the channels")


def _pool(kind: str) -> _Add:
    def add(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
        kernel = pair(config.get("pool_size", 2), "pool_size", 1)
        return reader.builder.pool(
            kind,
            taken[0],
            name,
            kernel=kernel,
            stride=pair(config.get("strides") or kernel, "strides", 1),
            padding=reader.padding(config, taken[0], kernel, name),
            count_padding=False,
        )

    return add


def _global(kind: str) -> _Add:
    def add(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
        # keepdims: a map of one pixel is a vector here, until a convolution takes it.
        vector = reader.builder.add(kind, (taken[0],), name)
        return reader.builder.add("unflatten", (vector,), f"{name}.map") if config.get("keepdims") else vector

    return add


def _reshape(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    shape, wanted = reader.builder.shape(taken[0]), config.get("target_shape")
    if not isinstance(wanted, list) or not all(isinstance(one, int) for one in wanted):
        raise RequestError(f"layer {printable(name)[:80]!r}: target_shape {shown(wanted)}")
    ones = (1, 1, -1), (1, 1, shape[0])
    if len(shape) == 1 and tuple(wanted) in ones and taken[0] not in reader.builder.orders:
        return reader.builder.add("unflatten", (taken[0],), name)
    if len(wanted) == 1 and wanted[0] in (-1, math.prod(shape)):
        return _flatten(reader, name, config, taken)
    last = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    if tuple(wanted) == last:
        return taken[0]
    raise RequestError(f"layer {printable(name)[:80]!r} reshapes {shape} to {wanted}: only to a vector is known")


def _flatten(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    if reader.channels_first and len(reader.builder.shape(taken[0])) == 3:
        return reader.builder.add("flatten", (taken[0],), name)
    return reader.builder.flattened_last(taken[0], name)


def _rectified(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    most, slope = config.get("max_value"), number(config, "negative_slope", 0.0)
    if number(config, "threshold", 0.0) or most not in (None, 6, 6.0) or (slope and most):
        raise RequestError(f"layer {printable(name)[:80]!r}: a ReLU with these limits is not known: {shown(config)}")
    if slope:
        return reader.builder.add("leaky_relu", (taken[0],), name, {"slope": slope})
    return reader.builder.add("relu6" if most else "relu", (taken[0],), name)


def _leaky(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    slope = number(config, "negative_slope", number(config, "alpha", 0.3))
    return reader.builder.add("leaky_relu", (taken[0],), name, {"slope": slope})


def _parametric(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    weight = reader.arrays(name, 1, 1)[0]
    if weight.size != weight.shape[0 if reader.channels_first else -1]:
        raise RequestError(
            f"layer {printable(name)[:80]!r} has a slope for each pixel; shared_axes of a map are expected"
        )
    return reader.builder.add("prelu", (taken[0],), name, {}, {"weight": weight.reshape(-1)})


def _elu(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    if number(config, "alpha", 1.0) != 1.0:
        raise RequestError(f"layer {printable(name)[:80]!r}: an ELU of another alpha than 1")
    return reader.builder.add("elu", (taken[0],), name)


def _softmax(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    if name != reader.last:
        raise RequestError(f"layer {printable(name)[:80]!r}: a softmax within the network is not known")
    return reader.builder.ended(taken[0], "softmax", name)


def _dropout(kind: str) -> _Add:
    def add(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
        rate = number(config, "rate", 0.5)
        if not 0 <= rate < 1:
            raise RequestError(f"layer {printable(name)[:80]!r}: a dropout of {rate:g}")
        return reader.builder.add(kind, (taken[0],), name, {"rate": rate})

    return add


def _zeros(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    given = config.get("padding", 1)
    if isinstance(given, list) and len(given) == 2 and all(isinstance(one, list) for one in given):
        (top, bottom), (left, right) = pair(given[0], "padding"), pair(given[1], "padding")
    else:
        (top, left) = (bottom, right) = pair(given, "padding")
    return reader.builder.padded(taken[0], (top, bottom, left, right), name)


def _merged(kind: str) -> _Add:
    def add(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
        orders = [reader.builder.orders.get(one) for one in taken]
        if any(one is not None for one in orders):
            raise RequestError(f"layer {printable(name)[:80]!r} joins flattened maps, which is not known")
        if kind == "concat":
            _require_channels(reader, config.get("axis", -1), name, len(reader.builder.shape(taken[0])))
        return reader.builder.add(kind, tuple(taken), name)

    return add


def _rescaled(reader: _Reader, name: str, config: Json, taken: Sequence[str]) -> str:
    """Rescaling of the input: a convolution of one pixel for each channel, so that the padding after it is right."""
    channels = reader.builder.shape(taken[0])[0]
    scale = np.broadcast_to(np.asarray(config.get("scale", 1.0), np.float32), (channels,))
    shift = np.broadcast_to(np.asarray(config.get("offset", 0.0), np.float32), (channels,))
    reader.builder.note(f"the network rescales its input by itself: {shown(config.get('scale'))} times")
    return reader.builder.add("scale", (taken[0],), name, {}, {"weight": scale, "bias": shift})


_Add = Callable[[_Reader, str, Json, Sequence[str]], str]
_LAYERS: Mapping[str, _Add] = MappingProxyType(
    {
        "Conv2D": _convolution,
        "Convolution2D": _convolution,
        "DepthwiseConv2D": _depthwise,
        "SeparableConv2D": _separable,
        "Dense": _dense,
        "BatchNormalization": _normalised,
        "Activation": lambda reader, name, config, taken: reader.activation(
            config.get("activation"), name, taken[0], ends=name == reader.last
        ),
        "ReLU": _rectified,
        "LeakyReLU": _leaky,
        "PReLU": _parametric,
        "ELU": _elu,
        "Softmax": _softmax,
        "MaxPooling2D": _pool("max_pool"),
        "AveragePooling2D": _pool("avg_pool"),
        "GlobalAveragePooling2D": _global("global_avg_pool"),
        "GlobalMaxPooling2D": _global("global_max_pool"),
        "Flatten": _flatten,
        "Reshape": _reshape,
        "Dropout": _dropout("dropout"),
        "SpatialDropout2D": _dropout("dropout2d"),
        "ZeroPadding2D": _zeros,
        "Add": _merged("add"),
        "Multiply": _merged("multiply"),
        "Average": _merged("average"),
        "Maximum": _merged("maximum"),
        "Concatenate": _merged("concat"),
        "Rescaling": _rescaled,
    }
)
