"""From a user's name to a model: a model file, or a net with published weights."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from striate import model as model_room
from striate.errors import RequestError, nearest
from striate.model import AnyModel, Ensemble, Model
from striate.nets.catalog import Entry, check_classifier, check_registered, known
from striate.nets.net_file import is_net_file, named
from striate.tasks import Classification, task_from_dict
from striate.weights.classes import imagenet_names
from striate.weights.imported import imported_path
from striate.weights.registry import SOURCES, has_weights, is_installed, load_published, nets_with_weights

DEFAULT_BACKBONE = "efficientnet_lite0"
MODEL, FOUND = "model.safetensors", "found.toml"  # in the folder of a run; of an architecture search
BEST = f"best/{MODEL}"  # in the folder of a search for a recipe
_AUXILIARY = re.compile(r"auxiliary\d+\.").match  # names of the tensors of auxiliary heads


def is_model_file(net: str) -> bool:
    """Whether `net` is the path of a model file instead of a net's name."""
    return net.endswith(".safetensors")


def net_keys(name: str) -> dict[str, Any]:
    """The recipe keys of a network that is given by its name, a model file, a net file, or a folder with one of these.

    A folder stands for the model of a run, the net file of an architecture search, or the best model of a search for a
    recipe; a network of the same name goes before it. Raises RequestError for a folder without any, and for a net file
    that names no network.
    """
    if _is_folder(name):
        inside = [Path(name) / one for one in (MODEL, FOUND, BEST) if (Path(name) / one).is_file()]
        if not inside:
            raise RequestError(f"the folder {name!r} is no network: it has no {MODEL}, as a run has, and no {FOUND}")
        name = str(inside[0])
    if not is_net_file(name):
        return {"net.name": name}
    net, options = named(name)
    return {"net.name": net, **{f"net.options.{option}": value for option, value in options.items()}}


def _is_folder(name: str) -> bool:
    """Whether it is a folder, and no network."""
    try:
        there = Path(name).is_dir()
    except (OSError, ValueError):  # a name that no path can have
        return False
    try:
        known(name)
    except RequestError:
        return there
    return False


def published_model(net: str) -> Model:
    """A net with its published weights, classes and pixels. Raises RequestError for a net without."""
    from striate.weights.registry import source

    found = source(net)
    tensors = load_published(net)
    height, width = found.pixels.height, found.pixels.width
    options = {"classes": 1000, "in_channels": 3, "input_size": [height, width], "options": {}}
    training = {"weights": found.name, "data": found.data, "licence": found.licence, "sha256": found.sha256}
    return Model(
        net,
        options,
        Classification(imagenet_names()),
        found.pixels,
        tensors,
        head="head",
        strategy="published",
        training=training,
    )


def pretrained(net: str) -> Model:
    """The pretrained model to fit a head on: the model file `net`, or a net's published or imported weights.

    A net that classifies by a convolution gets a linear head of zeros in its place, by its option `classifier`.
    Auxiliary heads, which are of the classes that the net was trained on, are left out.
    Raises RequestError if there are no weights, or if the net supports no linear head.
    """
    model = _read(Path(net)) if is_model_file(net) else named_model(net)
    return _with_linear_head(_without_auxiliary_heads(model))


def named_model(net: str) -> Model:
    """The model with a net's published or imported weights."""
    if net in SOURCES and (is_installed(net) or not imported_path(net).is_file()):
        return published_model(net)
    return model_room.read(imported_path(net))


def _without_auxiliary_heads(model: Model) -> Model:
    given = dict(model.options.get("options", {}))
    added = given.pop("add_auxiliary_heads", None) is not None
    if not added and not (isinstance(known(model.net), Entry) and any(map(_AUXILIARY, model.tensors))):
        return model
    inner = given if added else {**given, "auxiliary": False}  # the option of every net whose paper has such heads
    return dataclasses.replace(
        model,
        options={**model.options, "options": inner},
        tensors={name: tensor for name, tensor in model.tensors.items() if not _AUXILIARY(name)},
        aliases={name: owner for name, owner in model.aliases.items() if not _AUXILIARY(name)},
    )


def _with_linear_head(model: Model) -> Model:
    if model.head:
        return model
    from striate.nets.build import create
    from striate.nets.state import arrays_of

    options = {**model.options, "options": {**model.options.get("options", {}), "classifier": "linear"}}
    try:
        arrays, aliases = arrays_of(create(model.net, **options))
    except RequestError as error:
        raise RequestError(f"{model.net} does not end in a linear layer, so no head can be fitted on it") from error
    head = {name: np.zeros_like(array) for name, array in arrays.items() if name.startswith("head.")}
    below = {name: model.tensors[name] for name in arrays if name not in head}
    return dataclasses.replace(model, options=options, tensors=below | head, head="head", aliases=aliases)


def open_model(name: str | os.PathLike[str]) -> Model:
    """A model file, or a run folder's, or a net with published weights: one network.

    Raises RequestError listing what exists, and for an ensemble.
    """
    path = _path_of(name)
    return named_model(str(name)) if path is None else _read(path)


def open_any(name: str | os.PathLike[str]) -> AnyModel:
    """The same, or an ensemble."""
    path = _path_of(name)
    if path is None:
        return named_model(str(name))
    model = model_room.read_any(path)
    for member in model.members if isinstance(model, Ensemble) else (model,):
        check_registered(member.net)
    return model


def predicts_boxes(name: str | os.PathLike[str]) -> bool:
    """Whether the model of that name finds objects, by its file's header alone; False for what cannot be opened."""
    try:
        if (path := _path_of(name)) is None:
            return False
        facts = model_room.description(path)
        return task_from_dict(facts["task"], tuple(facts["classes"])).boxes
    except (RequestError, KeyError, TypeError):  # an ensemble, or told when it is opened
        return False


def _path_of(name: str | os.PathLike[str]) -> Path | None:
    """The model file that a name means; None for a net with published weights. Raises RequestError as `open_model`."""
    path = Path(name)
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a name that is too long, a folder without permission
        raise RequestError(f"cannot read the model {str(name)!r}: {error.strerror or error}") from error
    if is_folder:
        path = path / MODEL
        if not path.is_file():
            raise RequestError(f"the folder {str(name)!r} has no {MODEL}")
    if not path.exists():
        if has_weights(str(name)):
            return None
        check_classifier(str(name))
        names = nets_with_weights()
        near = nearest(str(name), names)
        hint = f"did you mean {near[0]!r}?" if near else f"nets with weights here: {', '.join(names)}"
        raise RequestError(f"no model file {str(name)!r}; {hint}")
    return path


def _read(path: Path) -> Model:
    """Read a model file and check that its net exists. Raises RequestError for a custom net that is not registered."""
    model = model_room.read(path)
    check_registered(model.net)
    return model
