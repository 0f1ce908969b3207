"""Weights without a network, of Lasagne and Theano: arrays in the order of the layers, placed into a given network."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from striate.data.sources.unpacking import open_zip
from striate.errors import RequestError, printable
from striate.interop.readers.layers import floats
from striate.interop.readers.pickled import arrays_in
from striate.reading import WEIGHTS, open_file, read_given

Array = NDArray[Any]

ENDINGS = (".npz", ".pkl", ".pickle", ".save")
_LARGEST = 2**31  # bytes
_RATIO = 50  # the most that weights are packed
# Library -> whether its convolutions turn the kernels, as a convolution of mathematics does.
TURNED: Mapping[str, bool] = MappingProxyType({"lasagne": True, "lasagne-dnn": False, "theano": True})


def read_arrays(path: Path) -> list[Array]:
    """The arrays of a file, in order: of a `.npz` without pickles, or of pickles that hold nothing but arrays.

    Raises RequestError for other files.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise RequestError(f"{str(path)!r} ends in none of {', '.join(ENDINGS)}")
    try:
        return _npz(path) if ending == ".npz" else arrays_in(read_given(path, "the weights", _LARGEST))
    except OSError as error:
        raise RequestError(f"cannot read the weights {str(path)!r}: {error.strerror or error}") from error
    except RequestError as error:
        raise RequestError(f"{str(path)!r}: {error}") from error


def _npz(path: Path) -> list[Array]:
    """The members of an archive by their numbers, arr_0, arr_1 and so on, and by their order where they have none."""
    try:
        with open_file(path, WEIGHTS) as file, open_zip(file, "it", ratio=_RATIO, limit=WEIGHTS) as archive:
            names = [one.filename for one in archive.infolist() if one.filename.endswith(".npy")]
            if len(set(names)) < len(names):  # the last one would be read for each of them
                raise RequestError("it has two members of one name")
            numbers = [re.fullmatch(r"\D*(\d{1,6})\.npy", name, re.ASCII) for name in names]
            if all(numbers) and len({one[1] for one in numbers if one}) == len(names):
                names.sort(key=lambda name: int(re.sub(r"\D", "", name)))
            return [_npy(archive.read(name), name) for name in names]
    except RequestError:
        raise
    except (zipfile.BadZipFile, RuntimeError, ValueError, EOFError) as error:
        raise RequestError(
            f"it is not a zip archive of arrays, or is damaged: {printable(str(error))[:200]}"
        ) from error
    except Exception as error:  # zlib, struct and zipfile raise others for damaged bytes
        raise RequestError("it is a damaged zip archive") from error


def _npy(content: bytes, name: str) -> Array:
    import io

    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise RequestError(f"its member {name[:80]!r} is of another format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns, dtype = read(stream)
    if dtype.hasobject or dtype.kind not in "fiub":
        raise RequestError(f"its member {name[:80]!r} holds {dtype}, and not numbers")
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if count * dtype.itemsize != len(content) - stream.tell():
        raise RequestError(f"its member {name[:80]!r} has other bytes than its shape {shape} says")
    return np.frombuffer(content, dtype, count, stream.tell()).reshape(shape, order="F" if columns else "C")


def outputs_of(arrays: Sequence[Array]) -> int:
    """The number of classes: the outputs of the last matrix or kernel. Raises RequestError if there is none."""
    for array in reversed(arrays):
        if array.ndim == 2:  # [inputs, outputs]
            return int(array.shape[1])
        if array.ndim == 4:
            return int(array.shape[0])
    raise RequestError("it has no matrix and no kernel: no weights of a network of layers")


def placed(arrays: Sequence[Array], net: nn.Module, *, turned: bool) -> dict[str, Array]:
    """The state of a network from arrays in the order of its layers.

    A convolution takes kernel and bias, a linear layer the matrix [inputs, outputs] and bias, a batch normalisation of
    Lasagne beta, gamma, mean and one over the deviation. turned: the kernels are those of a convolution and not, as
    torch's, of a correlation. Raises RequestError, with the layer, for arrays that do not fit.
    """
    left = list(arrays)
    state: dict[str, Array] = {}

    def take(layer: str, role: str, shape: Sequence[int]) -> Array:
        if not left:
            raise RequestError(f"the file has {len(arrays)} arrays, and none for {role} of {layer}")
        found = floats(left.pop(0))
        if found.shape != tuple(shape):
            place = len(arrays) - len(left)
            raise RequestError(f"array {place} of the file is {found.shape}, where {role} of {layer} is {tuple(shape)}")
        return found

    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d):
            kernel = take(name, "the kernel", layer.weight.shape)
            state[f"{name}.weight"] = np.ascontiguousarray(kernel[:, :, ::-1, ::-1]) if turned else kernel
        elif isinstance(layer, nn.Linear):
            matrix = take(name, "the matrix [inputs, outputs]", layer.weight.shape[::-1])
            state[f"{name}.weight"] = np.ascontiguousarray(matrix.T)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            count = (layer.num_features,)
            for leaf in ("bias", "weight", "running_mean"):
                state[f"{name}.{leaf}"] = take(name, leaf, count)
            inverse = take(name, "one over the deviation", count)
            if not (inverse > 0).all():
                raise RequestError(f"{name}: one over the deviation is not positive")
            state[f"{name}.running_var"] = np.maximum(1 / inverse.astype(np.float64) ** 2 - layer.eps, 0).astype(
                np.float32
            )
            state[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            state[f"{name}.bias"] = take(name, "the bias", layer.bias.shape)
    if left:
        raise RequestError(f"the file has {len(arrays)} arrays, of which the network takes {len(arrays) - len(left)}")
    missing = [printable(name) for name in net.state_dict() if name not in state]
    if missing:
        raise RequestError(f"the network has {', '.join(missing[:3])}, which such files do not hold")
    return state
