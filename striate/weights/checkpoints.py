"""Other libraries' weight files, read without executing any code in them."""

from __future__ import annotations

import hashlib
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from striate.errors import RequestError
from striate.reading import WEIGHTS, read_given
from striate.weights.caffemodel import read_caffemodel
from striate.weights.fitting import Arrays

if TYPE_CHECKING:
    from torch import Tensor

PICKLES = (".pth", ".pt", ".th", ".bin", ".ckpt")
ENDINGS = (".safetensors", *PICKLES, ".caffemodel")
_INSIDE = ("state_dict", "model", "model_state_dict")  # keys that training scripts use for the weights


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file. what: a description for the user. checksums: of the whole file, by algorithm."""

    what: str
    arrays: Arrays
    checksums: dict[str, str]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a `.safetensors`, PyTorch or `.caffemodel` file. Floats of other than 32 bits become float32.

    A PyTorch file is a pickle: torch unpickles only tensors and plain containers from it (weights_only).
    Raises RequestError for a file that does not exist, is of another kind, or is damaged.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise RequestError(f"{str(path)!r} ends in none of {', '.join(ENDINGS)}")
    content = read_given(path, "the weights", WEIGHTS)
    arrays: Arrays
    try:
        if ending == ".caffemodel":
            what, arrays = "a Caffe model, of which only layer names and blobs were read", {**read_caffemodel(content)}
        elif ending == ".safetensors":
            what, arrays = "a safetensors file", _of_safetensors(content)
        else:
            what, arrays = "a pickle, of which only tensors and plain containers were read", _of_torch(content)
    except RequestError as error:
        raise RequestError(f"{str(path)!r} cannot be imported: {error}") from error
    checksums = {name: hashlib.new(name, content, usedforsecurity=False).hexdigest() for name in ("sha256", "sha1")}
    return Checkpoint(what, arrays, checksums)


def _of_safetensors(content: bytes) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"it is not a safetensors file, or is damaged: {error}") from error
    return _arrays(state)


def _of_torch(content: bytes) -> Arrays:
    import torch

    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("Please file")[0]
        at = reason.find("Unsupported")
        told = " ".join(reason[max(at, 0) :].split())[:200] if at >= 0 else "it is damaged"
        raise RequestError(f"it is a pickle with more than weights, and was not opened ({told})") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise RequestError("no weights could be read from it: it is damaged, or not a PyTorch checkpoint") from error
    for name in _INSIDE:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
            break
    if not isinstance(state, dict) or not state:
        raise RequestError("it has no dictionary of tensors")
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
            raise RequestError(f"{key!r} in it is not a tensor; it must be a state_dict")
    return _arrays(state)


def _arrays(state: dict[str, Tensor]) -> Arrays:
    arrays: Arrays = {}
    for key, tensor in state.items():
        try:
            whole = tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
            arrays[key] = np.array(whole.numpy())
        except (RuntimeError, TypeError) as error:  # sparse, quantised, or of a type without an array
            raise RequestError(f"its tensor {key!r} has unsupported type {tensor.dtype}, {tensor.layout}") from error
    return arrays
