"""A net file as the JSON of a Keras 3 model: its rows, with blocks written out, as layers.

Keras reads it with `keras.models.model_from_json`. Source: the `get_config` of Keras 3's layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from striate.errors import RequestError
from striate.netfile.plan import Row, plan
from striate.netfile.shapes import Shape, after, concatenated
from striate.netfile.text import NetText
from striate.netfile.words import Word

_NAMES: Mapping[str, str] = MappingProxyType(
    {"relu": "relu", "tanh": "tanh", "sigmoid": "sigmoid", "elu": "elu", "selu": "selu", "swish": "silu",
     "gelu": "gelu", "hardswish": "hard_silu"}
)  # fmt: skip


def keras_json(text: NetText) -> str:
    """The network as JSON of Keras 3, ending in a softmax. Raises RequestError, with the word, for what Keras lacks."""
    planned = plan(text, classes=text.classes, shape=text.input, parameters={})
    channels, height, width = text.input
    writer = _Writer(text.classes)
    first = writer.layer("InputLayer", [], text.input, {"batch_shape": [None, height, width, channels]}, "image")
    last = writer.rows(planned.rows, first)
    if len(writer.shapes[last]) == 3:
        raise RequestError("the net file ends in a map, and a classifier of Keras in numbers")
    last = writer.layer("Activation", [last], writer.shapes[last], {"activation": "softmax"}, "softmax")
    config = {
        "name": text.name, "trainable": True, "layers": writer.written, "input_layers": [[first, 0, 0]],
        "output_layers": [[last, 0, 0]],
    }  # fmt: skip
    model = {"module": "keras.src.models.functional", "class_name": "Functional", "config": config,
             "registered_name": "Functional"}  # fmt: skip
    return json.dumps(model, indent=1) + "\n"


@dataclass
class _Writer:
    classes: int
    written: list[dict[str, Any]] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def layer(self, kind: str, inputs: Sequence[str], shape: Shape, config: Mapping[str, Any], name: str = "") -> str:
        """Write a layer whose output has the shape; gives its name."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        name = name or f"{kind.lower()}_{self.counts[kind]}"
        tensors = [
            {"class_name": "__keras_tensor__",
             "config": {"shape": [None, *_last(self.shapes[one])], "dtype": "float32", "keras_history": [one, 0, 0]}}
            for one in inputs
        ]  # fmt: skip
        several = kind in ("Add", "Concatenate")
        self.written.append({
            "module": "keras.layers", "class_name": kind, "registered_name": None, "name": name,
            "config": {"name": name, "trainable": True, "dtype": "float32", **config},
            "inbound_nodes": [{"args": [tensors] if several else tensors, "kwargs": {}}] if tensors else [],
        })  # fmt: skip
        self.shapes[name] = shape
        return name

    def rows(self, rows: tuple[Row, ...], given: str) -> str:
        """Write rows whose input is the output `given`; gives the output of the last one."""
        edges, current = {"in": given}, given
        for row in rows:
            source = current if row.source is None else edges[row.source]
            if row.concat:
                parts = [edges[name] for name in row.concat]
                joined = concatenated([self.shapes[one] for one in parts])
                current = self.layer("Concatenate", parts, joined, {"axis": -1})
            elif row.add is not None:
                other = self.words(row.via, edges[row.add])
                current = self.layer("Add", [source, other], self.shapes[source], {})
            elif row.block is not None:
                current = self.rows(row.block.rows, source)
            else:
                current = self.words(row.layers, source)
            if row.saved is not None:
                edges[row.saved] = current
        return current

    def words(self, words: tuple[Word, ...], given: str) -> str:
        """Write the layers of words, the first of which takes the output `given`."""
        for word in words:
            shape = self.shapes[given]
            below = after(word, shape, self.classes)
            if word.kind == "fc" and len(shape) == 3:
                channels, height, width = shape
                given = self.layer("Flatten", [given], (channels * height * width,), {})
            if word.kind in ("conv", "dwconv", "maxpool", "avgpool"):
                given = self.windowed(word, given, below)
            else:
                kind, config = _layer(word, self.classes)
                given = self.layer(kind, [given], below, config)
        return given

    def windowed(self, word: Word, given: str, below: Shape) -> str:
        """A convolution or a pooling, after a layer of zeros where its padding is not Keras's SAME."""
        channels, *sides = self.shapes[given]
        spread = [word.dilation * (size - 1) + 1 for size in word.kernel]
        totals = [max((-(-side // word.stride) - 1) * word.stride + size - side, 0)
                  for side, size in zip(sides, spread, strict=True)]  # fmt: skip
        same = [-(-side // word.stride) for side in sides] == list(below[1:])
        same = same and [total // 2 for total in totals] == list(word.around)
        windows = zip(sides, word.around, below[1:], spread, strict=True)
        valid = all((count - 1) * word.stride + size <= side + 2 * pad for side, pad, count, size in windows)
        pooled = word.kind.endswith("pool")
        if pooled and any(word.around) and (word.kind == "avgpool" or not same):
            raise RequestError(f"Keras has no {word.kind} with such a padding: zeros, or what SAME leaves out")
        if not valid and not same:
            raise RequestError(f"Keras has no {word.kind} that rounds the size up here")
        if same and any(totals):
            padding = "same"
        elif any(word.around):
            height, width = (side + 2 * pad for side, pad in zip(sides, word.around, strict=True))
            zeros = {"padding": [[pad, pad] for pad in word.around]}
            given, padding = self.layer("ZeroPadding2D", [given], (channels, height, width), zeros), "valid"
        else:
            padding = "valid"
        kind, config = _window(word, below[0])
        return self.layer(kind, [given], below, {**config, "padding": padding})


def _last(shape: Shape) -> tuple[int, ...]:
    return shape if len(shape) == 1 else (*shape[1:], shape[0])


def _window(word: Word, outputs: int) -> tuple[str, dict[str, Any]]:
    steps = {"strides": [word.stride] * 2}
    if word.kind in ("maxpool", "avgpool"):
        kind = "MaxPooling2D" if word.kind == "maxpool" else "AveragePooling2D"
        return kind, {"pool_size": list(word.kernel), **steps}
    held = {"kernel_size": list(word.kernel), **steps, "dilation_rate": [word.dilation] * 2, "use_bias": word.bias}
    if word.kind == "dwconv":
        return "DepthwiseConv2D", {**held, "depth_multiplier": 1}
    return "Conv2D", {"filters": outputs, **held, "groups": word.groups}


def _layer(word: Word, classes: int) -> tuple[str, dict[str, Any]]:
    """A layer's class and its own values."""
    if word.kind in _NAMES:
        return "Activation", {"activation": _NAMES[word.kind]}
    outputs = classes if word.outputs is None else word.outputs
    found: Mapping[str, tuple[str, dict[str, Any]]] = {
        "fc": ("Dense", {"units": outputs, "use_bias": word.bias}),
        "flatten": ("Flatten", {}),
        "globalavgpool": ("GlobalAveragePooling2D", {}),
        "globalmaxpool": ("GlobalMaxPooling2D", {}),
        "bn": ("BatchNormalization", {"epsilon": 1e-5, "momentum": 0.9}),  # torch's
        "gn": ("GroupNormalization", {"groups": int(word.value), "epsilon": 1e-5}),
        "relu6": ("ReLU", {"max_value": 6.0}),
        "leaky": ("LeakyReLU", {"negative_slope": word.value}),
        "dropout": ("Dropout", {"rate": word.value}),
        "spatialdropout": ("SpatialDropout2D", {"rate": word.value}),
    }
    if word.kind not in found:
        raise RequestError(f"Keras has no layer for the word {word.kind!r} of this net file")
    return found[word.kind]
