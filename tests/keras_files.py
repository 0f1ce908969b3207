"""Files as Keras writes them, in both of its layouts, by h5py; and our networks' weights as Keras has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from striate.nets.base import Net
from striate.weights.fitting import Rename

Layers = list[tuple[str, str, list[np.ndarray]]]  # name, Keras's class, arrays in Keras's order

_NAMES = {
    "Conv2D": ("kernel", "bias"),
    "DepthwiseConv2D": ("depthwise_kernel", "bias"),
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "Normalization": ("mean", "variance", "count"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
}


def write_named(path: Path, layers: Layers, *, within: str = "/", variable: bool = False) -> Path:
    """The layout of Keras's published files: names in attributes, of fixed or variable length."""
    strings: dict[str, Any] = {"dtype": h5py.string_dtype()} if variable else {}
    with h5py.File(path, "w") as file:
        root = file.require_group(within)
        root.attrs.create("layer_names", [name if variable else name.encode() for name, _, _ in layers], **strings)
        root.attrs["keras_version"] = b"2.1.5"
        for name, kind, arrays in layers:
            group = root.create_group(name)
            names = [f"{name}/{part}:0" for part in _NAMES.get(kind, ("a", "b", "c", "d", "e"))[: len(arrays)]]
            group.attrs.create("weight_names", [one if variable else one.encode() for one in names], **strings)
            for one, array in zip(names, arrays, strict=True):
                group[one] = array
    return path


def write_numbered(path: Path, layers: Layers, *, named: bool = True) -> Path:
    """The layout of Keras 3: classes and numbers. named: with the layers' names beside, as since Keras 3.6."""
    count: dict[str, int] = {}
    with h5py.File(path, "w") as file:
        for name, kind, arrays in layers:
            word = {"Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d", "SeparableConv2D": "separable_conv2d"}
            word |= {"BatchNormalization": "batch_normalization"}
            stem = word.get(kind, kind.lower())
            number = count[stem] = count.get(stem, -1) + 1
            group = file.create_group(f"layers/{stem}{f'_{number}' if number else ''}/vars")
            if named:
                group.attrs["name"] = name
            for place, array in enumerate(arrays):
                group[str(place)] = array
    return path


def as_keras(net: Net, rules: Iterable[Rename]) -> Layers:
    """The layers of a network, as Keras has them: the axes of kernels the other way round."""
    state: Mapping[str, np.ndarray] = {key: tensor.numpy() for key, tensor in net.state_dict().items()}
    layers: Layers = [("input_1", "InputLayer", [])]
    for rule in rules:
        weight, bias = state[f"{rule.ours}.weight"], state.get(f"{rule.ours}.bias")
        tail = [] if bias is None else [bias]
        if f"{rule.ours}.running_mean" in state:
            statistics = [state[f"{rule.ours}.{leaf}"] for leaf in ("running_mean", "running_var")]
            layers.append((rule.theirs, "BatchNormalization", [weight, *tail, *statistics]))
        elif weight.ndim == 2:
            layers.append((rule.theirs, "Dense", [weight.T, *tail]))
        elif weight.shape[1] == 1:
            layers.append((rule.theirs, "DepthwiseConv2D", [np.einsum("cmhw->hwcm", weight), *tail]))
        else:
            layers.append((rule.theirs, "Conv2D", [np.einsum("oihw->hwio", weight), *tail]))
    return layers


def settled(net: Net, seed: int = 0) -> Net:
    """The network in evaluation, with statistics of batch normalisation that are not all the same."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return net.eval()
