"""TensorFlow.js layers models: a model.json with its files of weights beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, shown
from striate.interop.readers.keras import parsed
from striate.interop.readers.keras_layers import network
from striate.interop.readers.layers import Described, InputShape
from striate.reading import read_given

_JSON, _LARGEST = 2**24, 2**31  # bytes
_TYPES = {"float32": "<f4", "float16": "<f2", "uint8": "u1", "uint16": "<u2", "int32": "<i4"}


def read_tfjs(path: Path, shape: InputShape | None = None) -> Described:
    """The network of a model.json; the files of weights that it names are in the same folder.

    Raises RequestError for a graph model, for files elsewhere, and for layers that are not known.
    """
    found = parsed(read_given(path, "the network", _JSON))
    topology = found.get("modelTopology")
    if not isinstance(topology, dict) or found.get("format", "layers-model") != "layers-model":
        raise RequestError(f"it is a {shown(found.get('format'))} of TensorFlow.js; layers models alone are imported")
    config = topology.get("model_config", topology)
    if not isinstance(config, dict):
        raise RequestError(f"its model_config is {shown(config)}")
    weights: dict[str, list[NDArray[Any]]] = {}
    groups = found.get("weightsManifest")
    for group in groups if isinstance(groups, list) else [None]:
        if not isinstance(group, dict):
            raise RequestError(f"its weightsManifest is {shown(groups)}")
        for name, array in _group(group, path.parent):
            weights.setdefault(name.rpartition("/")[0].rpartition("/")[2], []).append(array)
    version = 3 if str(topology.get("keras_version", "2")).startswith("3") else 2
    return network(config, weights, version, shape, "TensorFlow.js")


def _group(group: Mapping[str, Any], folder: Path) -> list[tuple[str, NDArray[Any]]]:
    """The arrays of a group of weights, which lie in its files one after another."""
    paths, specs = group.get("paths"), group.get("weights")
    if not isinstance(paths, list) or not isinstance(specs, list):
        raise RequestError(f"a group of weights is {shown(group)}")
    for one in paths:
        # A name that leads to another folder could show a file of the user's.
        if not isinstance(one, str) or one in ("", ".", "..") or "/" in one or "\\" in one or "\0" in one:
            raise RequestError(f"its weights are in {shown(one)}: a file in the same folder is expected")
    content = b"".join(read_given(folder / one, "the weights", _LARGEST) for one in paths)
    arrays, at = [], 0
    for spec in specs:
        name, array, at = _array(spec, content, at)
        arrays.append((name, array))
    return arrays


def _array(spec: object, content: bytes, at: int) -> tuple[str, NDArray[Any], int]:
    found = spec if isinstance(spec, dict) else {}
    name, shape, packed = found.get("name"), found.get("shape"), found.get("quantization")
    kind = packed.get("dtype") if isinstance(packed, dict) else found.get("dtype")
    sides = isinstance(shape, list) and len(shape) <= 32 and all(type(side) is int and side > 0 for side in shape)
    if not isinstance(name, str) or not isinstance(shape, list) or not sides or kind not in _TYPES:
        raise RequestError(f"the description of an array is {shown(spec)}")
    dtype, count = np.dtype(_TYPES[kind]), math.prod(shape)
    if count * dtype.itemsize > len(content) - at:
        raise RequestError(f"array {name[:80]!r} has {count:,} values, and {len(content) - at:,} bytes are left")
    values = np.frombuffer(content, dtype, count, at).reshape(shape)
    if isinstance(packed, dict) and "scale" in packed:
        least, scale = packed.get("min"), packed["scale"]
        if not isinstance(least, int | float) or not isinstance(scale, int | float):
            raise RequestError(f"array {name[:80]!r} is packed by {shown(packed)}")
        values = values.astype(np.float32) * np.float32(scale) + np.float32(least)
    return name, values, at + count * dtype.itemsize
