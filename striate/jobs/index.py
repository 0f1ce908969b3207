"""Index: photographs as vectors in one file, to be searched by image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.sources.base import Item, Oddity
from striate.data.sources.files import FileSource
from striate.data.sources.folder import open_images
from striate.errors import RequestError, shown
from striate.jobs.outputs import require_file
from striate.learning.extraction import extract, feature_extractor
from striate.model import Model
from striate.progress import Progress
from striate.reading import given_path
from striate.retrieval.embedding import Floats, unit_vectors, whole_picture
from striate.retrieval.index import ImageIndex, MadeBy, Photo, read_index, write_index
from striate.storage import sha256_of
from striate.tasks import Classification
from striate.weights.models import DEFAULT_BACKBONE, pretrained

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Indexed:
    """The index as it was written. path: its file. added, removed: photographs. set_aside: entries that are no images,
    and images that cannot be used, each with the reason."""

    index: ImageIndex
    path: Path
    added: int
    removed: int
    set_aside: tuple[Oddity, ...]

    def words(self) -> str:
        """What was done, in one line."""
        changes = f"{self.added:,} added" + (f", {self.removed:,} removed" if self.removed else "")
        width = self.index.vectors.shape[1] if len(self.index) else 0
        return f"{len(self.index):,} photographs ({changes}), {width:,} features each, of {self.index.made_by.net}"

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "index": str(self.path),
            "photographs": len(self.index),
            "added": self.added,
            "removed": self.removed,
            "net": self.index.made_by.net,
            "model": self.index.made_by.source,
            "set_aside": [{"path": one.path, "kind": one.kind, "why": one.why} for one in self.set_aside],
        }


def index(
    photos: PathLike | Sequence[PathLike] = (),
    *,
    out: PathLike,
    net: PathLike | None = None,
    add: bool = False,
    remove: Sequence[PathLike] = (),
    engine: str = "auto",
    progress: Progress | None = None,
) -> Indexed:
    """Index photographs (files, and folders of them at any depth) for `striate.search`, as the file `out`.

    Each photograph becomes the unit vector of its embedding under a pretrained network; the whole picture is seen, not
    its centre (`striate.retrieval.embedding`). The vectors come from the cache of features: a photograph that was
    indexed before, and has not changed, is not decoded again.

    net: a network with weights, a model file or a run folder; by default the backbone that training starts from. add:
    add to the index that is there, with its model, instead of making a new one. remove: photographs, or folders of
    them, to be removed from it. engine: of inference.
    Raises RequestError if nothing is to be done, for a file that is no index, for an index that another model made, and
    for a photograph to be removed that is not in it.
    """
    progress = progress or Progress()
    given = [photos] if isinstance(photos, (str, os.PathLike)) else list(photos)
    path = given_path(out, "the index")
    require_file(path)
    if not given and not remove:
        raise RequestError("no photographs were given: name image files or folders of them, or what to remove")
    before = read_index(path) if path.exists() else None
    if before is None and (add or remove):
        raise RequestError(f"there is no index {str(path)!r} to change; index photographs without add and remove first")
    changed = before if add or remove else None
    made = changed.removing(map(os.path.abspath, remove)) if changed else None
    removed = len(changed) - len(made) if changed and made else 0
    oddities: tuple[Oddity, ...] = ()
    added = 0
    if given:
        model, source = opened(net or (changed.made_by.source if changed else DEFAULT_BACKBONE))
        if changed:
            changed.made_by.require(model, source, str(path))
        found, vectors, oddities = _embedded(photo_source(given), model, engine, progress)
        added = len(found)
        made = made.adding(found, vectors) if made else ImageIndex(found, vectors, MadeBy.of(model, source))
    assert made is not None  # there were photographs, or an index from which some were removed
    write_index(path, made)
    return Indexed(made, path, added, removed, oddities)


def opened(net: PathLike) -> tuple[Model, str]:
    """The model to embed with, and the name by which it is opened again: a net's name, or the path of its file."""
    name = os.fspath(net)
    if os.path.isdir(name):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
        name = str(Path(name) / "model.safetensors")
    source = os.path.abspath(name) if name.endswith(".safetensors") else name  # noqa: PTH100  (links are kept)
    return pretrained(source), source


def photo_source(photos: Sequence[PathLike]) -> FileSource:
    """The photographs of files and folders as one source, each once, by absolute paths. Raises RequestError."""
    items: dict[str, Item] = {}
    oddities: list[Oddity] = []
    roots: list[str] = []
    for one in photos:
        path = given_path(one, "the photograph")
        if not os.fspath(one) or not os.path.lexists(path):
            raise RequestError(f"no file or folder {shown(os.fspath(one))}")
        root = Path(os.path.abspath(path))  # noqa: PTH100  (links are kept)
        roots.append(str(root))
        if not path.is_dir():
            items[root.as_posix()] = Item(root.as_posix(), 0)
            continue
        source = open_images(root)
        for item in source.items:
            key = (root / item.key).as_posix()
            items[key] = Item(key, 0)
        oddities += [Oddity((root / one.path).as_posix(), one.kind, one.why) for one in source.oddities]
    name = sha256_of("\0".join(sorted(roots)).encode("utf-8", "surrogateescape"))
    task = Classification(("photographs",))
    return FileSource(Path("/"), "photographs", f"index|{name}", task, tuple(items.values()), tuple(oddities))


def _embedded(
    source: FileSource, model: Model, engine: str, progress: Progress
) -> tuple[tuple[Photo, ...], Floats, tuple[Oddity, ...]]:
    """The usable photographs and their vectors, and what was set aside. Raises RequestError if none can be used."""
    # Always float32: a query is embedded alone, and is compared with these.
    by = feature_extractor(whole_picture(model), engine, "float32", len(source.items))
    if by.note:
        progress.say(by.note)
    pairs, cache = extract(source, by, progress)
    usable = [(item, record) for item, record in pairs if not record.problem]
    aside = [Oddity(item.key, record.problem, record.why) for item, record in pairs if record.problem]
    if not usable:
        why = f": {aside[0].path}: {aside[0].why}" if aside else ""
        raise RequestError(f"no photograph can be used{why}")
    photos = tuple(Photo(item.key, record.digest, record.print) for item, record in usable)
    vectors = unit_vectors(cache.matrix(photo.digest for photo in photos))
    return photos, vectors, (*source.oddities, *aside)
