"""Keras's weights in HDF5 (`.weights.h5`, `.h5`): the arrays of every layer, in the order of the model's layers.

Two layouts are read, by the names that they have. Until Keras 3, and in all files that Keras publishes: attributes
`layer_names`, and `weight_names` of every layer, name the datasets. Since Keras 3: `layers/CLASS_NUMBER/vars/0`, ...
Nothing in a file is executed; links to other files, and values that are kept elsewhere, are refused. What a file
declares is bounded by what it holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from io import BufferedReader
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError
from striate.weights.fitting import Arrays

ENDINGS = (".h5", ".hdf5")
MAX_LAYERS = 10_000  # of a model, and of the names in an attribute
_NAME_BYTES = 2**22  # of an attribute with names
_RATIO = 20  # the most that weights are compressed
_FILTERS = (1, 2, 3)  # HDF5's deflate, shuffle and checksum: others are programs that it would look for and load
_DEPTH = 16  # of groups in a dataset's name

# A layer's arrays, in Keras's order, by their numbers of dimensions; "" is not read. A batch normalisation without
# gamma has three.
_LEAVES: dict[tuple[int, ...], tuple[str, ...]] = {
    (4,): ("kernel",),
    (4, 1): ("kernel", "bias"),
    (2,): ("kernel",),
    (2, 1): ("kernel", "bias"),
    (4, 4): ("depthwise_kernel", "pointwise_kernel"),
    (4, 4, 1): ("depthwise_kernel", "pointwise_kernel", "bias"),
    (1, 1, 1, 1): ("gamma", "beta", "moving_mean", "moving_variance"),
    (1, 1, 1): ("beta", "moving_mean", "moving_variance"),
    (1, 1, 0): ("mean", "variance", ""),
}
_DAMAGED = "no weights could be read from it: it is damaged, or not an HDF5 file"
_NO_MODEL = "save the weights where the model was made: model.save_weights('model.weights.h5')"


def require_h5py() -> Any:
    """The module h5py. Raises RequestError, with how to install it, if it is not here."""
    try:
        import h5py
    except ImportError:
        raise RequestError("reading .h5 files needs the package h5py: pip install 'striate[keras]'") from None
    return h5py


def read_h5(file: BufferedReader, size: int) -> Arrays:
    """The arrays of every layer as `layer.leaf`, as Keras has them (channels last), in the order of the layers.

    A leaf is one of `_LEAVES`; a slash in a layer's name becomes a line. size: bytes of the file.
    Raises RequestError for a file of another kind or layout, and a damaged one.
    """
    h5py = require_h5py()
    try:
        with h5py.File(file, "r") as root:
            found = _Reader(h5py, size).arrays(root)
    except RequestError:
        raise
    except Exception as error:  # HDF5 raises anything on damaged files
        raise RequestError(_DAMAGED) from error
    if not found:
        raise RequestError("no layer in it has weights")
    return found


class _Reader:
    """Reads a file whose declared bytes are counted."""

    def __init__(self, h5py: Any, size: int) -> None:
        self.h5py, self.left = h5py, _RATIO * size

    def arrays(self, root: Any) -> Arrays:
        """The arrays of either layout; of a whole saved model, those of its weights."""
        found: Arrays = {}
        for name, datasets in self._layers(root):
            layer = name.replace("/", "_")
            leaves = _LEAVES.get(tuple(len(dataset.shape) for dataset in datasets))
            if leaves is None:
                raise RequestError(_strange(name, datasets))
            for leaf, dataset in zip(leaves, datasets, strict=True):
                if f"{layer}.{leaf}" in found:
                    raise RequestError(f"two of its layers are called {layer!r}")
                if leaf:
                    found[f"{layer}.{leaf}"] = self._values(name, dataset)
        return found

    def _layers(self, root: Any) -> Iterator[tuple[str, list[Any]]]:
        if "model_weights" in root:
            root = self._inside(root, "model_weights", self.h5py.Group)
        if self._has_names(root, "layer_names"):
            return self._named(root)
        for container in ("layers", "_layer_checkpoint_dependencies"):  # the second until Keras 3
            if container in root:
                return self._numbered(self._inside(root, container, self.h5py.Group))
        raise RequestError(f"it is an HDF5 file, but without the layers of a Keras model; {_NO_MODEL}")

    def _named(self, root: Any) -> Iterator[tuple[str, list[Any]]]:
        """The layers that have weights, of the layout with names."""
        for name in self._names(root, "layer_names"):
            layer = self._inside(root, name, self.h5py.Group)
            names = self._names(layer, "weight_names")
            if names:
                yield name, [self._inside(layer, one, self.h5py.Dataset) for one in names]

    def _numbered(self, container: Any) -> Iterator[tuple[str, list[Any]]]:
        """The layers that have weights, of the layout with numbers: class by class, each in the model's order."""
        if len(container) > MAX_LAYERS:
            raise RequestError(f"it has more than {MAX_LAYERS:,} layers")
        for name in sorted(container, key=_number):
            layer = self._inside(container, name, self.h5py.Group)
            if "layers" in layer:
                raise RequestError(
                    f"its layer {name!r} is a model of its own; save the weights of that model: "
                    "model.get_layer(...).save_weights('model.weights.h5')"
                )
            if "vars" not in layer:
                continue
            variables = self._inside(layer, "vars", self.h5py.Group)
            if count := len(variables):
                if count > MAX_LAYERS:
                    raise RequestError(f"its layer {name!r} has more than {MAX_LAYERS:,} arrays")
                own = self._names(variables, "name") if self._has_names(variables, "name") else [name]
                yield own[0], [self._inside(variables, str(place), self.h5py.Dataset) for place in range(count)]

    def _inside(self, group: Any, path: str, kind: type) -> Any:
        """What is called `path` below the group; no link out of the file is followed."""
        parts = path.split("/")
        if len(parts) > _DEPTH:
            raise RequestError(f"a name in it has {len(parts)} parts")
        for part in parts:
            link = group.get(part, getlink=True) if part and isinstance(group, self.h5py.Group) else None
            if link is None:
                raise RequestError(f"{path!r:.200} is missing in it")
            if not isinstance(link, self.h5py.HardLink):
                raise RequestError(f"{path!r:.200} in it is a link, which is not followed")
            group = group[part]
        if not isinstance(group, kind):
            raise RequestError(f"{path!r:.200} in it is not a {kind.__name__.lower()}")
        return group

    def _has_names(self, group: Any, name: str) -> bool:
        return name in group.attrs or f"{name}0" in group.attrs

    def _names(self, group: Any, name: str) -> list[str]:
        """The strings of an attribute; a long list is kept as several, called name0, name1 and so on."""
        if name in group.attrs:
            return self._strings(group, name)
        found: list[str] = []
        for place in range(MAX_LAYERS):
            if f"{name}{place}" not in group.attrs or len(found) > MAX_LAYERS:
                break
            found += self._strings(group, f"{name}{place}")
        return found

    def _strings(self, group: Any, name: str) -> list[str]:
        attribute = group.attrs.get_id(name)
        count = math.prod(attribute.shape or ())
        if count > MAX_LAYERS or count * attribute.dtype.itemsize > _NAME_BYTES:
            raise RequestError(f"its attribute {name!r} has {count:,} names, more than any network")
        if not count:
            return []
        found = np.asarray(group.attrs[name]).reshape(-1).tolist()
        texts = [one.decode("utf-8") if isinstance(one, bytes) else one for one in found]
        if not all(isinstance(one, str) for one in texts):
            raise RequestError(f"its attribute {name!r} has no names")
        return texts

    def _values(self, layer: str, dataset: Any) -> npt.NDArray[np.generic]:
        """The values as float32. Raises RequestError for those that are kept elsewhere, or more than the file holds."""
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(place)[0] for place in range(plist.get_nfilters())]
        if dataset.is_virtual or dataset.external or not set(filters) <= set(_FILTERS):
            raise RequestError(f"the values of its layer {layer!r:.200} are kept in another file or by a filter")
        if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (2, 4, 8):
            raise RequestError(f"its layer {layer!r:.200} has values of type {dataset.dtype}")
        self.left -= dataset.nbytes
        if self.left < 0 or dataset.nbytes > _RATIO * dataset.id.get_storage_size():
            raise RequestError(f"its layer {layer!r:.200} declares {dataset.nbytes:,} bytes, more than are in it")
        return np.asarray(dataset[()], np.float32)


def _number(name: str) -> tuple[str, int]:
    """A key that sorts conv2d_2 before conv2d_10."""
    found = re.fullmatch(r"(.*?)(?:_(\d{1,9}))?", name, re.DOTALL)
    return (found[1], int(found[2] or 0)) if found else (name, 0)


def _strange(name: str, datasets: list[Any]) -> str:
    if len(datasets) > 4:
        return f"its layer {name!r:.200} has {len(datasets)} arrays: it is a model; save that one's weights"
    shapes = ", ".join(str(dataset.shape) for dataset in datasets)
    return f"its layer {name!r:.200} has arrays of shape {shapes}: no layer that can be read"
