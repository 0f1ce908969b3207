"""Images with boxes of objects: PASCAL VOC's XML files, a COCO file, or YOLO's text files beside the images."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from striate.data.sources.base import Item, Oddity
from striate.data.sources.box_values import BAD, Annotation, UnusableBoxesError, as_target, header_of
from striate.data.sources.coco_boxes import CocoFile, read_coco
from striate.data.sources.files import FileSource
from striate.data.sources.names import natural, readable
from striate.data.sources.parts import PART_NAMES, part_named
from striate.data.sources.voc import counts_from, from_zero, parse_voc
from striate.data.sources.walk import Walk, has_suffix, listed, plain_folders
from striate.data.sources.yolo import NAMES_FILES, listed_names, parse_yolo
from striate.errors import RequestError
from striate.reading import TEXT, read_file
from striate.tasks import Detection, Target

IMAGES = ("images", "image", "imgs", "img", "jpegimages", "photos")
ANNOTATIONS = ("annotations", "annots", "labels", "boxes", "xmls")
COCO_FILES = ("boxes.json", "annotations.json", "instances.json", "_annotations.coco.json")
SETS = "ImageSets"  # of VOC: ImageSets/Main/train.txt names the images of a part
LOOKED_AT = 50  # entries of a folder, to see of what kind its files are


@dataclass
class _Found:
    """What a format gives: the annotation of each image by its key, its part, and what was set aside."""

    annotations: dict[str, Annotation] = field(default_factory=dict)
    names: tuple[str, ...] | None = None  # None: those that occur
    parts: dict[str, str] = field(default_factory=dict)
    oddities: list[Oddity] = field(default_factory=list)
    reading: str = ""


def holds_boxes(root: Path) -> bool:
    """Whether a folder is one of images with boxes: itself, or in its parts."""
    parts = [Path(one.path) for one in plain_folders(str(root)) if part_named(one.name)]
    return any(_layout(folder) for folder in (root, *parts))


def _layout(folder: Path) -> bool:
    """Whether images and annotations lie in this folder."""
    try:
        entries = {entry.name.casefold(): entry for entry in listed(str(folder))}
    except OSError:
        return False
    if not entries.keys().isdisjoint(COCO_FILES):
        return bool(entries.keys() & set(IMAGES)) or any(map(has_suffix, islice(entries, LOOKED_AT)))
    if any(name.endswith(".xml") for name in entries) and any(map(has_suffix, entries)):
        return True
    beside = [entries[name].path for name in ANNOTATIONS if name in entries and entries[name].is_dir()]
    return not entries.keys().isdisjoint(IMAGES) and any(map(_of_annotations, beside))


def _of_annotations(folder: str) -> bool:
    """Whether a folder, or a folder in it, holds annotations and no images."""
    for place in [folder, *(one.path for one in plain_folders(folder))]:
        names = [entry.name.casefold() for entry in islice(listed(place), LOOKED_AT)]
        if any(map(has_suffix, names)):
            return False
        if any(name.endswith((".xml", ".txt", ".json")) for name in names):
            return True
    return False


def open_boxes(root: Path) -> FileSource:
    """A folder of images with annotations as a source. Raises RequestError where no image has any that can be used."""
    try:
        images, files, oddities = _walked(root)
    except OSError as error:
        raise RequestError(f"cannot read the folder {str(root)!r}: {error.strerror or error}") from error
    if not images:
        raise RequestError(f"there are boxes in {str(root)!r}, but no image")
    by_ending: dict[str, list[str]] = defaultdict(list)
    for key in files:
        by_ending[key.rpartition(".")[2].casefold()].append(key)
    if by_ending["xml"]:
        found = _of_voc(root, images, by_ending["xml"])
    elif by_ending["json"]:
        found = _of_coco(root, images, by_ending["json"])
    else:
        found = _of_yolo(root, images, by_ending["txt"])
    return _source(root, images, oddities, found)


def _source(root: Path, images: Sequence[str], oddities: list[Oddity], found: _Found) -> FileSource:
    occurring = {box.name for one in found.annotations.values() for box in one.boxes}
    listed_ones = found.names or tuple(sorted(occurring, key=natural))
    names = tuple(name for name in listed_ones if name in occurring)
    if not names:
        why = found.oddities[0].why if found.oddities else "no image has a box"
        raise RequestError(f"no boxes in {str(root)!r} can be used: {why}")
    index = {name: place for place, name in enumerate(names)}
    items, remarks = list[Item](), defaultdict[str, list[tuple[str, str]]](list)

    def one(key: str) -> tuple[str, Target | Oddity, list[tuple[str, str]]]:
        header = header_of(root / key)
        if header is None:  # told when it is decoded
            return key, (1, 1, ()), []
        try:
            return key, *as_target(found.annotations[key], header, index)
        except UnusableBoxesError as error:
            return key, Oddity(key, BAD, str(error)), []

    with ThreadPoolExecutor() as pool:
        for key, target, told in pool.map(one, [key for key in images if key in found.annotations]):
            if isinstance(target, Oddity):
                found.oddities.append(target)
                continue
            items.append(Item(key, target, found.parts.get(key) or _part(key)))
            for kind, remark in told:
                remarks[kind].append((key, remark))
    if not items:
        raise RequestError(f"no boxes in {str(root)!r} can be used: {found.oddities[0].why}")
    spare = [name for name in listed_ones if name not in occurring]
    left = [f"{len(spare)} classes that are listed have no object, and are left out"] if spare else []
    return FileSource(
        root,
        readable(root.resolve().name),
        str(root.resolve()),
        Detection(names),
        tuple(items),
        (*oddities, *found.oddities),
        reading=(found.reading, *left),
        remarks={kind: tuple(some) for kind, some in remarks.items()},
    )


# Formats


def _of_voc(root: Path, images: Sequence[str], files: Sequence[str]) -> _Found:
    found, read = _Found(), {}
    by_stem = _by_stem(files)
    for key in images:
        if (file := by_stem.pop(_stem(key), None)) is None:
            found.oddities.append(Oddity(key, "no-boxes", "no XML file has its name"))
            continue
        try:
            read[key] = parse_voc(read_file(root / file, TEXT))
        except OSError as error:
            found.oddities.append(Oddity(key, BAD, f"{file}: {error.strerror or error}"))
        except UnusableBoxesError as error:
            found.oddities.append(Oddity(key, BAD, f"{file}: {error}"))
    found.oddities += [Oddity(file, "no-image", "no image has this name") for file in by_stem.values()]
    first = counts_from(list(read.values()))
    found.annotations = {key: from_zero(one, first) for key, one in read.items()}
    found.parts = _voc_parts(root, images)
    found.reading = f"boxes are read from PASCAL VOC's XML files, whose pixels count from {first}"
    return found


def _voc_parts(root: Path, images: Sequence[str]) -> dict[str, str]:
    """The parts of images that ImageSets/Main lists."""
    by_name = {key.rpartition("/")[2].rpartition(".")[0]: key for key in images}
    parts = {}
    for part in ("train", "val", "test"):
        try:
            text = read_file(root / SETS / "Main" / f"{part}.txt", TEXT).decode("utf-8", "replace")
        except OSError:
            continue
        for line in text.splitlines():
            if line.split() and (key := by_name.get(line.split()[0])):
                parts[key] = part
    return parts


def _of_yolo(root: Path, images: Sequence[str], files: Sequence[str]) -> _Found:
    names, told = _yolo_names(root, files)
    found, by_stem = _Found(names=names), _by_stem([key for key in files if key.rpartition("/")[2] not in NAMES_FILES])
    for key in images:
        file = by_stem.pop(_stem(key), None)
        try:
            content = b"" if file is None else read_file(root / file, TEXT)  # without a file: without objects
            found.annotations[key] = parse_yolo(content, names)
        except OSError as error:
            found.oddities.append(Oddity(key, BAD, f"{file}: {error.strerror or error}"))
        except UnusableBoxesError as error:
            found.oddities.append(Oddity(key, BAD, f"{file}: {error}"))
    found.oddities += [Oddity(file, "no-image", "no image has this name") for file in by_stem.values()]
    found.reading = f"boxes are read from YOLO's text files; {told}"
    return found


def _yolo_names(root: Path, files: Sequence[str]) -> tuple[tuple[str, ...] | None, str]:
    """The names of the classes, and where they are from."""
    top = [entry.name for entry in listed(str(root)) if entry.name.endswith((".yaml", ".yml"))]
    beside = [key for key in files if key.rpartition("/")[2] in NAMES_FILES]
    for file in [*(name for name in NAMES_FILES if (root / name).is_file()), *top, *beside]:
        try:
            names = listed_names(read_file(root / file, TEXT).decode("utf-8", "replace"), file)
        except OSError as error:
            raise RequestError(f"cannot read {str(root / file)!r}: {error.strerror or error}") from error
        if names:
            return names, f"their classes are named by {file}"
    return None, f"no {NAMES_FILES[0]} or {NAMES_FILES[3]} names their classes, which are called by their number"


def _of_coco(root: Path, images: Sequence[str], files: Sequence[str]) -> _Found:
    found, keys = _Found(), list[str]()
    for file in sorted(files, key=natural):
        coco = read_coco(root / file)
        keys += [name for name in coco.names if name not in keys]
        _join(found, file, coco, images)
    found.names = tuple(keys)
    found.oddities += [
        Oddity(key, "no-boxes", "no COCO file lists it")
        for key in images
        if key not in found.annotations and not any(one.path == key for one in found.oddities)
    ]
    found.reading = f"boxes are read from {', '.join(sorted(files, key=natural)[:3])}, in the format of COCO"
    return found


def _join(found: _Found, file: str, coco: CocoFile, images: Sequence[str]) -> None:
    """Add the images of one COCO file."""
    folder, _, name = file.rpartition("/")
    part = next((PART_NAMES[word] for word in _words(name) if word in PART_NAMES), "")
    known, by_name = set(images), defaultdict[str, list[str]](list)
    for key in images:
        by_name[key.rpartition("/")[2]].append(key)
    for image, annotation in coco.images.items():
        plain = image.replace("\\", "/").removeprefix("./")
        key = f"{folder}/{plain}".lstrip("/") if f"{folder}/{plain}".lstrip("/") in known else plain
        if key not in known:
            near = by_name[plain.rpartition("/")[2]]
            of_part = [one for one in near if part and _part(one) == part]
            key = (of_part or near or [""])[0] if len(of_part or near) == 1 else ""
        if not key:
            found.oddities.append(Oddity(image, "no-image", f"{file} lists it, but there is no such image"))
        elif isinstance(annotation, UnusableBoxesError):
            found.oddities.append(Oddity(key, BAD, str(annotation)))
        else:
            found.annotations[key] = annotation
            found.parts[key] = part


def _words(name: str) -> list[str]:
    return "".join(letter if letter.isalpha() else " " for letter in name.casefold()).split()


# Files


def _walked(root: Path) -> tuple[list[str], list[str], list[Oddity]]:
    """Keys of images, keys of annotation files, and what was set aside."""
    walk = Walk(root)
    walk.class_folder(str(root), "", "")
    files, oddities = list[str](), list[Oddity]()
    for one in walk.oddities:
        name = one.path.rpartition("/")[2].casefold()
        if one.kind == "other-file" and _annotates(one.path):
            files.append(one.path)
        elif not one.path.startswith(f"{SETS}/") and name not in NAMES_FILES and not name.endswith((".yaml", ".yml")):
            oddities.append(one)
    return [one.key for one in walk.files], files, oddities


def _annotates(key: str) -> bool:
    """Whether a file that is no image is one of annotations, by its place and ending."""
    *folders, name = key.casefold().split("/")
    if name.endswith(".json"):
        return name in COCO_FILES or any(folder in ANNOTATIONS for folder in folders)
    if name.endswith(".txt"):
        return any(folder in ANNOTATIONS for folder in folders)
    return name.endswith(".xml")


def _by_stem(files: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in files:
        if (stem := _stem(key)) in found:
            raise RequestError(f"two files have the boxes of {stem!r}: {found[stem]!r} and {key!r}")
        found[stem] = key
    return found


def _stem(key: str) -> str:
    """A key without its ending and without the folders that only say what the files in them are."""
    *folders, name = key.split("/")
    inner = [folder for folder in folders if folder.casefold() not in (*IMAGES, *ANNOTATIONS)]
    return "/".join([*inner, name.rpartition(".")[0] or name])


def _part(key: str) -> str:
    """The part that a folder of the key names."""
    return next((part for folder in os.path.dirname(key).split("/") if (part := part_named(folder))), "")  # noqa: PTH120
