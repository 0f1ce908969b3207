"""`create`: a network by its name, freshly initialised or with weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from striate import model as model_file
from striate.errors import RequestError, unknown
from striate.model import Model
from striate.nets import build
from striate.nets.base import Net, Network
from striate.nets.catalog import entry
from striate.nets.state import arrays_of, load_arrays
from striate.weights.libraries import LIBRARIES
from striate.weights.models import named_model, open_model
from striate.weights.peers import library_weights, sources_of
from striate.weights.registry import has_weights, nets_with_weights

IMAGENET = "imagenet"  # the default weights of a network's name


def create(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    classes: int | None = None,
    in_channels: int | None = None,
    input_size: Sequence[int] | None = None,
    options: Mapping[str, object] | None = None,
) -> Network:
    """Make the network `name`: a torch module, in training mode; images [N, in_channels, H, W] -> logits [N, classes].

    A network of another kind than "classifier" (see `striate.nets.kinds`) has inputs and outputs of its own.

    weights: None for random ones, drawn from torch's global generator; "imagenet" for those published in a package, or
    imported and cached; a library's name, such as "torchvision", for its weights, which `striate fetch` has brought
    (nothing is downloaded here); or a model file or run folder of this network. With weights, whatever
    is None is as in the weights, and `classes` other than theirs give freshly initialised output layers on top of them,
    as does a model file whose head is no layer, such as nearest neighbours.
    Their preprocessing is not part of the module: it is `striate.load(...).transform`.
    input_size: height and width, checked against what the network can take. options: the constructor's other keywords.
    `create(net.name, **net.options)` makes the same network again; both can be written as JSON.
    Raises RequestError, before anything is allocated, for an unknown name or option (with the nearest right ones), a
    value out of range or of the wrong type, and weights that do not exist or are another network's.
    """
    if weights is None:
        return build.create(name, classes=classes, in_channels=in_channels, input_size=input_size, options=options)
    found = _weights(name, weights)
    theirs = found.options
    for key, value in (("in_channels", in_channels), ("options", options)):
        if value is not None and value != theirs.get(key):
            raise RequestError(f"the weights of {name} are for {key} {theirs.get(key)!r}, not {value!r}")
    net = build.create_classifier(
        name,
        classes=theirs["classes"] if classes is None else classes,
        in_channels=theirs["in_channels"],
        input_size=theirs["input_size"] if input_size is None else input_size,
        options=theirs["options"],
    )
    if net.input_size is not None and list(net.input_size) != list(theirs["input_size"]):
        raise RequestError(
            f"the weights of {name} are for images of {theirs['input_size']} pixels, not {list(net.input_size)}: its "
            "fully connected layers are as large as its last map"
        )
    if net.options["classes"] == theirs["classes"] and not found.classifier:
        load_arrays(net, found.tensors, found.aliases)
    else:
        load_arrays(net, *_below_outputs(net, found))
    return net


def _weights(name: str, weights: str | os.PathLike[str]) -> Model:
    """The model with the requested weights. Raises RequestError if there is none, or it is of another network."""
    entry(name)  # report a wrong name first
    if str(weights) == IMAGENET:
        if not has_weights(name):
            libraries = sources_of(name)
            how = f"; import them: striate import FILE --net {name} --from {libraries[0]} --keep" if libraries else ""
            raise RequestError(
                f"there are no weights for {name!r} here{how}; networks with weights: {', '.join(nets_with_weights())}"
            )
        return named_model(name)
    if str(weights) in LIBRARIES:
        return model_file.read(library_weights(name, str(weights)))
    path = Path(weights)
    if not path.exists():
        raise unknown("weights", str(weights), (IMAGENET, *LIBRARIES, "a model file"))
    if path.is_file() and path.suffix != ".safetensors":
        raise RequestError(f"{str(weights)!r} is not a model file; 'striate import' converts other libraries' weights")
    found = open_model(path) if path.is_dir() else model_file.read(path)
    if found.net != name:
        raise RequestError(f"{str(weights)!r} holds weights of {found.net!r}, not of {name!r}")
    return found


def _below_outputs(net: Net, found: Model) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The weights, except layers whose shapes depend on the number of classes: those keep the values of `net`.

    So does a linear head that a classifier stands in for.
    """
    fresh, aliases = arrays_of(net)
    known = {name: array for name, array in found.tensors.items() if not (found.classifier and found.in_head(name))}
    tensors = {
        name: known[name] if name in known and known[name].shape == array.shape else array
        for name, array in fresh.items()
    }
    return tensors, aliases
