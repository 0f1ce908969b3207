"""Opening data: from a path, name, arrays or Dataset to a source."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from striate.data.pack.source import SUFFIX as PACK
from striate.data.pack.source import open_pack
from striate.data.sources.arrays import open_npz
from striate.data.sources.base import Source
from striate.data.sources.boxes import holds_boxes, open_boxes
from striate.data.sources.captions import FILES as CAPTIONS
from striate.data.sources.captions import captions_file
from striate.data.sources.cifar import is_cifar, open_cifar
from striate.data.sources.folder import open_folder
from striate.data.sources.idx import IDX_NAME, holds_idx, open_idx
from striate.data.sources.in_memory import from_parts
from striate.data.sources.manifest import SUFFIXES as MANIFESTS
from striate.data.sources.manifest import open_manifest
from striate.data.sources.masks import holds_masks, open_masks
from striate.data.sources.named import NAMED, open_named
from striate.data.sources.parts import part_named
from striate.data.sources.unpacking import UNPACK, unpack_first
from striate.data.sources.walk import plain_folders
from striate.errors import RequestError, nearest

ARCHIVES = (".tar.gz", ".tgz", ".tar")  # of CIFAR's binary version
ACCEPTED = (
    "a folder of class folders, one with images/ and masks/, or images/ and captions.txt, or with images and boxes "
    "(VOC, COCO, YOLO), a manifest (.csv, .jsonl, .json), an .npz file, a .pack file, IDX files "
    "(...-images-idx3-ubyte), "
    "the binary version of CIFAR (a folder or its .tar.gz)"
)


class LabelledImages(Protocol):
    """A map-style `torch.utils.data.Dataset`, or a list, of (image, target): see `striate.data.sources.in_memory`."""

    def __getitem__(self, index: Any, /) -> Any: ...


# A path or a named set; (images, targets) as arrays; a Dataset; either of them by part, such as {"train": ..., "val":
# ...}; or a custom source.
Data = str | os.PathLike[str] | tuple[Any, Any] | LabelledImages | Mapping[str, Any] | Source


def open_source(data: Data, layout: str = "auto") -> Source:
    """The source of a path or a named set, arrays, a Dataset, or the source itself.

    layout: of a folder, see `striate.data.sources.folder`. Raises RequestError that lists what is accepted.
    """
    if isinstance(data, (str, os.PathLike)):
        return _open_path(data, layout)
    if isinstance(data, Source):
        return data
    return from_parts(data if isinstance(data, Mapping) else {"": data})


def path_of(data: Data) -> Path | None:
    """The path or the name of a set; None for data given from Python."""
    return Path(data) if isinstance(data, (str, os.PathLike)) else None


def _open_path(data: str | os.PathLike[str], layout: str) -> Source:
    path = Path(data)
    if not os.fspath(data):
        raise RequestError(f"no data was given; give {ACCEPTED}, or a named set ({', '.join(NAMED)})")
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # name too long, or no permission
        raise RequestError(f"cannot read {str(data)!r}: {error.strerror or error}") from error
    if is_folder:
        return _open_folder(path, layout)
    if is_file and (source := _open_file(path)):
        return source
    if str(data) in NAMED:
        return open_named(str(data))
    if path.exists():
        raise RequestError(f"{str(data)!r} is none of these: {ACCEPTED}{_right_ending(path)}")
    raise RequestError(f"no folder or file {str(data)!r}{_right_ending(path)}; {_nearest(path)}")


def _open_folder(path: Path, layout: str) -> Source:
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise RequestError(f"cannot read the folder {str(path)!r}: {error.strerror or error}") from error
    if holds_idx(names):
        return open_idx(path)
    if is_cifar(names):
        return open_cifar(path)
    if _has_masks(path, names, layout):
        return open_masks(path)
    if layout == "auto" and holds_boxes(path):
        return open_boxes(path)
    if layout == "auto" and (captions := captions_file(names)):
        return open_manifest(path / captions)
    inside = [path / name for name in names if _could_be_opened(path / name)]
    try:
        source = open_folder(path, layout=layout)
    except RequestError as error:
        if not inside:
            raise
        raise RequestError(f"{error}; or did you mean {str(inside[0])!r}?") from error
    if len(source.task.names) == 1 and inside and layout == "auto":
        raise RequestError(
            f"{str(path)!r} has images in one folder only, {source.task.names[0]!r}, beside {inside[0].name}: did you "
            f"mean {str(inside[0])!r}?"
        )
    return source


def _has_masks(path: Path, names: list[str], layout: str) -> bool:
    """Whether a folder has images/ and masks/, itself or in its parts."""
    if layout != "auto":
        return False
    parts = [path / name for name in names if part_named(name)]
    return holds_masks(names) or any(holds_masks([one.name for one in plain_folders(str(part))]) for part in parts)


def _open_file(path: Path) -> Source | None:
    """The file as a source; None for an unknown format."""
    name = path.name.lower()
    if name.endswith(".npz"):
        return open_npz(path)
    if name.endswith(PACK):
        return open_pack(path)
    if name.endswith(MANIFESTS) or name in CAPTIONS:
        return open_manifest(path)
    if IDX_NAME.fullmatch(path.name):
        return open_idx(path)
    if name.endswith(ARCHIVES):
        return open_cifar(path)
    if name.endswith(tuple(UNPACK)):
        raise RequestError(unpack_first(path))
    return None


def _could_be_opened(path: Path) -> bool:
    """Whether this subfolder or file may be what was meant."""
    try:
        if path.is_dir():
            names = [entry.name for entry in path.iterdir()]
            return holds_idx(names) or is_cifar(names)
    except OSError:
        return False
    return path.name.lower().endswith((".npz", PACK, *MANIFESTS, *ARCHIVES)) and not path.name.startswith(".")


def _right_ending(path: Path) -> str:
    near = difflib.get_close_matches(path.suffix.lower(), (".npz", PACK, *MANIFESTS), n=1, cutoff=0.7)
    return f"; should {path.suffix!r} be {near[0]!r}?" if near else ""


def _nearest(path: Path) -> str:
    """A hint: the named set or the neighbouring path with the most similar name."""
    if near := nearest(str(path), NAMED, 1):
        return f"did you mean the named set {near[0]!r}?"
    try:
        beside = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):
        beside = []
    near = nearest(path.name, [name for name in beside if not name.startswith(".")], 1)
    if near:
        return f"did you mean {str(path.parent / near[0])!r}?"
    return f"accepted: {ACCEPTED}, a named set ({', '.join(NAMED)})"
