"""Keras Applications as a peer of benchmarks/parity.py: made, saved in both of Keras's layouts, read back, compared.

The layout of the files that Keras publishes, with names in attributes, is written here; the other is Keras 3's own.
Both must give the same weights, and so must layers of other names, which are paired by order.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.nets.build import create
from striate.weights.checkpoints import read_checkpoint
from striate.weights.fitting import Arrays
from striate.weights.keras_layers import with_input_normalisation
from striate.weights.peers import converted, offered

WIDTHS = {"140": 1.4, "130": 1.3, "075": 0.75, "050": 0.5, "035": 0.35, "025": 0.25}


def made(net: str, peer: str, size: int) -> Any:
    """The peer, freshly initialised and without its softmax. `peer`: Keras's name, and the side of its images."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    name = peer.partition("_")[0]
    width = {"alpha": WIDTHS.get(net.rpartition("_")[2], 1.0)} if name.startswith("MobileNet") else {}
    maker = getattr(importlib.import_module("keras.applications"), name)
    return maker(weights=None, input_shape=(size, size, 3), classifier_activation=None, **width)


def unsettle(model: Any, x: np.ndarray, rng: np.random.Generator) -> None:
    """Random parameters, and statistics of batch norms near those of `x` with them, for a Keras model.

    The parameters come first, and the statistics are moved less than parity.unsettle does: two libraries round
    differently, and where signals grow from layer to layer, as they else do in a deep EfficientNet, that alone is seen.
    For the same reason the branches of ResNet and EfficientNet are small beside what they are added to.
    """
    norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    for norm in norms:
        norm.momentum = 0.0
        if norm.scale:
            small = 0.2 if norm.name.endswith(("_3_bn", "project_bn")) else 1.0  # at the end of a branch
            norm.gamma.assign(small * rng.uniform(0.5, 1.5, norm.gamma.shape))
        norm.beta.assign(rng.normal(0, 0.1, norm.beta.shape))
    for layer in model.layers:
        if getattr(layer, "use_bias", False):
            layer.bias.assign(rng.normal(0, 0.05, layer.bias.shape))
        if type(layer).__name__ == "Dropout":  # of whole blocks too, in EfficientNet: the statistics are of all of them
            layer.rate = 0.0
    if norms:
        with torch.no_grad():
            model(x, training=True)
    for norm in norms:
        mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
        norm.moving_mean.assign(mean + 0.02 * rng.normal(size=mean.shape) * np.sqrt(variance))
        norm.moving_variance.assign(variance * rng.uniform(0.9, 1.1, variance.shape))


def write_named(model: Any, path: Path) -> None:
    """The weights in the layout of Keras's published files."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{variable.name}:0" for variable in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.weights, strict=True):
                group[name] = variable.numpy()


def saved(model: Any) -> tuple[Arrays, Arrays]:
    """The arrays as read from either layout."""
    with tempfile.TemporaryDirectory() as folder:
        named, numbered = Path(folder) / "named.h5", Path(folder) / "numbered.weights.h5"
        write_named(model, named)
        first = read_checkpoint(named).arrays
        named.unlink()
        model.save_weights(numbered)
        return first, read_checkpoint(numbered).arrays


def same(one: Arrays, other: Arrays) -> bool:
    """Whether all arrays are equal."""
    return one.keys() == other.keys() and all(np.array_equal(array, other[key]) for key, array in one.items())


def compared(net: str, peer: str, pictures: Tensor) -> tuple[nn.Module, Tensor, Tensor]:
    """Our network with a new peer's weights, its logits and the peer's. pictures: [N, 3, H, W], of about -2 to 2.

    Both are given the same pixels, 0..255, each with its own preprocessing. Raises AssertionError if the layouts give
    different weights.
    """
    rng = np.random.default_rng(torch.initial_seed())
    pixels = np.round(np.clip(127.5 + 40 * pictures.permute(0, 2, 3, 1).numpy(), 0, 255)).astype(np.float32)
    model = made(net, peer, pixels.shape[1])
    module = importlib.import_module(type_of(peer))
    x = module.preprocess_input(pixels.copy())
    unsettle(model, x, rng)
    offer = offered(net, "keras", peer)
    named, numbered = saved(model)
    arrays, classes = converted(named, net, offer.key_map)
    renamed = {key if key.endswith((".mean", ".variance")) else f"old_{key}": array for key, array in named.items()}
    for others in (numbered, renamed):
        assert same(arrays, converted(others, net, offer.key_map)[0]), "another layout gave other weights"
    ours = create(net, classes=classes, options=offer.key_map.options).eval()
    ours.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    how = with_input_normalisation(named, offer.pixels())
    mean, std = (torch.tensor(values)[:, None, None] for values in (how.mean, how.std))
    with torch.inference_mode():
        theirs = torch.as_tensor(np.asarray(model(x, training=False).cpu()))
        logits = ours((torch.from_numpy(pixels).permute(0, 3, 1, 2) - mean) / std)
    return ours, logits, theirs


def type_of(peer: str) -> str:
    """The module of Keras with the preprocessing of a network."""
    words = {"ResNet": "resnet", "InceptionV3": "inception_v3", "MobileNetV2": "mobilenet_v2", "MobileNet": "mobilenet"}
    words |= {"DenseNet": "densenet", "EfficientNet": "efficientnet", "VGG16": "vgg16", "VGG19": "vgg19"}
    return "keras.applications." + next(module for name, module in words.items() if peer.startswith(name))
