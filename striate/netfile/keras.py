"""A network of Keras as a net file: the layers of its JSON, as `model.to_json()` writes it, as rows.

The JSON is data; no class that it names is made. Source: the `get_config` of Keras 2 and 3's layers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from striate.errors import RequestError, printable, shown, unknown
from striate.netfile.keras_json import Json, checked, list_of, number, one_output, own, part_of, sources_of
from striate.netfile.layer_rows import Layer, net_text
from striate.netfile.shapes import Shape, after, concatenated
from striate.netfile.words import LARGEST_CHANNELS, words_of

# Of no part in the network: the scale of pixels is the task's, and the shape of a vector is a row's.
_THROUGH = frozenset({"InputLayer", "Flatten", "Rescaling", "Normalization", "Softmax"})
_ENDS = frozenset({"softmax", "linear"})
_OF_CHANNELS = frozenset({"BatchNormalization", "GroupNormalization"})  # which a flattened map has more of
_SIDES = 16_384
# Activations by Keras's names.
ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {"relu": "relu", "relu6": "relu6", "tanh": "tanh", "sigmoid": "sigmoid", "elu": "elu", "selu": "selu",
     "silu": "swish", "swish": "swish", "gelu": "gelu", "hard_silu": "hardswish", "hard_swish": "hardswish"}
)  # fmt: skip


def net_file(text: str, shape: tuple[int, int, int] | None = None) -> str:
    """The net file of a network that is written as Keras's JSON, of Keras 2 or 3.

    The softmax at the end is left out, and so are layers that scale pixels. shape: channels, height and width of an
    image, where the JSON does not say them. Raises RequestError, with the layer, for what a net file cannot say.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError("it is not JSON as Keras writes it") from error
    if not isinstance(found, Mapping) or found.get("class_name") not in ("Sequential", "Functional", "Model"):
        raise RequestError("it is no model of Keras, which has the class Sequential, Functional or Model")
    inner = part_of(found, "config")
    layers = [checked(one) for one in list_of(inner, "layers")]
    image = shape or _image(own(layers[0]))
    reader = _Reader(layers, image, found.get("class_name") == "Sequential")
    given = None if reader.sequence else one_output(inner)
    return net_text(str(inner.get("name", "net")), image, reader.ending(given), "the model")


def _image(first: Json) -> tuple[int, int, int]:
    sides = first.get("batch_shape", first.get("batch_input_shape"))
    if isinstance(sides, list) and len(sides) == 1:
        sides = sides[0]
    if first.get("data_format") == "channels_first":
        raise RequestError("its maps have their channels first: networks with channels last are converted")
    if not isinstance(sides, list) or len(sides) != 4 or not all(type(side) is int for side in sides[1:]):
        raise RequestError("the model does not say the shape of an image: give it, as channels, height, width")
    height, width, channels = sides[1:]
    return channels, height, width


class _Reader:
    """The layers one after the other. Each output has a name and a shape; `outputs` has them by Keras's layer."""

    def __init__(self, layers: list[Json], image: tuple[int, int, int], sequence: bool) -> None:
        self.layers, self.sequence = layers, sequence
        self.shapes: dict[str, Shape] = {"image": image}
        self.outputs: dict[str, str] = {}
        self.zeros: dict[str, tuple[int, int]] = {}  # around what a layer gives, by its name
        self.flat: set[str] = set()  # layers that give a map as a vector
        self.ended: set[str] = set()  # layers after a softmax

    def ending(self, last: str | None) -> Iterator[Layer]:
        """The layers, to that which gives the output."""
        found = [layer for number, one in enumerate(self.layers) for layer in self._layer(number, one)]
        wanted = None if last is None else self.outputs.get(last)
        for layer in found:
            yield layer
            if layer.output == wanted:
                return

    def _layer(self, number: int, one: Json) -> Iterator[Layer]:
        name, kind = str(one.get("name") or own(one).get("name")), str(one["class_name"])
        try:
            sources = self._sources(one, name)
            words = self._words(kind, own(one), name, sources)
        except KeyError:
            raise RequestError(f"layer {shown(name)} of the model takes what is not there before it") from None
        except (RequestError, ValueError, TypeError) as error:
            raise RequestError(f"layer {shown(name)} of the model: {error}") from error
        taken = [self.outputs[source] for source in sources] or ["image"]
        for place, text in enumerate(words):
            output = f"{name}#{number}.{place}"
            self.shapes[output] = self._after(kind, text, taken)
            yield Layer(printable(name), "Concat" if kind == "Concatenate" else kind, tuple(taken), output, text)
            taken = [output]
        self.outputs[name] = taken[0]

    def _sources(self, one: Json, name: str) -> list[str]:
        found = [*self.outputs][-1:] if self.sequence else sources_of(one, name)
        for source in found:
            self.outputs[source]  # KeyError: it comes later
        return found

    def _words(self, kind: str, config: Json, name: str, sources: list[str]) -> list[str]:
        """The words of a layer, one for each layer of torch; none where it is no layer of a net file."""
        pads, flat = [self.zeros.get(one) for one in sources], any(one in self.flat for one in sources)
        activation = config.get("activation")
        if any(one in self.ended for one in sources) and kind not in _THROUGH:
            raise RequestError("it takes a softmax, which a net file has at its end alone")
        if activation is not None and not isinstance(activation, str):
            raise RequestError(f"activation is {shown(activation)}, and functions of one's own are not read")
        if kind == "Softmax" or activation == "softmax" or self.ended.intersection(sources):
            self.ended.add(name)
        if kind == "ZeroPadding2D" and not any(pads):
            self.zeros[name] = _sides(config.get("padding"))
            return []
        if any(pads) and kind not in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D"):
            raise RequestError("it takes zeros around a map, which a net file has for convolutions alone")
        if kind == "Flatten" or (flat and kind != "Dense"):
            self.flat.add(name)
        if kind in _THROUGH:
            return []
        if kind not in _LAYERS:
            raise unknown("layer of Keras", kind, _LAYERS)
        if len(sources) > 1 and kind not in ("Add", "Concatenate"):
            raise RequestError(f"it takes {len(sources)} inputs")
        shape = self.shapes[self.outputs[sources[0]] if sources else "image"]
        if kind == "Dense" and len(shape) == 3 and not flat:
            raise RequestError("it takes a map, of which a net file flattens all and Keras the channels: add a Flatten")
        flattened = flat and len(shape) == 3 and kind in _OF_CHANNELS
        words = _LAYERS[kind](config, (math.prod(shape),) if flattened else shape, pads[0] if pads else None)
        words = ["flatten", *words] if flattened else words
        if kind != "Activation" and activation is not None and activation not in _ENDS:
            words = [*words, _activation(activation)]
        return words

    def _after(self, kind: str, text: str, taken: list[str]) -> Shape:
        shapes = [self.shapes[source] for source in taken]
        if kind == "Concatenate":
            return concatenated(shapes)
        shape = shapes[0]
        for word in words_of(text.split()) if text else ():
            shape = after(word, shape, 1)
        return shape


def _whole(config: Json, key: str, default: int | None = None) -> int:
    value = config.get(key, default)
    if type(value) is not int or not 1 <= value <= LARGEST_CHANNELS:
        raise RequestError(f"{key} is a whole number from 1 to {LARGEST_CHANNELS:,}, not {shown(value)}")
    return value


def _pair(config: Json, key: str, default: int | None = None) -> tuple[int, int]:
    value = config.get(key)
    both: list[Any] = [default if value is None else value] * 2 if not isinstance(value, list) else value
    if len(both) != 2 or not all(type(side) is int and 1 <= side <= _SIDES for side in both):
        raise RequestError(f"{key} is {shown(value)}")
    return both[0], both[1]


def _sides(value: object) -> tuple[int, int]:
    """The padding of a ZeroPadding2D, the same before and after."""
    held = [value, value] if type(value) is int else value
    pairs = [[one, one] if type(one) is int else one for one in held] if isinstance(held, list) else []
    if len(pairs) != 2 or not all(isinstance(one, list) and len(one) == 2 and one[0] == one[1] for one in pairs):
        raise RequestError(f"zeros of {shown(value)} have no word: a net file pads both sides of a map by as much")
    if not all(type(one[0]) is int and 0 <= one[0] <= _SIDES for one in pairs):
        raise RequestError(f"padding is {shown(value)}")
    return pairs[0][0], pairs[1][0]


def _window(config: Json, key: str, shape: Shape, pads: tuple[int, int] | None) -> tuple[str, tuple[int, int], bool]:
    """A kernel and stride as in a word, the padding in pixels, and whether the size is rounded up."""
    kernel, dilation = _pair(config, key), _pair(config, "dilation_rate", 1)
    stride = _pair(config, "strides", None if key == "kernel_size" else kernel[0]) if config.get("strides") else None
    stride = stride or ((1, 1) if key == "kernel_size" else kernel)
    if stride[0] != stride[1] or dilation[0] != dilation[1]:
        raise RequestError("strides, and dilations, of height and width are the same in a net file")
    if len(shape) != 3:
        raise RequestError("it takes a map, and here are numbers")
    if config.get("data_format") == "channels_first":
        raise RequestError("its maps have their channels first")
    padding, ceil, held = pads or (0, 0), False, config.get("padding", "valid")
    if held not in ("valid", "same"):
        raise RequestError(f"padding is valid or same, not {shown(held)}")
    if held == "same":
        spread = [dilation[0] * (side - 1) + 1 for side in kernel]
        totals = [max((-(-side // stride[0]) - 1) * stride[0] + size - side, 0)
                  for side, size in zip(shape[1:], spread, strict=True)]  # fmt: skip
        if pads:
            raise RequestError("zeros around a map and padding SAME have no word together")
        padding = totals[0] // 2, totals[1] // 2
        ceil = "pool" in key and not any(padding) and any(totals)
        if any(total % 2 for total in totals) and not ceil:
            raise RequestError("padding SAME is more below and to the right here, for which a net file has no word")
    text = str(kernel[0]) if kernel[0] == kernel[1] else f"{kernel[0]}x{kernel[1]}"
    return f"{text}/{stride[0]}", padding, ceil


def _convolution(config: Json, shape: Shape, pads: tuple[int, int] | None, depthwise: bool = False) -> list[str]:
    text, padding, _ = _window(config, "kernel_size", shape, pads)
    kernel, dilation = _pair(config, "kernel_size"), _pair(config, "dilation_rate", 1)[0]
    kernel_text, _, stride = text.partition("/")
    strided = f"/{stride}" if stride != "1" else ""
    if depthwise:
        if _whole(config, "depth_multiplier", 1) != 1:
            raise RequestError("a depthwise convolution gives as many channels as it takes in a net file")
        word = f"dwconv{kernel_text}{strided}"
    else:
        word = f"conv{kernel_text}-{_whole(config, 'filters')}{strided}"
    half = tuple((dilation * (side - 1) + 1) // 2 for side in kernel)
    word += (
        (f" p{padding[0]}" if padding[0] == padding[1] else f" p{padding[0]}x{padding[1]}") if padding != half else ""
    )
    groups = 1 if depthwise else _whole(config, "groups", 1)
    word += f" groups={groups}" if groups > 1 else ""
    word += f" dilation={dilation}" if dilation > 1 else ""
    return [word + ("" if config.get("use_bias", True) else " nobias")]


def _separable(config: Json, shape: Shape, pads: tuple[int, int] | None) -> list[str]:
    bias = "" if config.get("use_bias", True) else " nobias"
    first = _convolution({**config, "use_bias": False}, shape, pads, depthwise=True)
    return [*first, f"conv1-{_whole(config, 'filters')}{bias}"]


def _pool(word: str) -> Callable[..., list[str]]:
    def words(config: Json, shape: Shape, pads: tuple[int, int] | None) -> list[str]:
        text, padding, ceil = _window(config, "pool_size", shape, pads)
        if any(padding) and word == "avgpool":
            raise RequestError("an average over padding SAME leaves it out, for which a net file has no word")
        around = f" p{padding[0]}" if padding[0] == padding[1] else f" p{padding[0]}x{padding[1]}"
        return [f"{word}{text}" + (around if any(padding) else "") + (" ceil" if ceil else "")]

    return words


def _full(config: Json, shape: Shape, pads: tuple[int, int] | None) -> list[str]:
    return [f"fc-{_whole(config, 'units')}" + ("" if config.get("use_bias", True) else " nobias")]


def _activation(value: Any) -> str:
    if value not in ACTIVATIONS:
        raise unknown("activation", str(value), ACTIVATIONS)
    return ACTIVATIONS[value]


def _rectified(config: Json, shape: Shape, pads: tuple[int, int] | None) -> list[str]:
    most, slope = config.get("max_value"), number(config, "negative_slope", 0.0)
    if most not in (None, 6) or number(config, "threshold", 0.0) or (slope and most):
        raise RequestError("of ReLU, max_value 6 and negative_slope have a word")
    return ["relu6" if most else f"leaky-{slope:g}" if slope else "relu"]


def _normalised(config: Json, shape: Shape, pads: tuple[int, int] | None) -> list[str]:
    axis = config.get("axis", -1)
    if axis not in (-1, len(shape), [-1], [len(shape)]):
        raise RequestError(f"the channels, the last axis, are normalised, not axis {shown(axis)}")
    if not (config.get("scale", True) and config.get("center", True)):
        raise RequestError("scale and center are both true of a net file's bn")
    return ["bn"]


def _exponential(config: Json, shape: Shape, pads: tuple[int, int] | None) -> list[str]:
    if number(config, "alpha", 1.0) != 1:
        raise RequestError("of ELU, alpha 1 has a word")
    return ["elu"]


def _merged(config: Json, shape: Shape, pads: tuple[int, int] | None) -> list[str]:
    if config.get("axis", -1) not in (-1, 3):
        raise RequestError("maps are concatenated by their channels alone: axis -1")
    return [""]


def _plain(word: str) -> Callable[..., list[str]]:
    return lambda config, shape, pads: [word]


_LAYERS: Mapping[str, Callable[[Json, Shape, tuple[int, int] | None], list[str]]] = MappingProxyType(
    {
        "Conv2D": _convolution,
        "DepthwiseConv2D": lambda config, shape, pads: _convolution(config, shape, pads, depthwise=True),
        "SeparableConv2D": _separable,
        "MaxPooling2D": _pool("maxpool"), "AveragePooling2D": _pool("avgpool"),
        "GlobalAveragePooling2D": _plain("globalavgpool"), "GlobalMaxPooling2D": _plain("globalmaxpool"),
        "Dense": _full,
        "BatchNormalization": _normalised,
        "GroupNormalization": lambda config, shape, pads: [f"gn-{_whole(config, 'groups', 32)}"],
        "ReLU": _rectified,
        "LeakyReLU": lambda config, shape, pads: [
            f"leaky-{number(config, 'negative_slope', number(config, 'alpha', 0.3)):g}"
        ],
        "ELU": _exponential,
        "Activation": lambda config, shape, pads: (
            [] if config.get("activation") in _ENDS else [_activation(config.get("activation"))]
        ),
        "Dropout": lambda config, shape, pads: [f"dropout-{number(config, 'rate', 0.5):g}"],
        "SpatialDropout2D": lambda config, shape, pads: [f"spatialdropout-{number(config, 'rate', 0.5):g}"],
        "Add": _merged, "Concatenate": _merged,
    }
)  # fmt: skip
