"""What is served: models that predict, indexes that are searched, models that read lines, networks that paint."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from striate.errors import RequestError, shown
from striate.jobs.load import load
from striate.model.header import Header, NotSafetensors
from striate.reading import WEIGHTS, open_file
from striate.retrieval.index import KEY

if TYPE_CHECKING:
    from striate.serving.answers import Answers

INDEX, STYLE = "index", "style"
_SUFFIXES = {".index": INDEX, ".pth": STYLE, ".pt": STYLE, ".model": STYLE}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_RUN_FILE = "model.safetensors"


@dataclass(frozen=True)
class Lines:
    """A model that is to read lines of digits, as `striate read` does, where it would otherwise predict windows."""

    model: str | os.PathLike[str]


Given = str | os.PathLike[str] | Lines


def opened(given: Given) -> Answers:
    """The model, ready to answer. torch is imported for lines and style, and for others without their graph.

    Raises RequestError for what cannot be opened, or is of no use there.
    """
    if isinstance(given, Lines):
        from striate.serving.lines_read import LinesRead

        return LinesRead.of_file(os.fspath(given.model))
    path = os.fspath(given)
    kind = kind_of(Path(path))
    if kind == INDEX:
        from striate.serving.searched import Searched

        return Searched.of_file(path)
    if kind == STYLE:
        from striate.serving.painted import Painted

        return Painted.of_file(path)
    from striate.serving.predicted import Predicted

    return Predicted(load(path))


def kind_of(path: Path) -> str:
    """INDEX for an index of photographs, STYLE for the weights of a fast style net, by its header; "" otherwise."""
    try:
        with open_file(path, WEIGHTS) as file:
            values = Header.read(file).values
    except (OSError, ValueError, NotSafetensors):
        return _SUFFIXES.get(path.suffix, "")  # opening it says what is wrong
    words = values.get("__metadata__")
    if isinstance(words, dict) and KEY in words:
        return INDEX
    if isinstance(words, dict) and "striate" in words:
        return ""
    return STYLE if "conv1.conv2d.weight" in values else ""


def named_models(models: Sequence[Given]) -> dict[str, Given]:
    """The models by their names: as given, else the run folder's, the file's without its ending, or the net's."""
    named: dict[str, Given] = {}
    for model in models:
        given = os.fspath(model.model if isinstance(model, Lines) else model)
        name, equals, path = given.partition("=")
        if not equals or not _NAME.fullmatch(name) or Path(given).exists():
            name, path = _own_name(given), given
        if not _NAME.fullmatch(name):
            raise RequestError(f"{shown(name, 60)} is no name for an address; give the model one: NAME={path}")
        if name in named:
            raise RequestError(f"two models are named {name!r}; give one another name: NAME={path}")
        named[name] = dataclasses.replace(model, model=path) if isinstance(model, Lines) else path
    if not named:
        raise RequestError("no models were given")
    return named


def _own_name(model: str) -> str:
    path = Path(model)
    if path.name == _RUN_FILE:
        path = path.parent
    return (path.resolve().name if path.exists() else path.name).removesuffix(".safetensors").removesuffix(".index")
