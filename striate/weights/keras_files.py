"""Keras's files of weights (`.weights.h5`, `.h5`): the arrays of every layer, in the order of the model's layers.

Two layouts are read, by the names that they have. Until Keras 3, and in all files that Keras publishes: attributes
`layer_names`, and `weight_names` of every layer, name the arrays. Since Keras 3: `layers/CLASS_NUMBER/vars/0`, ...
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from io import BufferedReader

from striate.errors import RequestError
from striate.weights.fitting import Arrays
from striate.weights.hdf5 import Array, Damaged, File, Node

ENDINGS = (".h5", ".hdf5")
_LAYERS = 10_000  # of a model, and names of an attribute

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
_SAVE = "save the weights where the model was made: model.save_weights('model.weights.h5')"
Layer = tuple[str, list[Array]]


def read_keras(file: BufferedReader, size: int) -> Arrays:
    """The arrays of every layer as `layer.leaf`, as Keras has them (channels last), in the order of the layers.

    A leaf is one of `_LEAVES`; a slash in a layer's name becomes a line. size: bytes of the file. A whole saved model
    is read too: only its weights. Raises RequestError for a file of another kind or layout, and a damaged one.
    """
    try:
        root = File(file, size).root
        found = _arrays(layers_of(root), size)
    except (Damaged, struct.error, RecursionError) as error:
        told = f": {error}" if isinstance(error, Damaged) else ""
        raise RequestError(f"it is damaged, or an HDF5 file of a kind that Keras does not write{told}") from error
    if not found:
        raise RequestError("no layer in it has weights")
    return found


def _arrays(layers: Iterator[Layer], size: int) -> Arrays:
    found: Arrays = {}
    left = size
    for name, arrays in layers:
        layer = name.replace("/", "_")
        leaves = _LEAVES.get(tuple(len(array.shape) for array in arrays))
        if leaves is None:
            raise RequestError(_strange(name, arrays))
        for leaf, array in zip(leaves, arrays, strict=True):
            if not leaf:
                continue
            if f"{layer}.{leaf}" in found:
                raise RequestError(f"two of its layers are called {layer!r:.200}")
            if not array.dtype:
                raise RequestError(f"the values of its layer {name!r:.200} are not floats")
            left -= array.stored
            if left < 0:
                raise RequestError(f"its arrays have more bytes than the file, from layer {name!r:.200} on")
            found[f"{layer}.{leaf}"] = array.values()
    return found


def layers_of(root: Node) -> Iterator[Layer]:
    """The layers that have weights."""
    if "model_weights" in root.links:  # of a whole model
        root = root.child("model_weights")
    names = _names(root, "layer_names")
    if names is not None:
        return _named(root, names)
    for container in ("layers", "_layer_checkpoint_dependencies"):  # the second until Keras 3
        if container in root.links:
            return _numbered(root.child(container))
    raise RequestError(f"it is an HDF5 file without the layers of a Keras model; {_SAVE}")


def _named(root: Node, layers: list[str]) -> Iterator[Layer]:
    for name in layers:
        layer = root.child(name)
        arrays = _names(layer, "weight_names")
        if arrays is None:
            raise RequestError(f"its layer {name!r:.200} has no names of arrays")
        if arrays:
            yield name, [_array(layer, one) for one in arrays]


def _numbered(container: Node) -> Iterator[Layer]:
    """Class by class, each in the model's order."""
    for name in sorted(container.links, key=_number):
        layer = container.child(name)
        if "layers" in layer.links:
            raise RequestError(f"its layer {name!r:.200} is a model; save that one's weights")
        if "vars" not in layer.links:
            continue
        variables = layer.child("vars")
        if count := len(variables.links):
            own = variables.names("name") or [name]
            yield own[0], [_array(variables, str(place)) for place in range(count)]


def _array(group: Node, name: str) -> Array:
    found = group.child(name).array()
    if found is None:
        raise RequestError(f"{name!r:.200} in it is not an array")
    return found


def _names(node: Node, attribute: str) -> list[str] | None:
    """The strings of an attribute; a long list is kept as several, called name0, name1 and so on."""
    found = node.names(attribute)
    place = 0
    while found is None or place:
        more = node.names(f"{attribute}{place}")
        if more is None:
            break
        found, place = (found or []) + more, place + 1
    if found is not None and len(found) > _LAYERS:
        raise RequestError(f"its attribute {attribute!r} has {len(found):,} names, more than any network")
    return found


def _number(name: str) -> tuple[str, int]:
    """A key that sorts conv2d_2 before conv2d_10."""
    found = re.fullmatch(r"(.*?)(?:_(\d{1,9}))?", name, re.DOTALL)
    return (found[1], int(found[2] or 0)) if found else (name, 0)


def _strange(name: str, arrays: list[Array]) -> str:
    if len(arrays) > 4:
        return f"its layer {name!r:.200} has {len(arrays)} arrays: it is a model; save that one's weights"
    shapes = ", ".join(str(array.shape) for array in arrays)
    return f"its layer {name!r:.200} has arrays of shape {shapes}: it is no layer that can be read"
