"""Images with masks: a folder of images beside one of masks, paired by the names of the files without endings."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from striate.data.sources.base import Item, Oddity, file_stamp
from striate.data.sources.coco_masks import COCO_FILE, open_coco_masks
from striate.data.sources.mask_values import CLASSES_FILE, MaskValues, Values, found_classes, listed_classes
from striate.data.sources.names import readable
from striate.data.sources.parts import part_named
from striate.data.sources.walk import Walk
from striate.decoding.masks import orientation, stored_mask, turned
from striate.errors import RequestError
from striate.pixels import Decoded, UnreadableImage, decode, peek
from striate.reading import IMAGE, read_file
from striate.tasks import Segmentation, Task
from striate.tasks.pixel_losses import VOID

IMAGES = ("images", "image", "imgs", "img", "jpegimages", "photos")
MASKS = ("masks", "mask", "segmentationclass", "segmentations")
ENDINGS = ("_mask", "-mask", "_seg", "_label", "_labels")  # that a mask's name may have beside its image's
_HEAD = struct.Struct("<QL")  # of an item's bytes: the image's length, and a checksum of what values mean


class Masks(Protocol):
    """Where masks come from."""

    @property
    def meaning(self) -> int:
        """A checksum of which class each value is: other classes make other items."""
        ...

    def read(self, key: str) -> bytes:
        """What describes the mask of an image, by the image's key. Raises OSError."""
        ...

    def decode(self, content: bytes, size: tuple[int, int], turn: int) -> Values:
        """The upright mask as class indices [H, W]; size, turn: of the image, as stored. Raises UnreadableImage."""
        ...

    def stamp(self, key: str) -> str:
        """Its state, as of `Source.stamp`."""
        ...


@dataclass(frozen=True)
class MaskFiles:
    """Masks in files. paths: the mask's file below `root`, by the image's key."""

    root: Path
    paths: Mapping[str, str]
    values: MaskValues

    @cached_property
    def meaning(self) -> int:
        """Of the values."""
        return zlib.crc32(repr(self.values).encode())

    def read(self, key: str) -> bytes:
        """The file's bytes."""
        return read_file(self.root / self.paths[key], IMAGE)

    def decode(self, content: bytes, size: tuple[int, int], turn: int) -> Values:
        """The values as class indices."""
        return turned(self.values.classes(stored_mask(content)), size, turn)

    def stamp(self, key: str) -> str:
        """Of the file."""
        return file_stamp(self.root / self.paths[key])


@dataclass(frozen=True)
class MaskSource:
    """Image files below `root`, each with a mask. reading: lines on how the data were read, to be told first.

    The bytes of an item are those of its image and of its mask: a changed mask is a changed item.
    """

    root: Path
    name: str
    identity: str
    task: Task
    items: tuple[Item, ...]
    oddities: tuple[Oddity, ...]
    masks: Masks
    reading: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def read(self, item: Item) -> bytes:
        """The image's bytes and what describes the mask. Raises OSError."""
        image = read_file(self.root / item.key, IMAGE)
        return _HEAD.pack(len(image), self.masks.meaning) + image + self.masks.read(item.key)

    def stamp(self, item: Item) -> str:
        """Size and times of both; "" if that is uncertain."""
        both = [file_stamp(self.root / item.key), self.masks.stamp(item.key)]
        return " ".join((*both, str(self.masks.meaning))) if all(both) else ""

    def decode(self, content: bytes, at_least: int) -> Decoded:
        """The upright image and its mask. Raises UnreadableImage, also for a mask that does not fit the image."""
        start, length = _HEAD.size, _HEAD.unpack_from(content)[0]
        image, mask = content[start : start + length], content[start + length :]
        found = decode(image, at_least=at_least)
        turn = orientation(image) if "exif-rotated" in found.notes else 1
        classes = self.masks.decode(mask, found.size, turn)
        return dataclasses.replace(found, mask=Image.fromarray(classes))

    def peek(self, item: Item) -> tuple[int, int, int] | None:
        """The image file's header."""
        path = self.root / item.key
        return peek(path) if path.is_file() else None


def holds_masks(names: Sequence[str]) -> bool:
    """Whether a folder with these entries is one of images and masks."""
    lower = {name.casefold() for name in names}
    return not lower.isdisjoint(IMAGES) and not lower.isdisjoint((*MASKS, COCO_FILE))


def open_masks(root: Path) -> MaskSource:
    """A folder with `images/` and `masks/` as a source; either may have folders of parts, such as `train/`.

    Raises RequestError where no image has a mask, and for masks of colours without a classes.txt that lists them.
    """
    try:
        images, masks, oddities = _walked(root)
    except OSError as error:
        raise RequestError(f"cannot read the folder {str(root)!r}: {error.strerror or error}") from error
    if (root / COCO_FILE).is_file():
        return _of_coco(root, images, oddities)
    pairs, without, unused = _paired(images, masks)
    oddities += [Oddity(key, "no-mask", f"no mask is named {stem!r}") for stem, key in without]
    oddities += [Oddity(key, "no-image", "no image has this name") for key in unused]
    if not pairs:
        first = f": {without[0][1]!r} would need a mask {without[0][0]!r} of any ending" if without else ""
        raise RequestError(f"no image in {str(root)!r} has a mask of its name{first}")
    listed = listed_classes(root)
    scanned = list(_scanned(root, pairs, listed))
    usable = [one for one in scanned if isinstance(one, _Scanned)]
    oddities += [one for one in scanned if isinstance(one, Oddity)]
    if not usable:
        raise RequestError(f"no mask in {str(root)!r} can be used: {oddities[-1].path}: {oddities[-1].why}")
    values = listed or found_classes([one.values for one in usable])
    items = []
    for one in usable:
        places = (
            {values.index[value] for value in one.values if value in values.index} if not one.places else one.places
        )
        items.append(Item(one.key, tuple(sorted(places - {VOID})), _part(one.key)))
    paths = dict(pairs)
    return MaskSource(
        root,
        readable(root.resolve().name),
        str(root.resolve()),
        Segmentation(values.names),
        tuple(items),
        tuple(oddities),
        MaskFiles(root, paths, values),
        reading=(values.reading,) if values.reading else (),
    )


def _of_coco(root: Path, images: Sequence[str], oddities: Sequence[Oddity]) -> MaskSource:
    """The images that the COCO file beside them lists."""
    masks, targets, missing = open_coco_masks(root, images)
    aside = [Oddity(key, "no-mask", f"{COCO_FILE} does not list it") for key in images if key not in targets]
    aside += [Oddity(name, "no-image", f"{COCO_FILE} lists it, but there is no such image") for name in missing]
    items = tuple(Item(key, target, _part(key)) for key, target in targets.items())
    name, identity = readable(root.resolve().name), str(root.resolve())
    said = f"masks are drawn from the polygons and run lengths of {COCO_FILE}; what no object covers is background"
    task = Segmentation(masks.names)
    return MaskSource(root, name, identity, task, items, (*oddities, *aside), masks, reading=(said,))


@dataclass(frozen=True)
class _Scanned:
    """A mask's values; of one of colours its classes."""

    key: str
    values: frozenset[int]
    places: frozenset[int] = frozenset()


def _scanned(root: Path, pairs: Sequence[tuple[str, str]], listed: MaskValues | None) -> Iterator[_Scanned | Oddity]:
    """The values of each mask. Raises RequestError for colours that no classes.txt lists."""

    def one(pair: tuple[str, str]) -> _Scanned | Oddity | RequestError:
        key, path = pair
        try:
            stored = stored_mask(read_file(root / path, IMAGE))
            if stored.ndim == 3 and (listed is None or not listed.colours):
                shown = " ".join(map(str, stored.reshape(-1, 3)[(np.ptp(stored.reshape(-1, 3), axis=1) > 0).argmax()]))
                return RequestError(
                    f"the mask {path!r} is of colours, such as {shown}, and not of class indices: list the colours in "
                    f"{str(root / CLASSES_FILE)!r}, a line 'RED GREEN BLUE NAME' each"
                )
            if listed is not None:
                return _Scanned(key, frozenset(), frozenset(np.unique(listed.classes(stored)).tolist()))
            return _Scanned(key, frozenset(np.unique(stored).tolist()))
        except UnreadableImage as error:
            return Oddity(key, error.kind, str(error))
        except OSError as error:
            return Oddity(path, "unreadable", error.strerror or str(error))

    with ThreadPoolExecutor() as pool:
        for found in pool.map(one, pairs):
            if isinstance(found, RequestError):
                raise found
            yield found


def _walked(root: Path) -> tuple[list[str], list[str], list[Oddity]]:
    """Keys of images, keys of masks, and what was set aside, of `images/` and `masks/` or of those within parts."""
    walk, images, masks = Walk(root), list[str](), list[str]()
    for entry, key in walk.entries(str(root), ""):
        if entry.name in (CLASSES_FILE, COCO_FILE):
            continue
        inner = [key] if not part_named(entry.name) or not entry.is_dir() else [
            f"{key}/{one.name}" for one, _ in walk.entries(entry.path, f"{key}/")
        ]  # fmt: skip
        for folder in inner:
            name = folder.rpartition("/")[2].casefold()
            if name not in (*IMAGES, *MASKS) or not (root / folder).is_dir():
                walk.aside(folder, "other-file", "is next to images/ and masks/")
                continue
            before = len(walk.files)
            walk.class_folder(str(root / folder), f"{folder}/", "")
            (images if name in IMAGES else masks).extend(file.key for file in walk.files[before:])
    return images, masks, walk.oddities


def _paired(
    images: Sequence[str], masks: Sequence[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[str]]:
    """(image, mask) keys; (stem, key) of images without a mask; masks without an image. Raises RequestError for two
    masks of one name."""
    by_stem: dict[str, str] = {}
    for key in masks:
        stem = _stem(key)
        stem = next((stem.removesuffix(end) for end in ENDINGS if stem.endswith(end)), stem)
        if stem in by_stem:
            raise RequestError(f"two masks are named {stem!r}: {by_stem[stem]!r} and {key!r}")
        by_stem[stem] = key
    pairs, without, used = [], [], set()
    for key in images:
        stem = _stem(key)
        if stem in by_stem:
            pairs.append((key, by_stem[stem]))
            used.add(stem)
        else:
            without.append((stem, key))
    return pairs, without, [key for stem, key in by_stem.items() if stem not in used]


def _stem(key: str) -> str:
    """A key without its folder `images` or `masks`, and without its ending."""
    parts = key.split("/")
    place = next(number for number, part in enumerate(parts) if part.casefold() in (*IMAGES, *MASKS))
    inner = "/".join([*parts[:place], *parts[place + 1 :]])
    folder, _, name = inner.rpartition("/")
    return f"{folder}/{name.rpartition('.')[0] or name}" if folder else name.rpartition(".")[0] or name


def _part(key: str) -> str:
    """The part that a folder of the key names: `train/images/a.jpg`, `images/train/a.jpg`."""
    return next((part for folder in key.split("/")[:-1] if (part := part_named(folder))), "")
