"""Which images of a source models were trained on, by the split.csv of their runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from striate.data.audit.looking import digest_of
from striate.data.opening import Data, open_source, path_of
from striate.data.sources.base import Item, Source
from striate.data.sources.keys import Keys
from striate.data.splits import apply_split, read_split
from striate.errors import RequestError
from striate.learning.run_folder import SNAPSHOTS
from striate.model import AnyModel, Ensemble


@dataclass(frozen=True)
class Trained:
    """A model and the split that it was trained with. data: where its images were; split: image -> part."""

    name: str
    data: str
    split: dict[str, str]
    file: Path | None

    @classmethod
    def of(cls, name: str, model: AnyModel) -> list[Trained]:
        """Of a model file or run folder; of an ensemble's, one for each member."""
        names = file_names(name, model)
        members = model.members if isinstance(model, Ensemble) else (model,)
        found = []
        for one, member in zip(names, members, strict=True):
            file = split_file(one)
            split = read_split(file) if file else {}
            found.append(cls(one, str(member.training.get("data") or ""), split, file))
        return found


def file_names(name: str, model: AnyModel) -> list[str]:
    """The files that the members were when they were put together; of a single model, its own."""
    if not isinstance(model, Ensemble):
        return [name]
    known = model.training.get("models")
    if isinstance(known, list) and len(known) == len(model.members):
        return [str(one) for one in known]
    return [f"{name}, member {place + 1}" for place in range(len(model.members))]


def split_file(model: str | os.PathLike[str]) -> Path | None:
    """The split.csv of the run that a model file is of, or a snapshot; None without one."""
    path = Path(model)
    folder = path if path.is_dir() else path.parent
    folder = folder.parent if folder.name == SNAPSHOTS else folder
    found = folder / "split.csv"
    return found if found.is_file() else None


def common_source(models: Sequence[Trained]) -> Source | None:
    """The data that all models were trained on, if with the same split, which it has; None otherwise."""
    first = models[0]
    if not first.file or not first.data or any((one.data, one.split) != (first.data, first.split) for one in models):
        return None
    try:
        return apply_split(open_source(first.data), first.file)[0]
    except RequestError:  # no longer there
        return None


def trained_keys(source: Source, data: Data | None, models: Sequence[Trained]) -> tuple[set[str], list[str]]:
    """The keys of the source's images that any of the models was trained on; and the models of which it is not known.

    data: what `source` was opened from; None: the data that the models were trained on. Images from elsewhere are
    recognised by their content.
    """
    keys, unknown = Keys(source), list[str]()
    found: set[str] = set()
    read: dict[tuple[str, frozenset[str]], set[str] | None] = {}  # the runs of an ensemble mostly share their images
    for one in models:
        trained = frozenset(image for image, part in one.split.items() if part == "train")
        if not one.split:
            unknown.append(one.name)
        elif data is None or _same_place(data, one.data):
            found.update(keys.key(image) for image in trained)
        else:
            if (one.data, trained) not in read:
                read[one.data, trained] = _contents(one)
            unknown += [one.name] if read[one.data, trained] is None else []
    if digests := set[str]().union(*(contents or () for contents in read.values())):
        found.update(item.key for item in source.items if _digest(source, item) in digests)
    return found & {item.key for item in source.items}, unknown


def _same_place(data: Data, trained: str) -> bool:
    path = path_of(data)
    try:
        return path is not None and bool(trained) and path.resolve() == Path(trained).resolve()
    except (OSError, ValueError):
        return False


def _contents(model: Trained) -> set[str] | None:
    """The hashes of the images that a model was trained on; None where they are no longer there."""
    try:
        source = open_source(model.data) if model.data and model.file else None
        split = apply_split(source, model.file)[0] if source and model.file else None
    except RequestError:
        return None
    if split is None:
        return None
    return {_digest(split, item) for item in split.items if item.part == "train"}


def _digest(source: Source, item: Item) -> str:
    try:
        return digest_of(source, source.read(item))
    except OSError:
        return ""
