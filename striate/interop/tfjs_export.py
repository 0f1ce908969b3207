"""`striate export --to tfjs`: a layers model of TensorFlow.js, a JSON file and its weights beside it.

Source: TensorFlow.js's layers format, whose topology is that of Keras 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.errors import RequestError
from striate.interop.keras_layers import KerasLayers, Layer
from striate.interop.readers.opening import read_network
from striate.interop.readers.to_graph import graph_of
from striate.interop.written import Written, graph_of_model, notes_on, read_back
from striate.model import Model
from striate.storage import json_text

_INPUT = {"dtype": "float32", "sparse": False, "ragged": False}


def write(model: Model, path: Path) -> Written:
    """Write `path`, the JSON, and the .bin beside it.

    Raises RequestError for rows that are no layer of TensorFlow.js, by their names.
    """
    pixels = model.pixels
    keras = KerasLayers(graph_of_model(model))
    binary = path.with_suffix(".bin")
    path.write_text(json_text(_topology(keras, model.net, binary.name)), "utf-8")
    binary.write_bytes(b"".join(values.tobytes() for layer in keras.layers for _, values in layer.weights))
    again = graph_of(read_network(path, None, (pixels.channels, pixels.height, pixels.width)))
    layout = f"float32 [N, {pixels.height}, {pixels.width}, {pixels.channels}]"
    notes = (*notes_on(model, layout), *dict.fromkeys(keras.notes), "maps are [N, H, W, C]")
    return Written(read_back(model, again), notes)


def _topology(keras: KerasLayers, name: str, binary: str) -> dict[str, Any]:
    config = {
        "name": name,
        "layers": [_layer(layer) for layer in keras.layers],
        "input_layers": [[keras.layers[0].name, 0, 0]],
        "output_layers": [[keras.output, 0, 0]],
    }
    model = {"class_name": "Functional", "config": config}
    weights = [
        {"name": f"{layer.name}/{role}", "shape": list(values.shape), "dtype": "float32"}
        for layer in keras.layers
        for role, values in layer.weights
    ]
    return {
        "format": "layers-model", "generatedBy": "keras v2.15.0", "convertedBy": "striate",
        "modelTopology": {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": model},
        "weightsManifest": [{"paths": [binary], "weights": weights}],
    }  # fmt: skip


def _layer(layer: Layer) -> dict[str, Any]:
    """A layer as Keras 2 describes it. Raises RequestError for what TensorFlow.js lacks of Keras 3."""
    config: Mapping[str, Any] = layer.config
    if config.get("groups", 1) != 1 or config.get("keepdims"):
        lacks = "grouped convolution" if config.get("groups", 1) != 1 else "pooling of a whole map that keeps its axes"
        raise RequestError(f"row {layer.name}: TensorFlow.js has no {lacks}")
    if layer.kind == "InputLayer":
        config = {**_INPUT, "batch_input_shape": config["batch_shape"]}
    if layer.kind == "LeakyReLU":
        config = {"alpha": config["negative_slope"]}
    held = {key: value for key, value in config.items() if key not in ("groups", "keepdims")}
    nodes = [[[one, 0, 0, {}] for one in layer.inputs]] if layer.inputs else []
    return {
        "class_name": layer.kind, "name": layer.name, "inbound_nodes": nodes,
        "config": {"name": layer.name, "trainable": True, "dtype": "float32", **held},
    }  # fmt: skip
