"""PyTorch's checkpoints: pickles, of which torch builds only tensors and plain containers (weights_only).

What a file declares is bounded by what it holds: a few bytes can declare a tensor of terabytes.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import warnings
from collections.abc import Iterator
from io import BufferedReader
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data.sources.unpacking import open_zip
from striate.errors import RequestError
from striate.weights.fitting import Arrays

if TYPE_CHECKING:
    from torch import Tensor

_INSIDE = ("state_dict", "model", "model_state_dict")  # keys that training scripts use for the weights
_PICKLE_BYTES = 2**22  # of the pickle, without the tensors: about a hundred bytes a tensor
_SHARED = 4  # tensors may share memory, such as tied weights; together they are at most this much larger than the file
_DAMAGED = "no weights could be read from it: it is damaged, or not a PyTorch checkpoint"
_RATIO = 20  # the most that weights are compressed


class _Bounded:
    """A file of the older format: the pickle is read by `read` and `readline`, the tensors by `readinto`."""

    def __init__(self, file: BufferedReader) -> None:
        self._file, self._left = file, _PICKLE_BYTES

    def read(self, size: int = -1) -> bytes:
        return self._counted(self._file.read(self._left + 1 if size < 0 else min(size, self._left + 1)))

    def readline(self) -> bytes:
        return self._counted(self._file.readline(self._left + 1))

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise RequestError(f"its pickle has more than {_PICKLE_BYTES:,} bytes besides the tensors")
        return content


def read_pickle(file: BufferedReader) -> Arrays:
    """The tensors of a checkpoint, as arrays; floats of other than 32 bits become float32. Raises RequestError."""
    state: Any
    with _told():
        zipped = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        held = _held_by_archive(file) if zipped else os.fstat(file.fileno()).st_size
        file.seek(0)
        state = _loaded(file if zipped else _Bounded(file))
    for name in _INSIDE:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
            break
    return arrays_of(tensors_in(state), held)


def tensors_in(state: Any) -> dict[str, Tensor]:
    """The dictionary, if it is one of tensors by name. Raises RequestError."""
    import torch

    if not isinstance(state, dict) or not state:
        raise RequestError("it has no dictionary of tensors")
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, torch.Tensor):
            raise RequestError(f"{key!r:.200} in it is not a tensor; it must be a state_dict")
    return state


def arrays_of(state: dict[str, Tensor], held: int) -> Arrays:
    """The tensors as arrays, floats as float32. held: bytes of the file. Raises RequestError for what is not in it."""
    _require_held(state, held)
    arrays: Arrays = {}
    for key, tensor in state.items():
        try:
            whole = tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
            arrays[key] = np.array(whole.numpy())
        except (RuntimeError, TypeError) as error:  # sparse, quantised, or of a type without an array
            raise RequestError(f"its tensor {key!r} has unsupported type {tensor.dtype}, {tensor.layout}") from error
    return arrays


def _require_held(state: dict[str, Tensor], held: int) -> None:
    """Raise RequestError for tensors of more values than are stored: one value can be expanded to any shape."""
    import torch

    total, storages = 0, {}
    for key, tensor in state.items():
        if tensor.layout is not torch.strided or tensor.device.type != "cpu":
            raise RequestError(f"its tensor {key!r} has unsupported type {tensor.dtype}, {tensor.layout}")
        size, storage = tensor.numel() * tensor.element_size(), tensor.untyped_storage()
        if size > storage.nbytes():
            raise RequestError(
                f"its tensor {key!r} has {tensor.numel():,} values, of which "
                f"{storage.nbytes() // tensor.element_size():,} are stored"
            )
        total += size
        storages[storage.data_ptr()] = storage.nbytes()
    if sum(storages.values()) > held or total > _SHARED * held:
        raise RequestError(f"its tensors have {max(total, sum(storages.values())):,} bytes, and the file {held:,}")


def _held_by_archive(file: BufferedReader) -> int:
    """The declared bytes of the members of a checkpoint of the newer format, an archive."""
    with open_zip(file, "it", ratio=_RATIO) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".pkl") and member.file_size > _PICKLE_BYTES:
                raise RequestError(f"its pickle has more than {_PICKLE_BYTES:,} bytes besides the tensors")
        return sum(member.file_size for member in archive.infolist())


def _loaded(file: Any) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the form of the pickle; what matters of it is checked here
        return torch.load(file, map_location="cpu", weights_only=True)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Anything that torch raises as RequestError; its unpickler raises anything on damaged files."""
    try:
        yield
    except RequestError:
        raise
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):  # torch's word for a class or function
            raise RequestError(_DAMAGED) from error
        reason = str(error).partition("Please file")[0]
        at = reason.find("Unsupported")
        told = " ".join(reason[at:].split())[:200] if at >= 0 else "it names classes or functions"
        raise RequestError(
            f"it is a pickle with more than weights, and was not opened ({told}); if it is a whole model, save its "
            "weights where it was made: torch.save(model.state_dict(), 'weights.pth')"
        ) from error
    except Exception as error:
        raise RequestError(_DAMAGED) from error
