"""Annotations of a COCO file: boxes [x, y, width, height] in pixels, with the category of each.

Source: cocodataset.org/#format-data. Ids of categories are any numbers: classes are taken in their order.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.sources.box_values import Annotation, Box, UnusableBoxesError, named, number
from striate.errors import RequestError
from striate.reading import TABLE, read_given


@dataclass(frozen=True)
class CocoFile:
    """A COCO file. names: of the categories, by their ids. images: the annotation of each file_name, or why it cannot
    be used."""

    path: Path
    names: tuple[str, ...]
    images: dict[str, Annotation | UnusableBoxesError]


def read_coco(path: Path) -> CocoFile:
    """A COCO file. Raises RequestError for one that is none, or that has no boxes."""
    try:
        content = json.loads(read_given(path, "the COCO file", TABLE))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{str(path)!r} is not JSON: {str(error).splitlines()[0]}") from error
    try:
        categories = {one["id"]: str(one["name"]).strip() for one in content["categories"]}
        objects: dict[Any, list[Any]] = defaultdict(list)
        for one in content["annotations"]:
            objects[one["image_id"]].append(one)
        found: dict[str, Annotation | UnusableBoxesError] = {}
        for image in content["images"]:
            found[str(image["file_name"])] = _annotation(image, objects[image["id"]], categories)
    except (KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"{str(path)!r} is no COCO file of boxes: {error} is missing or unknown") from error
    if not any(isinstance(one, UnusableBoxesError) or one.boxes for one in found.values()):
        raise RequestError(f"{str(path)!r} has no box")
    return CocoFile(path, named([categories[key] for key in sorted(categories)], repr(str(path))), found)


def _annotation(image: Any, objects: list[Any], categories: dict[Any, str]) -> Annotation | UnusableBoxesError:
    try:
        size = image.get("width"), image.get("height")
        given = (int(size[0]), int(size[1])) if all(isinstance(one, int | float) and one > 0 for one in size) else None
        return Annotation(tuple(_box(one, categories) for one in objects), given)
    except UnusableBoxesError as error:
        return error


def _box(one: Any, categories: dict[Any, str]) -> Box:
    key, box = one["category_id"], one.get("bbox")
    if key not in categories:
        raise UnusableBoxesError(f"the category_id {str(key)[:40]} is not among the file's categories")
    if not isinstance(box, list) or len(box) != 4:
        raise UnusableBoxesError(f"the bbox {str(box)[:60]} is not [x, y, width, height]")
    x, y, width, height = (number(value, "a bbox") for value in box)
    area = one.get("area")
    known = float(area) if isinstance(area, int | float) and not isinstance(area, bool) and area > 0 else None
    return Box(categories[key], x, y, x + width, y + height, bool(one.get("iscrowd")), known)
