"""The model file: one `.safetensors` file, weights and a small JSON header, no pickle anywhere.

The header describes the file: net and options, class names, preprocessing, training, metrics and the engine that
measured them. It has a SHA-256 of each tensor, which detects damage and is not a signature.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from striate.errors import RequestError
from striate.model.header import Header, NotSafetensors
from striate.nets.catalog import is_import_path, source_digest
from striate.pixels import Pixels
from striate.reading import WEIGHTS, open_file
from striate.storage import json_text, sha256_of, write_bytes
from striate.tasks import Task, task_from_dict

FORMAT = 4
MEMBERS = "members"  # the header's key that an ensemble has, and one network has not
_EXTRA = "extra/"  # prefix of extras' names in the file: no module name contains a slash
_INPUT = ("mean_image", "zca.weight", "zca.bias")
MAX_CLASSES = 100_000

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """A trained network as data.

    net, options: the arguments of `create`; for a custom net, `net` is its constructor's import path. task: with the
    names of the outputs. pixels: the preprocessing.
    tensors: the network's state by name. head: name of the linear layer that ends the net, "" if it has none.
    aliases: names that share another name's tensor. memory_format: of convolution weights in training.
    extras: further tensors: "mean_image" [H, W, C], subtracted in place of the mean; "zca.weight" [D, D] and "zca.bias"
    [D], of the whitening; those of the OOD detector and of the classifier. classifier: the kind of classifier that
    takes the embedding in place of the linear layer `head` (see `striate.inference.classifiers`), "" for that layer.
    strategy, training, metrics, versions: its origin and its metrics, as JSON values.
    """

    net: str
    options: dict[str, Any]
    task: Task
    pixels: Pixels
    tensors: Tensors
    head: str
    extras: Tensors = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    memory_format: str = "contiguous"
    classifier: str = ""
    strategy: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.task.names

    @cached_property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of each tensor's dtype, shape and bytes, by name."""
        return {name: _checksum(tensor) for name, tensor in sorted(self.tensors.items())}

    @property
    def mean_image(self) -> NDArray[np.float32] | None:
        """The mean image [H, W, C] on the 0..255 scale, if one is subtracted from the network's input."""
        return self.extras.get("mean_image")

    @property
    def input_tensors(self) -> dict[str, NDArray[np.float32]]:
        """The extras that normalise the network's input: the mean image, or the whitening."""
        return {name: self.extras[name] for name in _INPUT if name in self.extras}

    @cached_property
    def backbone_key(self) -> str:
        """A key of everything that determines the embedding: net, input normalisation and every tensor before the head.

        Models that differ only in their linear head share it, and so share one compiled graph and one feature cache.
        """
        below = {name: value for name, value in self.checksums.items() if not self.in_head(name)}
        options = {name: value for name, value in self.options.items() if not (self.head and name == "classes")}
        pixels = self.pixels
        facts: list[Any] = [self.net, options, self.head, self.aliases, below]
        facts += [_checksum(tensor) for tensor in self.input_tensors.values()]
        facts += [self.pixels.contrast] if self.pixels.contrast else []
        facts += [source_digest(self.net)] if is_import_path(self.net) else []
        facts += [pixels.height, pixels.width, pixels.channels, list(pixels.mean), list(pixels.std)]
        return sha256_of(json.dumps(facts, sort_keys=True).encode())

    def in_head(self, name: str) -> bool:
        """Whether the tensor with that name belongs to the linear head."""
        return bool(self.head) and name.startswith(f"{self.head}.")


def write(path: Path, model: Model) -> None:
    """Write the model file atomically."""
    write_document(path, header_of(model), stored(model))


def header_of(model: Model) -> dict[str, Any]:
    """What the header has of a model, as JSON values."""
    plain = {item.name: getattr(model, item.name) for item in dataclasses.fields(model)}
    extras = {_EXTRA + name: _checksum(tensor) for name, tensor in sorted(model.extras.items())}
    return {
        **{name: value for name, value in plain.items() if name not in ("tensors", "extras")},
        "task": model.task.as_dict(),
        "classes": list(model.classes),
        "pixels": model.pixels.as_dict(),
        "checksums": model.checksums | extras,
    }


def stored(model: Model) -> Tensors:
    """A model's tensors by their names in the file."""
    return model.tensors | {_EXTRA + name: tensor for name, tensor in model.extras.items()}


def write_document(path: Path, header: dict[str, Any], tensors: Tensors) -> None:
    """Write tensors atomically, and a header with format number and checksum, as one safetensors file."""
    header = {"format": FORMAT, **header}
    header["sha256"] = sha256_of(json_text(header).encode())
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    write_bytes(path, safetensors.numpy.save(contiguous, {"striate": json_text(header)}))


def read(path: Path) -> Model:
    """Read and check the file of one network. Raises RequestError, with the file's name and the defect."""
    header, tensors = read_document(path)
    if MEMBERS in header:
        count = len(header[MEMBERS]) if isinstance(header[MEMBERS], list) else 0
        raise RequestError(f"{str(path)!r} is an ensemble of {count} networks, where one network is needed: name one")
    return checked(header, tensors, repr(str(path)))


def read_document(path: Path) -> tuple[dict[str, Any], Tensors]:
    """The header and the tensors of a file, of which only the header's checksum is checked yet.

    Raises RequestError, with the file's name and the defect.
    """
    name = repr(str(path))
    with _opened(path) as (file, found, header):
        file.seek(0)
        content = file.read(found.size)
    try:
        return header, safetensors.numpy.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"the model file {name} is truncated or damaged: {error}") from error


def description(path: Path) -> dict[str, Any]:
    """What a model file says of itself, without its tensors. Raises RequestError as `read`."""
    with _opened(path) as (_, _, header):
        return header


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BufferedReader, Header, dict[str, Any]]]:
    """The file, its header, and what Striate put into it. Raises RequestError, of reading within too."""
    name = repr(str(path))
    try:
        with open_file(path, WEIGHTS) as file:
            _require_no_pickle(file.peek(9)[:9], name)
            found = Header.read(file)
            yield file, found, _header(found.values, name)
    except OSError as error:
        raise RequestError(f"cannot read the model {name}: {error.strerror or error}") from error
    except NotSafetensors as error:
        kind = f"the model file {name} is truncated or" if error.damaged else f"{name} is not a model file, or is"
        raise RequestError(f"{kind} {'damaged' if error.damaged else 'truncated'}: {error}") from error


def _require_no_pickle(start: bytes, name: str) -> None:
    # A safetensors file starts with its header's length, which may look like either signature, and then a brace.
    if start[8:9] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise RequestError(
            f"{name} is a pickle, which could run code when opened; Striate opens only .safetensors model files"
        )


def _header(outer: dict[str, Any], name: str) -> dict[str, Any]:
    """The JSON that Striate put into the safetensors header."""
    try:
        text = outer["__metadata__"]["striate"]
    except (KeyError, TypeError):
        raise RequestError(f"{name} has tensors, but is not a Striate model: it has no net and no pixels") from None
    try:
        header = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestError(f"the model file {name} is damaged: its description is not JSON") from error
    if not isinstance(header, dict) or type(header.get("format")) is not int:
        raise RequestError(f"the model file {name} is damaged: its description has no format number")
    # Before the checksum, which another format may compute differently.
    if header["format"] != FORMAT:
        hint = "upgrade Striate to open it" if header["format"] > FORMAT else "train or import the model again"
        raise RequestError(f"{name} has model format {header['format']}, and this Striate reads {FORMAT}; {hint}")
    if header.pop("sha256", None) != sha256_of(json.dumps(header).encode()):
        raise RequestError(f"the model file {name} is damaged: its description does not match its checksum")
    return header


_KINDS: dict[str, type] = {
    "net": str, "options": dict, "classes": list, "task": dict, "pixels": dict, "head": str, "aliases": dict,
    "memory_format": str, "classifier": str, "strategy": str, "training": dict, "metrics": dict, "versions": dict,
    "checksums": dict,
}  # fmt: skip


def checked(header: dict[str, Any], tensors: Tensors, name: str) -> Model:
    """The model from header and tensors, if they are consistent. Raises RequestError; `name` says whose they are."""
    for key, kind in _KINDS.items():
        if not isinstance(header.get(key), kind):
            raise RequestError(f"the model file {name} is damaged: {key!r} is missing or of the wrong type")
    classes = header["classes"]
    if not 1 <= len(classes) <= MAX_CLASSES or not all(isinstance(entry, str) for entry in classes):
        raise RequestError(f"the model file {name} has {len(classes)} classes; 1 to {MAX_CLASSES:,} are accepted")
    if header["options"].get("classes", len(classes)) != len(classes):
        raise RequestError(
            f"the model file {name} is refused: its options have {header['options']['classes']!r} classes, "
            f"and it has {len(classes)} class names"
        )
    checksums = header.pop("checksums")
    if checksums.keys() != tensors.keys():
        raise RequestError(f"the model file {name} is damaged: tensors are missing or were added")
    if not all(isinstance(owner, str) and owner in tensors for owner in header["aliases"].values()):
        raise RequestError(f"the model file {name} is damaged: an alias refers to a missing tensor")
    for tensor_name, tensor in tensors.items():
        if checksums[tensor_name] != _checksum(tensor):
            raise RequestError(f"the model file {name} is damaged: tensor {tensor_name!r} does not match its checksum")
    extras = {key.removeprefix(_EXTRA): tensors.pop(key) for key in list(tensors) if key.startswith(_EXTRA)}
    values: dict[str, Any] = {key: header[key] for key in _KINDS if key not in ("checksums", "classes")}
    try:
        values["pixels"] = Pixels.from_dict(header["pixels"])
        values["task"] = task_from_dict(header["task"], tuple(classes))
    except RequestError as error:
        raise RequestError(f"the model file {name} is damaged: {error}") from error
    model = Model(**values, tensors=tensors, extras=extras)
    pixels = model.pixels
    if model.mean_image is not None and model.mean_image.shape != (pixels.height, pixels.width, pixels.channels):
        raise RequestError(f"the model file {name} is damaged: its mean image does not fit its pixels")
    size = pixels.height * pixels.width * pixels.channels
    shapes = [tensor.shape for key, tensor in model.input_tensors.items() if key.startswith("zca.")]
    if shapes and (shapes != [(size, size), (size,)] or not pixels.contrast):
        raise RequestError(f"the model file {name} is damaged: its whitening does not fit its pixels")
    if model.head:
        weight, bias = tensors.get(f"{model.head}.weight"), tensors.get(f"{model.head}.bias")
        fits = weight is not None and weight.ndim == 2 and len(weight) == len(classes)
        if not fits or (bias is not None and bias.shape != (len(classes),)):
            raise RequestError(f"the model file {name} is damaged: its head does not fit its {len(classes)} classes")
    return model


def _checksum(tensor: NDArray[Any]) -> str:
    content = sha256_of(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    # With dtype and shape, because the same bytes with another dtype are another tensor.
    return sha256_of(f"{tensor.dtype.str} {list(tensor.shape)} {content}".encode())
