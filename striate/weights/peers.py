"""Weights in other libraries' files: which networks they fit, how they are renamed, and published files.

Nothing here downloads. `striate.weights.checkpoints` reads a file, and `converted` turns it into the weights of one of
our networks.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError, WorkError, unknown
from striate.nets.catalog import check_classifier
from striate.pixels import Pixels
from striate.weights.classes import class_order
from striate.weights.darknet import NUMBERS, divided
from striate.weights.fitting import Arrays, Shapes, fitted, renamed
from striate.weights.imported import fetched_path
from striate.weights.keras_layers import channels_first, from_keras, normalises_input
from striate.weights.keys import KeyMap, PublishedRow
from striate.weights.libraries import LIBRARIES, Library

# What DataParallel, torch.compile and people's own training classes put before every name.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "_forward_module.")


# Mean and standard deviation of red, green and blue, on 0..255.
_IMAGENET = (255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225)
NORMALISATIONS = {
    "imagenet": _IMAGENET,
    "half": ((127.5,) * 3, (127.5,) * 3),
    "unit": ((0.0,) * 3, (255.0,) * 3),
    "cifar": ((255 * 0.4914, 255 * 0.4822, 255 * 0.4465), (255 * 0.2023, 255 * 0.1994, 255 * 0.2010)),
    "landscape": ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "caffe": ((123.0, 117.0, 104.0), (1.0,) * 3),
    "vgg": ((123.68, 116.779, 103.939), (1.0,) * 3),
}


@dataclass(frozen=True)
class Offer:
    """A library's weights for one of our networks: the renaming rules and the published files."""

    net: str
    library: Library
    key_map: KeyMap
    rows: tuple[PublishedRow, ...]

    def of(self, row: PublishedRow) -> Offer:
        """The offer of one published file."""
        return Offer(self.net, self.library, key_map_of(self.net, self.library.name, row.arch), (row,))

    def row(self, checksums: Mapping[str, str]) -> PublishedRow | None:
        """The published file with one of these checksums; None if unknown."""
        given = checksums.get(self.library.algorithm, "")
        return next((row for row in self.rows if row.digits and given.startswith(row.digits)), None)

    def pixels(self, row: PublishedRow | None = None) -> Pixels:
        """The preprocessing of a published file, by default of the first."""
        chosen = row or self.rows[0]
        mean, std = NORMALISATIONS[chosen.colour]
        size = chosen.size
        if not chosen.resize:
            return Pixels(size, size, rule="squash", filter=chosen.filter, mean=mean, std=std)
        return Pixels(size, size, fraction=round(size / chosen.resize, 3), filter=chosen.filter, mean=mean, std=std)


def offered(net: str, library: str, peer: str = "") -> Offer:
    """The rules and published files of a library for `net`; only those of `peer`, its own name of them, if given.

    Raises RequestError for an unknown library or peer, and for a network without rules, with the reason or the networks
    that have them.
    """
    if library not in LIBRARIES:
        raise unknown("library", library, LIBRARIES)
    module = _keys_of(library)
    rows = tuple(row for row in module.WEIGHTS if row.net == net)
    if peer and rows:
        known = dict.fromkeys(name for row in rows for name in row.names)
        rows = tuple(row for row in rows if peer in row.names)
        if not rows:
            raise unknown(f"{library} weights of {net}", peer, list(known))
    key_map: KeyMap | None = module.key_map(net, rows[0].arch if rows else "")
    if net in module.DIFFERENT:
        raise RequestError(f"the weights of {net} cannot come from {library}: {module.DIFFERENT[net]}")
    if key_map is None or not rows:
        others = ", ".join(offered_nets(library))
        raise RequestError(f"there are no rules to import {library} weights into {net}; from {library}: {others}")
    return Offer(net, LIBRARIES[library], key_map, rows)


def offered_nets(library: str) -> list[str]:
    """The networks that can import a library's weights."""
    module = _keys_of(library)
    return list(dict.fromkeys(row.net for row in module.WEIGHTS if row.net not in module.DIFFERENT))


def published_rows(net: str, library: str) -> tuple[PublishedRow, ...]:
    """What a library publishes of `net` that can be imported; without its rules, which need the network."""
    module = _keys_of(library)
    return tuple(row for row in module.WEIGHTS if row.net == net and net not in module.DIFFERENT)


def sources_of(net: str) -> list[str]:
    """The libraries whose weights a network can import."""
    return [library for library in LIBRARIES if net in offered_nets(library)]


def check_offered(net: str) -> None:
    """Raise RequestError for a network of another kind than classifiers of which no library publishes weights."""
    if not sources_of(net):
        check_classifier(net)


def library_weights(net: str, library: str) -> Path:
    """The model file of a library's weights that `striate fetch` has brought.

    Raises RequestError, with what would bring it, if it is not here, or there is none.
    """
    offer = offered(net, library)
    path = fetched_path(net, library)
    if not path.is_file():
        how = f"striate fetch {net} --from {library}"
        if not offer.library.download:
            how = f"download {offer.rows[0].file} and 'striate import FILE --net {net} --from {library} --keep'"
        raise RequestError(f"{library}'s weights of {net} are not here; {how}")
    return path


def key_map_of(net: str, library: str, arch: str = "") -> KeyMap:
    """The rules from a library's names to ours; `arch` is its name of the network. Raises RequestError for none."""
    key_map: KeyMap | None = _keys_of(library).key_map(net, arch)
    if key_map is None:
        raise RequestError(f"there are no rules to import {library} weights into {net}")
    return key_map


def converted(
    arrays: Mapping[str, npt.NDArray[np.generic]], net: str, key_map: KeyMap, classes: int | None = None
) -> tuple[Arrays, int]:
    """A library's arrays as the weights of `net`, and their number of classes.

    classes: needed for a file without names and shapes, where they are not the network's own number.
    Raises WorkError, with names, for weights that do not fit.
    """
    expected = _shapes(net, classes if key_map.sequence else None, key_map.options)
    found = _by_our_names(arrays, key_map, expected)
    if key_map.norm_bias:
        found = _without_biases(found)
    if key_map.eps_above:
        found = _with_epsilon(found, key_map.eps_above)
    if f"{key_map.flattened}.weight" in found:
        channels = [shape[0] for shape in expected.values() if len(shape) == 4][-1]
        found[f"{key_map.flattened}.weight"] = channels_first(found[f"{key_map.flattened}.weight"], channels)
    last = classifier_of(expected)
    counted = found.get(f"{last}.weight")
    count = len(counted) if counted is not None and counted.ndim else 0
    if not count:
        raise WorkError(f"these are not the weights of {net}: {last}.weight is missing")
    shapes = _shapes(net, count, key_map.options)
    complete = fitted(found | _zero_biases(found, shapes, key_map), net, shapes)
    if key_map.order and count == len(order := class_order(key_map.order)):
        for leaf in ("weight", "bias"):
            complete[f"{last}.{leaf}"] = np.ascontiguousarray(complete[f"{last}.{leaf}"][list(order)])
    if key_map.bgr:
        first = next(key for key, array in complete.items() if array.ndim == 4)
        complete[first] = np.ascontiguousarray(complete[first][:, ::-1])
    return complete, count


def unwrapped(
    arrays: Mapping[str, npt.NDArray[np.generic]], key_map: KeyMap
) -> tuple[Mapping[str, npt.NDArray[np.generic]], str]:
    """The arrays without what a wrapper puts before every name, unless the rules have it too; and what that was."""
    taken = ""
    while arrays:
        prefix = next((one for one in _WRAPPERS if all(key.startswith(one) for key in arrays)), "")
        if not prefix or any(rule.theirs.startswith(prefix) for rule in key_map.rules):
            break
        arrays, taken = {key.removeprefix(prefix): array for key, array in arrays.items()}, taken + prefix
    return arrays, taken


def classifier_of(shapes: Shapes) -> str:
    """The module whose outputs are the classes: the linear head, or the last convolution if that is the head."""
    modules = [key.removesuffix(".weight") for key in shapes if key.endswith(".weight")]
    return "head" if "head" in modules else modules[-1]


def _by_our_names(arrays: Mapping[str, npt.NDArray[np.generic]], key_map: KeyMap, shapes: Shapes) -> Arrays:
    """A file's arrays under our names; `shapes` are of our network. Raises WorkError for a file of another kind."""
    if key_map.sequence != (NUMBERS in arrays):
        whose = "Darknet's, which have the ending .weights" if key_map.sequence else "a library that names them"
        raise WorkError(f"these are not weights of {whose}")
    if key_map.sequence:
        return divided(arrays[NUMBERS], shapes)
    if normalises_input(arrays) and not key_map.normalises:
        raise WorkError("it has a layer that normalises the input, which the library's network does not have")
    theirs = from_keras(arrays, key_map.rules, shapes) if key_map.keras else unwrapped(arrays, key_map)[0]
    return renamed(theirs, key_map.rules)


def _shapes(net: str, classes: int | None, options: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    import torch

    from striate.nets.build import create

    with torch.device("meta"):  # some of these networks have half a gigabyte of weights
        state = create(net, classes=classes, options=options).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _without_biases(arrays: Arrays) -> Arrays:
    """Biases before a normalisation, folded into the mean that it subtracts: the same function."""
    found = dict(arrays)
    for key in arrays:
        block, _, leaf = key.rpartition(".conv.")
        mean = f"{block}.norm.running_mean"
        if leaf == "bias" and mean in arrays:
            found[mean] = np.subtract(found[mean], found.pop(key))
    return found


def _with_epsilon(arrays: Arrays, above: float) -> Arrays:
    """The part of the epsilon that ours lacks, added to every variance: the same function in evaluation."""
    return {
        key: np.asarray(np.asarray(array, np.float64) + above, np.float32) if key.endswith(".running_var") else array
        for key, array in arrays.items()
    }


def _zero_biases(arrays: Arrays, shapes: Shapes, key_map: KeyMap) -> Arrays:
    """The biases of our layers that have none in the other library."""
    wanted = [f"{pattern}.bias" for pattern in key_map.no_bias]
    return {
        key: np.zeros(shape, np.float32)
        for key, shape in shapes.items()
        if key not in arrays and any(fnmatchcase(key, pattern) for pattern in wanted)
    }


def _keys_of(library: str) -> types.ModuleType:
    return importlib.import_module(f"striate.weights.keys.{library}")
