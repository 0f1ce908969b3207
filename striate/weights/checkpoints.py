"""Other libraries' weight files, read without executing any code in them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from striate.errors import RequestError
from striate.model.header import Header, NotSafetensors
from striate.reading import WEIGHTS, open_file
from striate.weights.caffemodel import read_caffemodel
from striate.weights.darknet import read_darknet
from striate.weights.fitting import Arrays
from striate.weights.keras_files import ENDINGS as KERAS
from striate.weights.keras_files import read_keras
from striate.weights.pickles import arrays_of, read_pickle

PICKLES = (".pth", ".pt", ".th", ".bin", ".ckpt")
ENDINGS = (".safetensors", *PICKLES, ".caffemodel", ".weights", *KERAS)
# Of a Caffe model, of which VGG-19, the largest that fits, has half; of Darknet's, whose networks here have 4 MB.
LIMITS = {".caffemodel": 2**30, ".weights": 2**28}


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file. what: a description for the user. checksums: of the whole file, by algorithm."""

    what: str
    arrays: Arrays
    checksums: dict[str, str]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a `.safetensors`, PyTorch, Caffe, Darknet or Keras `.h5` file. Floats of other than 32 bits become float32.

    A PyTorch file is a pickle: torch unpickles only tensors and plain containers from it (weights_only).
    Raises RequestError for a file that does not exist, is of another kind, or is damaged.
    """
    ending = path.suffix.lower()
    if ending == ".keras":
        raise RequestError(
            f"{str(path)!r} is a whole Keras model, which can have code in it, and was not opened; save its weights "
            "where it was made: model.save_weights('model.weights.h5')"
        )
    if ending not in ENDINGS:
        raise RequestError(f"{str(path)!r} ends in none of {', '.join(ENDINGS)}")
    try:
        with open_file(path, LIMITS.get(ending, WEIGHTS)) as file:
            what, arrays = _read(file, ending)
            checksums = {name: _digest(file, name) for name in ("sha256", "sha1", "md5")}
    except OSError as error:
        raise RequestError(f"cannot read the weights {str(path)!r}: {error.strerror or error}") from error
    except RequestError as error:
        raise RequestError(f"{str(path)!r} cannot be imported: {error}") from error
    return Checkpoint(what, arrays, checksums)


def _read(file: BufferedReader, ending: str) -> tuple[str, Arrays]:
    """What the file is, and its arrays."""
    if ending == ".caffemodel":
        return "a Caffe model, of which only layer names and blobs were read", {**read_caffemodel(file.read())}
    if ending == ".weights":
        return "a file of Darknet's, numbers without names", read_darknet(file)
    if ending == ".safetensors":
        return "a safetensors file", _of_safetensors(file)
    if ending in KERAS:
        found = read_keras(file, os.fstat(file.fileno()).st_size)
        return "an HDF5 file, of which only names and arrays were read", found
    return "a pickle, of which only tensors and plain containers were read", read_pickle(file)


def _digest(file: BufferedReader, name: str) -> str:
    file.seek(0)
    return hashlib.file_digest(file, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()


def _of_safetensors(file: BufferedReader) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        header = Header.read(file)
        file.seek(0)
        state = load(file.read(header.size))
    except (NotSafetensors, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"it is not a safetensors file, or is damaged: {error}") from error
    return arrays_of(state, header.size)
