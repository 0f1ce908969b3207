"""Masks of a COCO file: polygons and run lengths, drawn as classes. A small decoder of its own.

Source: cocodataset.org/#format-data, and cocoapi's maskApi.c for the run lengths.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.base import file_stamp
from striate.decoding.masks import BAD, turned
from striate.errors import RequestError
from striate.pixels import UnreadableImage
from striate.reading import TABLE, read_given
from striate.tasks.pixel_losses import VOID

COCO_FILE = "masks.json"  # beside images/, in place of masks/
LARGEST = 2**28  # pixels of a mask

Values = NDArray[np.uint8]
Inside = NDArray[np.bool_]


@dataclass(frozen=True)
class CocoMasks:
    """Masks drawn from a COCO file. objects: of each image, by its key: (class, crowd, area, segmentation) each.

    Larger objects are drawn first; crowds are void, as their outline is that of a group. What is not drawn is class 0.
    sizes: width and height of each image as the file says it.
    """

    path: Path
    names: tuple[str, ...]
    objects: Mapping[str, Sequence[tuple[int, bool, float, Any]]]
    sizes: Mapping[str, tuple[int, int]]

    @cached_property
    def meaning(self) -> int:
        """Of the names."""
        return zlib.crc32(repr(self.names).encode())

    def read(self, key: str) -> bytes:
        """The image's size and objects as JSON."""
        return json.dumps([self.sizes[key], self.objects[key]]).encode()

    def decode(self, content: bytes, size: tuple[int, int], turn: int) -> Values:
        """The objects drawn, and turned with the image if the file's size is the stored one. Raises UnreadableImage."""
        (width, height), objects = json.loads(content)
        if width * height > LARGEST:
            raise UnreadableImage(BAD, f"the mask has {width} x {height} pixels")
        mask = np.zeros((height, width), np.uint8)
        objects = sorted(objects, key=lambda one: (not one[1], -one[2]))
        for place, crowd, _, segmentation in objects:
            mask[drawn(segmentation, height, width)] = VOID if crowd else place
        return turned(mask, size, turn)

    def stamp(self, key: str) -> str:
        """Of the file."""
        return file_stamp(self.path)


def open_coco_masks(root: Path, images: Sequence[str]) -> tuple[CocoMasks, dict[str, tuple[int, ...]], list[str]]:
    """The masks of `root`/masks.json for these keys of images; which classes each image has; names without an image.

    Images that the file does not list are left out. Raises RequestError for a file that is no COCO file with masks.
    """
    path = root / COCO_FILE
    try:
        content = json.loads(read_given(path, "the masks", TABLE))
        names = {one["id"]: str(one["name"]) for one in content["categories"]}
        files = {
            one["id"]: (str(one["file_name"]), (int(one["width"]), int(one["height"]))) for one in content["images"]
        }
        found: dict[Any, list[tuple[int, bool, float, Any]]] = defaultdict(list)
        used = sorted({one["category_id"] for one in content["annotations"]})
        place = {category: number for number, category in enumerate(used, 1)}
        for one in content["annotations"]:
            crowd, area = bool(one.get("iscrowd")), float(one.get("area") or 0)
            found[one["image_id"]].append((place[one["category_id"]], crowd, area, one["segmentation"]))
        classes = ("background", *(names[category] for category in used))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"{str(path)!r} is no COCO file with masks: {error} is missing or damaged") from error
    by_name = _by_name(images)
    objects, sizes, targets, missing = {}, {}, {}, []
    for image, (file, size) in files.items():
        key = by_name.get(file) or by_name.get(file.rpartition("/")[2])
        if key is None:
            missing.append(file)
            continue
        objects[key], sizes[key] = tuple(found[image]), size
        targets[key] = tuple(sorted({0, *(one[0] for one in found[image] if not one[1])}))
    if not targets:
        raise RequestError(f"none of the images of {str(path)!r} is in {str(root / 'images')!r}, such as {missing[:1]}")
    return CocoMasks(path, classes, objects, sizes), targets, missing


def _by_name(images: Sequence[str]) -> dict[str, str]:
    """Keys by their path below the folder of images, and by their name where no other image has it."""
    paths = {key.partition("/")[2]: key for key in images}
    names: dict[str, list[str]] = defaultdict(list)
    for key in images:
        names[key.rpartition("/")[2]].append(key)
    return {name: keys[0] for name, keys in names.items() if len(keys) == 1} | paths


def drawn(segmentation: Any, height: int, width: int) -> Inside:
    """One object's pixels [height, width]: of polygons [[x, y, x, y, ...], ...], or run lengths {counts, size}.

    Raises UnreadableImage for anything else.
    """
    try:
        if isinstance(segmentation, Mapping):
            counts, size = segmentation["counts"], tuple(segmentation["size"])
            if size != (height, width):
                raise UnreadableImage(
                    BAD, f"the mask has {size[1]} x {size[0]} pixels and its image {width} x {height}"
                )
            return from_runs(run_lengths(counts) if isinstance(counts, str) else counts, height, width)
        inside = np.zeros((height, width), bool)
        for polygon in segmentation:
            inside |= from_polygon(np.asarray(polygon, np.float64).reshape(-1, 2), height, width)
        return inside
    except UnreadableImage:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise UnreadableImage(BAD, f"a segmentation is neither polygons nor run lengths: {error}") from None


def run_lengths(text: str) -> list[int]:
    """COCO's compressed run lengths: five bits a character from "0" on, low ones first; differences from the fourth."""
    counts: list[int] = []
    place = 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[place]) - 48
            value |= (bits & 31) << shift
            place, shift, more = place + 1, shift + 5, bool(bits & 32)
            if not more and bits & 16:
                value |= -1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return counts


def from_runs(counts: Sequence[int], height: int, width: int) -> Inside:
    """Run lengths of outside and inside in turn, down the columns -> [height, width]."""
    lengths = np.asarray(counts, np.int64)
    if (lengths < 0).any() or lengths.sum() != height * width or height * width > LARGEST:
        raise ValueError(f"the runs cover {int(lengths.sum())} of {height * width} pixels")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return np.asarray(flat.reshape(width, height).T)


def from_polygon(points: NDArray[np.float64], height: int, width: int) -> Inside:
    """The pixels [height, width] whose centre is inside a polygon [N, 2] of x and y, by the even-odd rule."""
    if not np.isfinite(points).all():
        raise ValueError("a corner is not finite")
    flips = np.zeros((height, width + 1), np.uint8)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        low, high = sorted((y0, y1))
        rows = np.arange(max(0, int(np.ceil(low - 0.5))), min(height, int(np.ceil(high - 0.5))))
        if len(rows):
            crossed = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            flips[rows, np.clip(np.ceil(crossed - 0.5), 0, width).astype(np.int64)] ^= 1
    return np.asarray(np.bitwise_xor.accumulate(flips, axis=1)[:, :width] == 1)
