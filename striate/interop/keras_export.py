"""`striate export --to keras`: a .keras file of Keras 3, written without Keras or TensorFlow.

Source: the Keras 3 file format: a zip of config.json, metadata.json and model.weights.h5.
"""

from __future__ import annotations

import importlib.util
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.errors import RequestError
from striate.interop.keras_layers import KerasLayers, Layer
from striate.interop.readers.opening import read_network
from striate.interop.readers.to_graph import graph_of
from striate.interop.written import Written, graph_of_model, notes_on, read_back
from striate.model import Model

VERSION = "3.3.3"  # of Keras, whose format this is; later ones read it
_DATE = (1980, 1, 1, 0, 0, 0)  # the same model gives the same bytes


def write(model: Model, path: Path) -> Written:
    """Write the file. Raises RequestError for rows that are no layer of Keras, by their names, and without h5py."""
    if importlib.util.find_spec("h5py") is None:
        raise RequestError("an export to keras needs h5py; install it: pip install 'striate[keras]'")
    graph, pixels = graph_of_model(model), model.pixels
    keras = KerasLayers(graph)
    path.write_bytes(keras_file(keras, model.net))
    layout = f"float32 [N, {pixels.height}, {pixels.width}, {pixels.channels}]"
    notes = (*notes_on(model, layout), *dict.fromkeys(keras.notes), "maps are [N, H, W, C]")
    shape = (pixels.channels, pixels.height, pixels.width)
    return Written(read_back(model, graph_of(read_network(path, None, shape))), notes)


def keras_file(keras: KerasLayers, name: str) -> bytes:
    """The content of the .keras file."""
    content = io.BytesIO()
    parts = {
        "metadata.json": json.dumps({"keras_version": VERSION, "date_saved": "1980-01-01@00:00:00"}).encode(),
        "config.json": json.dumps(configuration(keras, name)).encode(),
        "model.weights.h5": _weights(keras),
    }
    with zipfile.ZipFile(content, "w") as archive:
        for part, held in parts.items():
            archive.writestr(zipfile.ZipInfo(part, _DATE), held)
    return content.getvalue()


def configuration(keras: KerasLayers, name: str) -> dict[str, Any]:
    """The functional model as Keras 3 writes it."""
    shapes = {layer.name: layer.shape for layer in keras.layers}
    config = {
        "name": re.sub(r"\W", "_", name),
        "trainable": True,
        "layers": [_layer(layer, shapes) for layer in keras.layers],
        "input_layers": [[keras.layers[0].name, 0, 0]],
        "output_layers": [[keras.output, 0, 0]],
    }
    return {
        "module": "keras.src.models.functional", "class_name": "Functional", "config": config,
        "registered_name": "Functional",
    }  # fmt: skip


def _layer(layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    tensors = [
        {"class_name": "__keras_tensor__",
         "config": {"shape": [None, *shapes[one]], "dtype": "float32", "keras_history": [one, 0, 0]}}
        for one in layer.inputs
    ]  # fmt: skip
    several = layer.kind in ("Add", "Subtract", "Multiply", "Maximum", "Concatenate")
    nodes: list[dict[str, Any]] = [{"args": [tensors] if several else tensors, "kwargs": {}}] if tensors else []
    return {
        "module": "keras.layers", "class_name": layer.kind, "registered_name": None, "name": layer.name,
        "config": {"name": layer.name, "trainable": True, "dtype": "float32", **layer.config}, "inbound_nodes": nodes,
    }  # fmt: skip


def _weights(keras: KerasLayers) -> bytes:
    """HDF5 as Keras 3 stores it: a group for each layer, called by its class and number, of its variables in order."""
    import h5py

    content, counts = io.BytesIO(), dict[str, int]()
    with h5py.File(content, "w") as file:
        for layer in _ordered(keras):
            kind = _snake(layer.kind)
            number = counts[kind] = counts.get(kind, -1) + 1
            group = file.create_group(f"layers/{kind}_{number}" if number else f"layers/{kind}")
            variables = group.create_group("vars")
            variables.attrs["name"] = layer.name
            for place, (_, values) in enumerate(layer.weights):
                variables.create_dataset(str(place), data=values)
    return content.getvalue()


def _ordered(keras: KerasLayers) -> list[Layer]:
    """The layers in the order in which Keras 3 counts them: the farthest from the output first."""
    layers, depths, places = {layer.name: layer for layer in keras.layers}, dict[str, int](), dict[str, int]()
    for layer in reversed(keras.layers):
        for name in layer.inputs:
            depths[name] = max(depths.get(name, 0), depths.get(layer.name, 0) + 1)
    pending = [keras.output]
    while pending:
        name = pending.pop()
        if name not in places:
            places[name] = len(places)
            pending += reversed(layers[name].inputs)
    return sorted(keras.layers, key=lambda layer: (-depths.get(layer.name, 0), places[layer.name]))


def _snake(kind: str) -> str:
    """As Keras names a class: Conv2D conv2d, ZeroPadding2D zero_padding2d, InputLayer input_layer."""
    name = re.sub(r"\W+", "", kind)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
