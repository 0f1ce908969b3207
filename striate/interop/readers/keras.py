"""Whole models of Keras: the old `.h5` and the `.keras` archive, read without Keras; no code in them is run.

Keras's own loaders have run code that files name (CVE-2025-1550, -8747, -9905, -9906); here only names, numbers and
arrays are read, and layers that are not known are refused.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from striate.errors import RequestError, shown
from striate.interop.readers.archives import members
from striate.interop.readers.keras_layers import Arrays, InputShape, network
from striate.interop.readers.layers import Described
from striate.reading import WEIGHTS, open_file
from striate.weights.hdf5 import Array, Damaged, File
from striate.weights.keras_files import layers_of

LARGEST_JSON = 2**24  # characters


def read_h5(path: Path, shape: InputShape | None = None) -> Described:
    """A whole model in an HDF5 file. Raises RequestError for another file, or a damaged one."""
    with open_file(path, WEIGHTS) as file:
        size = os.fstat(file.fileno()).st_size
        root = _opened(file, size)
        try:
            config, version = root.root.names("model_config"), root.root.names("keras_version")
        except (Damaged, struct.error, RecursionError) as error:
            raise _damaged(error) from error
        if not config:
            raise RequestError(
                "it has weights without a network; save the whole model, model.save('model.h5'), or import the weights "
                "for a network of the catalogue: --net NET --from keras"
            )
        weights = _weights(root, size)
        return network(parsed(config[0]), weights, _major((version or ["2"])[0]), shape)


def read_archive(path: Path, shape: InputShape | None = None) -> Described:
    """A `.keras` archive. Raises RequestError for another file, or a damaged one."""
    found = members(path, {"config.json": LARGEST_JSON, "model.weights.h5": WEIGHTS}, {"metadata.json": 2**16})
    version = parsed(found["metadata.json"]).get("keras_version", "3") if "metadata.json" in found else "3"
    weights = found["model.weights.h5"]
    arrays = _weights(_opened(io.BytesIO(weights), len(weights)), len(weights))
    return network(parsed(found["config.json"]), arrays, _major(str(version)), shape)


def parsed(text: str | bytes) -> Mapping[str, Any]:
    """JSON of a model. Raises RequestError for what is none."""
    if len(text) > LARGEST_JSON:
        raise RequestError(f"its description has {len(text):,} characters; at most {LARGEST_JSON:,} are read")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError("its description is not JSON, or too deep") from error
    if not isinstance(found, dict):
        raise RequestError(f"its description is {shown(found)}")
    return found


def _opened(file: IO[bytes], size: int) -> File:
    try:
        return File(file, size)
    except (Damaged, struct.error, RecursionError) as error:
        raise _damaged(error) from error


def _weights(file: File, size: int) -> dict[str, Arrays]:
    """The arrays of every layer, by its name. Together they have no more bytes than the file."""
    found: dict[str, Arrays] = {}
    left = size
    try:
        for name, arrays in layers_of(file.root):
            if name in found:
                raise RequestError(f"two of its layers are called {name!r:.200}")
            left -= sum(array.stored for array in arrays)
            if left < 0:
                raise RequestError(f"its arrays have more bytes than the file, from layer {name!r:.200} on")
            found[name] = [_values(array, name) for array in arrays]
    except (Damaged, struct.error, RecursionError) as error:
        raise _damaged(error) from error
    return found


def _values(array: Array, name: str) -> Any:
    if not array.dtype:
        raise RequestError(f"the values of its layer {name!r:.200} are not floats")
    return array.values()


def _damaged(error: BaseException) -> RequestError:
    told = f": {error}" if isinstance(error, Damaged) else ""
    return RequestError(f"it is damaged, or an HDF5 file of a kind that Keras does not write{told}")


def _major(version: str) -> int:
    found = re.match(r"\d{1,3}", version, re.ASCII)
    return int(found[0]) if found else 2
