"""Keras's layers as the weights of our networks: paired by name or by order, and their axes put in torch's order.

Keras itself loads a file by order: names have changed over the years, and those of Inception-v3 are counted through.
So a file with any other names than today's is paired by order, for each kind of layer.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError, WorkError
from striate.pixels import Pixels
from striate.weights.fitting import Arrays, Rename, Shapes

IMAGENET_STD = (0.229, 0.224, 0.225)
Array = npt.NDArray[np.generic]
_LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_OTHERS = ("mean", "variance", "depthwise_kernel", "pointwise_kernel")  # of an input's normalisation; of two in one
_KINDS = {"norm": "normalisation", "depthwise": "depthwise", "other": "convolution and dense"}


def from_keras(arrays: Mapping[str, Array], rules: Sequence[Rename], shapes: Shapes) -> Arrays:
    """A file's arrays under the names of the rules, as torch has them: a kernel is [out, in, height, width].

    The rules are in the order of Keras's layers; `shapes` are of our network. A normalisation of the input is left out.
    Raises WorkError for what are no arrays of Keras, or other layers than the network's.
    """
    layers: dict[str, dict[str, Array]] = defaultdict(dict)
    for key, array in arrays.items():
        layer, _, leaf = key.rpartition(".")
        if leaf not in _LEAVES and leaf not in _OTHERS:
            raise WorkError(f"{key!r} is not an array of a Keras layer; a file of Keras ends in .h5")
        layers[layer][leaf] = array
    split = {name: leaves for layer in layers for name, leaves in _separated(layer, layers[layer])}
    names = _paired(split, rules, shapes)
    return {
        f"{names[layer]}.{leaf}": array
        for layer, leaves in split.items()
        for leaf, array in _in_torch(leaves).items()
    }  # fmt: skip


def normalises_input(arrays: Mapping[str, Array]) -> bool:
    """Whether a layer of the file normalises the input."""
    return any(key.endswith(".variance") for key in arrays)


def with_input_normalisation(arrays: Mapping[str, Array], pixels: Pixels) -> Pixels:
    """The preprocessing with mean and deviation of the file's layer that normalises the input; without one, the same.

    Pixels are divided by 255 before this layer. The published files have ImageNet's deviations as its variances, and
    divide by their roots again. Raises RequestError for values that are no statistics of three colours.
    """
    found = [key.removesuffix(".variance") for key in arrays if key.endswith(".variance")]
    if not found:
        return pixels
    mean, variance = (np.asarray(arrays[f"{found[0]}.{leaf}"], np.float64) for leaf in ("mean", "variance"))
    if len(mean) != 3 or len(variance) != 3 or not (variance > 0).all() or not np.isfinite([mean, variance]).all():
        raise RequestError("its normalisation of the input has no mean and positive variance for each of three colours")
    std = variance if np.allclose(variance, IMAGENET_STD, rtol=0, atol=1e-5) else np.sqrt(variance)
    return dataclasses.replace(pixels, mean=tuple((255 * mean).tolist()), std=tuple((255 * std).tolist()))


def channels_first(matrix: Array, channels: int) -> Array:
    """The weights [out, in] of a layer behind a flattened square map, whose inputs are ordered by place, then channel;
    here they are by channel, then place, as torch flattens."""
    side = round((matrix.shape[-1] / channels) ** 0.5)
    if matrix.ndim != 2 or side * side * channels != matrix.shape[1]:
        return matrix  # of another shape than the network's, which is told when it is fitted
    return np.moveaxis(matrix.reshape(-1, side, side, channels), 3, 1).reshape(matrix.shape)


def _separated(layer: str, leaves: dict[str, Array]) -> list[tuple[str, dict[str, Array]]]:
    """The layer, or the two convolutions of a separable one; nothing for a normalisation of the input."""
    if "variance" in leaves:
        return []
    if "depthwise_kernel" not in leaves:
        return [(layer, leaves)]
    pointwise = {"kernel": leaves["pointwise_kernel"], **{key: leaves[key] for key in ("bias",) if key in leaves}}
    return [(f"{layer}.depthwise", {"kernel": leaves["depthwise_kernel"]}), (f"{layer}.pointwise", pointwise)]


def _in_torch(leaves: Mapping[str, Array]) -> Arrays:
    found = {_LEAVES[leaf]: _axes(array) for leaf, array in leaves.items()}
    if "running_var" in found and "weight" not in found:  # without a gamma: it is one
        found["weight"] = np.ones_like(found["running_var"])
    return found


def _axes(array: Array) -> Array:
    """[height, width, in, out] -> [out, in, height, width]; of a depthwise kernel, the last is 1, and becomes `in`."""
    if array.ndim == 4:
        return array.transpose((2, 3, 0, 1) if array.shape[3] == 1 else (3, 2, 0, 1))
    return array.T


def _paired(layers: Mapping[str, Mapping[str, Array]], rules: Sequence[Rename], shapes: Shapes) -> dict[str, str]:
    """The rule's name of each layer."""
    known = {rule.theirs: rule for rule in rules}
    if layers.keys() <= known.keys():
        missing = [rule for rule in rules if rule.theirs not in layers]
        if missing and all(_is_top(rule, shapes) for rule in missing):
            raise _no_top(rules, shapes)
        return {layer: layer for layer in layers}
    theirs, ours = defaultdict(list), defaultdict(list)
    for layer, leaves in layers.items():
        theirs[_kind_of(leaves)].append(layer)
    for rule in rules:
        ours[_kind(rule, shapes)].append(rule)
    for kind, words in _KINDS.items():
        if len(theirs[kind]) != len(ours[kind]):
            top = sum(_is_top(rule, shapes) for rule in rules)
            if kind == "other" and len(theirs[kind]) == len(ours[kind]) - top:
                raise _no_top(rules, shapes)
            raise WorkError(f"it has {len(theirs[kind])} {words} layers, and the network {len(ours[kind])}")
    found = {
        layer: rule.theirs for kind in _KINDS for layer, rule in zip(theirs[kind], ours[kind], strict=True)
    }  # fmt: skip
    for layer, name in found.items():
        if layer in known and layer != name:
            raise WorkError(f"its layers are in another order than Keras's: {layer!r} is where {name!r} should be")
    return found


def _no_top(rules: Sequence[Rename], shapes: Shapes) -> WorkError:
    top = ", ".join(rule.theirs for rule in rules if _is_top(rule, shapes))
    return WorkError(
        f"it has no top ({top}): it was saved with include_top=False; give the file with all layers, "
        "whose name does not have 'notop' or 'no_top' in it"
    )


def _is_top(rule: Rename, shapes: Shapes) -> bool:
    return len(shapes.get(f"{rule.ours}.weight", ())) == 2


def _kind(rule: Rename, shapes: Shapes) -> str:
    if f"{rule.ours}.running_mean" in shapes:
        return "norm"
    shape = shapes.get(f"{rule.ours}.weight", ())
    return "depthwise" if len(shape) == 4 and shape[1] == 1 else "other"


def _kind_of(leaves: Mapping[str, Array]) -> str:
    if "moving_mean" in leaves:
        return "norm"
    kernel = leaves.get("kernel", np.zeros(0))
    return "depthwise" if kernel.ndim == 4 and kernel.shape[3] == 1 else "other"
