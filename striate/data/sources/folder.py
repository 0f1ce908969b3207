"""A folder of class folders as a source: flat, in parts (train/, val/, test/), or in folds (fold1/, fold2/, ...).

Which of them a folder is follows from its names. What was read as parts is told; a folder that can be read in two ways
is refused, with both readings and the key that chooses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from striate.data.sources.base import Item, Oddity
from striate.data.sources.files import FileSource
from striate.data.sources.names import join_names, look_alike, readable
from striate.data.sources.parts import is_fold, part_named
from striate.data.sources.walk import Found, Walk, has_images, is_file, plain_folders
from striate.errors import RequestError, unknown
from striate.tasks import Classification

LAYOUTS = ("auto", "parts", "classes")
# Not known as parts, but named as if they were: train2, treino and teste, Trainingsdaten.
_LIKE_A_PART = re.compile("train|test|val|trein|entren|prueb|entra|appren|lern", re.IGNORECASE)
CHOOSE = "--layout classes reads every folder as a class"


def open_folder(root: Path, name: str = "", layout: str = "auto") -> FileSource:
    """A folder as a source.

    layout: "parts", "classes", or "auto", which decides by the folders' names. Raises RequestError if the folder has
    no class folder with images, or can be read in two ways.
    """
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    walk = Walk(root)
    try:
        reading = _walked(walk, layout)
    except OSError as error:
        raise RequestError(f"cannot read the folder {str(root)!r}: {error.strerror or error}") from error
    files, aside, told = _without_unlabelled(walk.files, walk.oddities)
    if not files:
        raise RequestError(_nothing(root, walk))
    joined = join_names(Counter(file.name for file in files))
    if len(joined.names) == 1 and layout == "auto" and (inner := _inside(root)):
        raise RequestError(inner)
    place = {class_name: index for index, class_name in enumerate(joined.names)}
    items = tuple(Item(file.key, place[joined.name[file.name]], file.part, file.group) for file in files)
    return FileSource(
        root,
        name or readable(root.resolve().name),
        str(root.resolve()),
        Classification(joined.names),
        items,
        tuple(aside),
        reading=(*reading, *told, *joined.notes),
    )


def open_images(root: Path) -> FileSource:
    """All images below a folder, of one class named after it. Raises RequestError when there are none."""
    walk = Walk(root)
    try:
        walk.class_folder(str(root), "", root.resolve().name)
    except OSError as error:
        raise RequestError(f"cannot read the folder {str(root)!r}: {error.strerror or error}") from error
    if not walk.files:
        locked = "".join(f"; {one.path}: {one.why}" for one in walk.oddities if one.kind == "unreadable")
        raise RequestError(f"no images in the folder {str(root)!r}{locked}")
    name = readable(root.resolve().name)
    items = tuple(Item(file.key, 0) for file in walk.files)
    return FileSource(root, name, f"{root.resolve()}|images", Classification((name,)), items, tuple(walk.oddities))


# Parts, folds or classes


@dataclass(frozen=True)
class _Names:
    """The subfolders of the root. parts: those that are named as parts, each with its part."""

    folders: tuple[str, ...]
    parts: dict[str, str]

    @classmethod
    def of(cls, root: Path) -> _Names:
        folders = tuple(entry.name for entry in plain_folders(str(root)))
        return cls(folders, {folder: part for folder in folders if (part := part_named(folder))})

    @property
    def others(self) -> tuple[str, ...]:
        """The folders that are not named as parts."""
        return tuple(folder for folder in self.folders if folder not in self.parts)

    @property
    def has_parts(self) -> bool:
        """Whether there is a part to train on, and another one. A class may be called "test"."""
        return "train" in self.parts.values() and len(set(self.parts.values())) >= 2


def _walked(walk: Walk, layout: str) -> list[str]:
    """Walk the root in its layout; lines that tell how the folders were read. Raises RequestError, OSError."""
    root, names = walk.root, _Names.of(walk.root)
    if layout == "parts" and "train" not in names.parts.values():
        raise RequestError(f"{str(root)!r} has no folder named as a part to train on, such as train")
    if layout == "parts" or (layout == "auto" and names.has_parts):
        return _parts(walk, names)
    if layout == "auto":
        if len(names.folders) >= 2 and all(map(is_fold, names.folders)):
            return _folds(walk)
        _refuse_doubtful(root, names)
    walk.class_folders(str(root), "")
    return []


def _parts(walk: Walk, names: _Names) -> list[str]:
    for entry, key in walk.entries(str(walk.root), ""):
        if key in names.parts:
            walk.part_folder(entry.path, key + "/", names.parts[key])
        else:
            walk.aside(key, "other-file" if is_file(entry) else "no-part", "is next to train/ and val/")
    if not walk.files and any(one.kind == "no-class" for one in walk.oddities):
        raise RequestError(
            f"{str(walk.root)!r} can be read in two ways: {_listed(names.parts)} are parts, but have images directly "
            f"in them and no class folders; or they are the classes: {CHOOSE}"
        )
    if all(folder == part for folder, part in names.parts.items()):
        return []
    return [", ".join(f"{folder}/ is read as {part}" for folder, part in names.parts.items())]


def _folds(walk: Walk) -> list[str]:
    """Folders of folds: the images of one stay together, so that as many --folds give the same folds."""
    folds = []
    for entry, key in walk.entries(str(walk.root), ""):
        if is_file(entry):
            walk.aside(key, "other-file", "is next to the folds")
        else:
            walk.class_folders(entry.path, key + "/", group=key)
            folds.append(key)
    if not walk.files:
        raise RequestError(f"{_listed(folds)} in {str(walk.root)!r} have no class folders with images")
    return [f"{folds[0]}/ to {folds[-1]}/ are read as groups of images; --folds {len(folds)} makes the same folds"]


def _refuse_doubtful(root: Path, names: _Names) -> None:
    """Raise RequestError for folders that may be parts or classes."""
    if not names.parts or "train" in names.parts.values():
        if len(names.folders) >= 2 and any(map(_LIKE_A_PART.match, names.folders)) and (shared := _shared(root, names)):
            raise RequestError(
                f"{str(root)!r} can be read in two ways: {_listed(names.folders)} have the same folders "
                f"{_listed(shared)}; if those are the classes, name the outer ones train, val or test, or give one of "
                f"them; or: {CHOOSE}"
            )
        return
    parts = _listed(names.parts)
    if not names.others and len(names.parts) >= 2:
        raise RequestError(
            f"{str(root)!r} has {parts}, but no folder train to train on; put its images into {root / 'train'}, or, if "
            f"these are the classes: {CHOOSE}"
        )
    siblings = {look_alike(folder) for folder in names.others}
    for folder in names.parts:
        inside = [entry.name for entry in plain_folders(str(root / folder))]
        if siblings & set(map(look_alike, inside)):
            raise RequestError(
                f"{str(root)!r} can be read in two ways: {folder}/ is a part, as it has folders {_listed(inside)} of "
                f"its own, and the others belong into a folder train; or it is a class: {CHOOSE}"
            )


def _shared(root: Path, names: _Names) -> list[str]:
    """The subfolders that all folders have, if each has these and no others, and no images beside them."""
    inner = [sorted(entry.name for entry in plain_folders(str(root / folder))) for folder in names.folders]
    alike = {tuple(sorted(map(look_alike, found))) for found in inner}
    apart = any(has_images(str(root / folder)) for folder in names.folders)
    return inner[0] if len(alike) == 1 and len(inner[0]) >= 2 and not apart else []


def _without_unlabelled(
    files: Sequence[Found], oddities: Sequence[Oddity]
) -> tuple[list[Found], list[Oddity], list[str]]:
    """The files without those of a part that has none of the training classes; if only train is left, without parts.

    Such as a competition's test images, whose classes are not given: something must still be held out.
    """
    kept, aside, told = list(files), list(oddities), []
    trained = {look_alike(file.name) for file in files if file.part == "train"}
    for part in ("val", "test"):
        names = {file.name for file in files if file.part == part}
        if names and trained.isdisjoint(map(look_alike, names)):
            kept = [file for file in kept if file.part != part]
            without = [file for file in files if file.part == part]
            aside += [
                Oddity(file.key, "no-class", f"{file.name!r} is no class of the training images") for file in without
            ]
            told.append(
                f"{len(without):,} images of {part} are left out: {_listed(sorted(names))} is no class of train"
            )
    if {file.part for file in kept} == {"train"}:
        without_class = [one.path for one in aside if one.kind == "no-class"]
        if without_class and not told:
            told.append(f"{len(without_class):,} images without a class folder are left out, e.g. {without_class[0]}")
        told.append("only the training images have classes: a part of them is held out")
        kept = [Found(file.key, file.name, group=file.group) for file in kept]
    return kept, aside, told


# What to say where nothing, or a single class, was found


def _nothing(root: Path, walk: Walk) -> str:
    """The error for a folder without a class folder with images."""
    beside = sum(one.kind == "no-class" for one in walk.oddities)
    if beside:
        return (
            f"no images in class folders in {str(root)!r}, but {beside:,} beside them; a folder needs one subfolder "
            "per class, with images in it; or give a table of images and labels (.csv)"
        )
    if locked := [one for one in walk.oddities if one.kind == "unreadable"]:
        return f"no images in {str(root)!r}: {locked[0].path}: {locked[0].why}"
    aside = f" ({len(walk.oddities)} entries set aside, e.g. {walk.oddities[0].path!r})" if walk.oddities else ""
    return f"no images in {str(root)!r}{aside}; a folder needs one subfolder per class, with images in it"


def _inside(root: Path) -> str:
    """The error that names the folder to give, if the root only wraps it; "" if it does not."""
    folder = root
    while len(folders := plain_folders(str(folder))) == 1 and not has_images(str(folder)):
        folder = folder / folders[0].name
        names = _Names.of(folder)
        if names.has_parts:
            return f"{str(root)!r} holds only one folder around {_listed(names.parts)}: give {str(folder)!r}"
        if sum(has_images(str(folder / one)) for one in names.folders) >= 2 and not has_images(str(folder)):
            return (
                f"{str(root)!r} holds only one folder around {_listed(names.folders)}: give {str(folder)!r}, to read "
                f"these as the classes"
            )
    return ""


def _listed(names: Sequence[str] | dict[str, str]) -> str:
    shown = [f"{name}/" for name in names][:4]
    more = len(names) - len(shown)
    return (
        ", ".join(shown) + (f" and {more} more" if more else "")
        if more or len(shown) < 2
        else (", ".join(shown[:-1]) + f" and {shown[-1]}")
    )
