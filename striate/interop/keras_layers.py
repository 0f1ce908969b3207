"""A graph as Keras's layers with maps [N, H, W, C]: the configuration of each, and its weights.

Only layers that exist in Keras 2 and 3 and in TensorFlow.js are used, none with code of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.errors import RequestError
from striate.interop.channels_last import ChannelsLast, axis_last, shape_last
from striate.interop.graph import Array, Graph, Row
from striate.interop.passes import for_prediction, same_padding

_NOT_NEGATIVE = {"relu", "sigmoid", "softmax", "hard_sigmoid"}


@dataclass(frozen=True)
class Layer:
    """One layer of Keras. inputs: names of layers. shape: of what it gives for one image, channels last."""

    name: str
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    weights: tuple[tuple[str, Array], ...] = ()


@dataclass
class KerasLayers:
    """Turns a graph's rows into layers, in `layers`; `output` is the name of the last."""

    graph: Graph
    layers: list[Layer] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # of a row's layer
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph = for_prediction(self.graph)
        self.layout = ChannelsLast(self.graph)
        self.rows = {row.name: row for row in self.graph.rows}
        self.taken: set[str] = set()
        for row in self.graph.rows:
            if row.operator in ("constant", "cast"):
                self.names[row.name] = self.names[row.inputs[0]] if row.inputs else ""
            elif row.operator not in _ROWS:
                raise RequestError(f"row {row.name}: no layer of Keras is {row.operator}")
            else:
                self.names[row.name] = _ROWS[row.operator](self, row)

    @property
    def output(self) -> str:
        """The last layer's name."""
        return self.names[self.graph.outputs[0]]

    def add(
        self,
        row: Row,
        kind: str,
        config: Mapping[str, Any],
        inputs: Sequence[str] | None = None,
        shape: Sequence[int] | None = None,
        weights: Sequence[tuple[str, Array]] = (),
    ) -> str:
        """A layer for a row; gives its name. shape: one image's, channels last, if it is not the row's."""
        base = row.name.replace(".", "_").replace("/", "_")
        name, count = base, 1
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        given = tuple(self.names[one] for one in row.inputs) if inputs is None else tuple(inputs)
        made = shape_last(row.shape) if shape is None else tuple(shape)
        held = tuple((role, np.ascontiguousarray(values, np.float32)) for role, values in weights)
        self.layers.append(Layer(name, kind, config, given, made, held))
        return name

    def shape(self, row: Row, place: int = 0) -> tuple[int, ...]:
        return self.rows[row.inputs[place]].shape

    def padded(self, row: Row, kernel: Sequence[int], *, zeros: bool = True) -> tuple[str, str]:
        """The layer below a convolution or pooling, after padding that is not SAME; and "same" or "valid"."""
        at, (channels, *above) = row.attributes, self.shape(row)
        below, given = row.shape[1:], self.names[row.inputs[0]]
        pads = same_padding(above, kernel, at["stride"])
        fits = [-(-side // step) for side, step in zip(above, at["stride"], strict=True)] == list(below)
        windows = zip(below, at["stride"], kernel, above, at["padding"], strict=True)
        sides = [(pad, max(0, (count - 1) * step + size - side - pad)) for count, step, size, side, pad in windows]
        if not any(any(side) for side in sides):
            return given, "valid"
        if fits and all(before == pad for (before, _), pad in zip(pads, at["padding"], strict=True)):
            return given, "same"
        if not zeros and not self._not_negative(row.inputs[0]):
            raise RequestError(
                f"row {row.name}: Keras pads a max-pooling with zeros, and its input has negative values"
            )
        shape = (above[0] + sum(sides[0]), above[1] + sum(sides[1]), channels)
        return self.add(row, "ZeroPadding2D", {"padding": sides}, (given,), shape), "valid"

    def _not_negative(self, name: str) -> bool:
        row = self.rows[name]
        if row.operator in ("max_pool", "avg_pool", "concat", "dropout"):
            return all(self._not_negative(one) for one in row.inputs)
        return row.operator in _NOT_NEGATIVE or (row.operator == "clip" and row.attributes["least"] >= 0)


def _input(keras: KerasLayers, row: Row) -> str:
    shape = [None, *shape_last(row.shape)]
    return keras.add(row, "InputLayer", {"batch_shape": shape, "dtype": "float32", "sparse": False}, ())


def _conv(keras: KerasLayers, row: Row) -> str:
    at, weight, channels = row.attributes, keras.graph.held(row, "weight"), keras.shape(row)[0]
    outputs, _, *kernel = weight.shape
    spread = [(size - 1) * step + 1 for size, step in zip(kernel, at["dilation"], strict=True)]
    given, padding = keras.padded(row, spread)
    bias = keras.graph.array(row, "bias")
    config = {
        "kernel_size": kernel, "strides": at["stride"], "padding": padding, "data_format": "channels_last",
        "dilation_rate": at["dilation"], "activation": "linear", "use_bias": bias is not None,
    }  # fmt: skip
    biases = [] if bias is None else [("bias", bias)]
    if at["groups"] == channels > 1:
        multiplier = outputs // channels
        turned = weight.reshape(channels, multiplier, *kernel).transpose(2, 3, 0, 1)
        held = [("depthwise_kernel", turned), *biases]
        return keras.add(row, "DepthwiseConv2D", {**config, "depth_multiplier": multiplier}, (given,), None, held)
    held = [("kernel", weight.transpose(2, 3, 1, 0)), *biases]
    return keras.add(row, "Conv2D", {**config, "filters": outputs, "groups": at["groups"]}, (given,), None, held)


def _linear(keras: KerasLayers, row: Row) -> str:
    weight, bias = keras.graph.held(row, "weight"), keras.graph.array(row, "bias")
    if (order := keras.layout.order(row.inputs[0])) is not None:
        weight = weight[:, order]
        keras.notes.append("the weights after Flatten are in the order of maps [H, W, C]")
    config = {"units": len(weight), "activation": "linear", "use_bias": bias is not None}
    held = [("kernel", weight.T), *([] if bias is None else [("bias", bias)])]
    return keras.add(row, "Dense", config, None, None, held)


def _batch_norm(keras: KerasLayers, row: Row) -> str:
    weight, bias = keras.graph.array(row, "weight"), keras.graph.array(row, "bias")
    config = {
        "axis": -1, "momentum": 1 - row.attributes["momentum"], "epsilon": row.attributes["epsilon"],
        "center": bias is not None, "scale": weight is not None,
    }  # fmt: skip
    held = [(name, one) for name, one in (("gamma", weight), ("beta", bias)) if one is not None]
    held += [("moving_mean", keras.graph.held(row, "mean")), ("moving_variance", keras.graph.held(row, "variance"))]
    return keras.add(row, "BatchNormalization", config, None, None, held)


def _max_pool(keras: KerasLayers, row: Row) -> str:
    at = row.attributes
    if at["dilation"] != (1, 1):
        raise RequestError(f"row {row.name}: Keras has no pooling with dilation")
    given, padding = keras.padded(row, at["kernel"], zeros=False)
    config = {"pool_size": at["kernel"], "strides": at["stride"], "padding": padding, "data_format": "channels_last"}
    return keras.add(row, "MaxPooling2D", config, (given,))


def _avg_pool(keras: KerasLayers, row: Row) -> str:
    """Keras's "same" does not count padding; zeros before "valid" are counted."""
    at, (channels, *above) = row.attributes, keras.shape(row)
    pads, given = at["padding"], keras.names[row.inputs[0]]
    config = {"pool_size": at["kernel"], "strides": at["stride"], "data_format": "channels_last"}
    if any(pads) and at["count_padding"] and not at["ceil"]:
        shape = (above[0] + 2 * pads[0], above[1] + 2 * pads[1], channels)
        given = keras.add(row, "ZeroPadding2D", {"padding": [[pads[0]] * 2, [pads[1]] * 2]}, (given,), shape)
        return keras.add(row, "AveragePooling2D", {**config, "padding": "valid"}, (given,))
    found, padding = keras.padded(row, at["kernel"])
    if found != given or (any(pads) and at["count_padding"]):
        raise RequestError(f"row {row.name}: Keras's average pooling counts padding otherwise")
    return keras.add(row, "AveragePooling2D", {**config, "padding": padding}, (given,))


def _pooled(kind: str) -> Callable[[KerasLayers, Row], str]:
    def add(keras: KerasLayers, row: Row) -> str:
        if row.attributes["axes"] != (1, 2) or len(keras.shape(row)) != 3:
            raise RequestError(f"row {row.name}: Keras has a {row.operator} of whole maps only")
        config = {"data_format": "channels_last", "keepdims": row.attributes["keep"]}
        return keras.add(row, kind, config)

    return add


def _plain(kind: str, config: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Callable[[KerasLayers, Row], str]:
    return lambda keras, row: keras.add(row, kind, config(row.attributes))


def _activation(name: str) -> Callable[[KerasLayers, Row], str]:
    return _plain("Activation", lambda at: {"activation": name})


def _clip(keras: KerasLayers, row: Row) -> str:
    if row.attributes["least"] != 0:
        raise RequestError(f"row {row.name}: Keras has no layer that clips to {dict(row.attributes)}")
    return keras.add(row, "ReLU", {"max_value": row.attributes["most"], "negative_slope": 0.0, "threshold": 0.0})


def _prelu(keras: KerasLayers, row: Row) -> str:
    weight = np.broadcast_to(keras.graph.held(row, "weight"), row.shape[:1])
    shared = [1, 2] if len(row.shape) == 3 else None
    held = weight.reshape((1,) * (len(row.shape) - 1) + (-1,))
    return keras.add(row, "PReLU", {"shared_axes": shared}, None, None, [("alpha", held)])


def _two(kind: str) -> Callable[[KerasLayers, Row], str]:
    def add(keras: KerasLayers, row: Row) -> str:
        held = [keras.rows[name].operator == "constant" for name in row.inputs]
        if any(held):
            return _with_constant(keras, row, held.index(True))
        if not kind or len({len(keras.shape(row, place)) for place in (0, 1)}) > 1:
            raise RequestError(f"row {row.name}: Keras has no layer for {row.operator} of two maps")
        return keras.add(row, kind, {})

    return add


def _with_constant(keras: KerasLayers, row: Row, place: int) -> str:
    """An operation with a number for each channel."""
    values = keras.graph.held(keras.rows[row.inputs[place]], "value")
    if (
        values.size not in (1, row.shape[0])
        or values.size != max(values.shape[:1] or (1,))
        or (place == 0 and row.operator in ("sub", "div"))
    ):
        raise RequestError(f"row {row.name}: Keras has no layer for {row.operator} with an array of {values.shape}")
    numbers = [float(one) for one in values.ravel()] * (row.shape[0] if values.size == 1 else 1)
    ones, zeros = [1.0] * len(numbers), [0.0] * len(numbers)
    scale = {"mul": numbers, "div": [1 / one for one in numbers]}.get(row.operator, ones)
    offset = {"add": numbers, "sub": [-one for one in numbers]}.get(row.operator, zeros)
    return _scaled(keras, row, scale, offset, keras.names[row.inputs[1 - place]])


def _scaled(keras: KerasLayers, row: Row, scale: Sequence[float], offset: Sequence[float], given: str) -> str:
    """x * scale + offset for each channel, as a batch normalisation that is not trained: TensorFlow.js has no other."""
    count = len(scale)
    config = {"axis": -1, "momentum": 0.99, "epsilon": 0.0, "center": True, "scale": True, "trainable": False}
    held = [("gamma", np.array(scale)), ("beta", np.array(offset)), ("moving_mean", np.zeros(count))]
    return keras.add(row, "BatchNormalization", config, (given,), None, [*held, ("moving_variance", np.ones(count))])


def _affine(keras: KerasLayers, row: Row) -> str:
    at, channels = row.attributes, row.shape[0]
    return _scaled(keras, row, [at["scale"]] * channels, [at["offset"]] * channels, keras.names[row.inputs[0]])


def _concat(keras: KerasLayers, row: Row) -> str:
    return keras.add(row, "Concatenate", {"axis": axis_last(row.attributes["axis"], len(row.shape))})


def _reshape(keras: KerasLayers, row: Row) -> str:
    before, after = keras.layout.turns(row)
    if after or len(row.shape) not in (1, 3) or len(keras.shape(row)) not in (1, 3):
        raise RequestError(f"row {row.name}: a reshape of {keras.shape(row)} to {row.shape} is no layer of Keras")
    given = keras.names[row.inputs[0]]
    if before:
        turned = [keras.layers[-1].shape[axis - 1] for axis in before[1:]]
        given = keras.add(row, "Permute", {"dims": before[1:]}, (given,), turned)
    if len(row.shape) == 1:
        return keras.add(row, "Flatten", {"data_format": "channels_last"}, (given,))
    return keras.add(row, "Reshape", {"target_shape": shape_last(row.shape)}, (given,))


def _pad(keras: KerasLayers, row: Row) -> str:
    before, after, value = (row.attributes[name] for name in ("before", "after", "value"))
    if len(before) != 3 or before[0] or after[0] or value or min(*before, *after) < 0:
        raise RequestError(f"row {row.name}: Keras pads height and width alone, with zeros")
    return keras.add(row, "ZeroPadding2D", {"padding": list(zip(before[1:], after[1:], strict=True))})


def _slice(keras: KerasLayers, row: Row) -> str:
    at, above = row.attributes, keras.shape(row)
    if len(above) != 3 or at["axis"] == 0 or at["step"] != 1:
        raise RequestError(f"row {row.name}: Keras cuts height and width alone, without steps")
    cropping = [[0, 0], [0, 0]]
    cropping[at["axis"] - 1] = [at["start"], above[at["axis"]] - at["stop"]]
    return keras.add(row, "Cropping2D", {"cropping": cropping, "data_format": "channels_last"})


def _resize(keras: KerasLayers, row: Row) -> str:
    factors = [new / old for new, old in zip(row.attributes["size"], keras.shape(row)[1:], strict=True)]
    if any(one != int(one) for one in factors) or row.attributes["align_corners"]:
        raise RequestError(f"row {row.name}: Keras enlarges maps by whole factors, without align_corners")
    size = [int(one) for one in factors]
    return keras.add(row, "UpSampling2D", {"size": size, "interpolation": row.attributes["mode"]})


_ROWS: Mapping[str, Callable[[KerasLayers, Row], str]] = {
    "input": _input, "conv": _conv, "linear": _linear, "batch_norm": _batch_norm, "max_pool": _max_pool,
    "avg_pool": _avg_pool, "mean": _pooled("GlobalAveragePooling2D"), "max": _pooled("GlobalMaxPooling2D"),
    "relu": _activation("relu"), "tanh": _activation("tanh"), "sigmoid": _activation("sigmoid"),
    "selu": _activation("selu"), "silu": _activation("swish"), "softmax": _activation("softmax"),
    "elu": _plain("ELU", lambda at: {"alpha": at["alpha"]}),
    "leaky_relu": _plain("LeakyReLU", lambda at: {"negative_slope": at["slope"]}),
    "clip": _clip, "prelu": _prelu, "add": _two("Add"), "sub": _two("Subtract"), "mul": _two("Multiply"),
    "div": _two(""), "maximum": _two("Maximum"), "affine": _affine, "concat": _concat, "reshape": _reshape,
    "pad": _pad, "slice": _slice, "resize": _resize,
}  # fmt: skip
