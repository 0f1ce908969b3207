"""JSON files of labelled images, as annotation tools export them, as the rows of a manifest."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.data.sources.captions import caption_rows, is_json_of_captions
from striate.data.sources.rows import table_text
from striate.errors import RequestError

Rows = list[dict[str, Any]]

# Label Studio serves images under these; uploads also get eight letters before their name.
_SERVED = re.compile(r"^(?:/?data/upload/\d+/|/?data/local-files/\?d=|file://|s3://[^/]+/)")
_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")


def json_rows(path: Path) -> Rows:
    """The rows of a .json file: a list of objects, a COCO file of classes or captions, Karpathy's JSON of
    captions, or an export of Label Studio.

    Raises RequestError for anything else, naming what was expected.
    """
    text = table_text(path, "manifest")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = getattr(error, "msg", None) or "numbers or nesting too large"
        raise RequestError(f"the manifest {str(path)!r} is not JSON: {what}") from error
    if is_json_of_captions(content):
        return caption_rows(path, content)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return _coco(path, content)
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        if all(isinstance(row.get("data"), dict) for row in content):
            return _label_studio(path, content)
        return content
    raise RequestError(
        f"the manifest {str(path)!r} is none of these: a list of objects with path and label, a COCO file (images, "
        "annotations, categories, or captions), Karpathy's JSON of captions, an export of Label Studio"
    )


def _coco(path: Path, content: Mapping[str, Any]) -> Rows:
    """The images of a COCO file with the categories of their annotations; boxes and masks are not read."""
    try:
        names = {one["id"]: str(one["name"]) for one in content.get("categories") or ()}
        found: dict[Any, set[str]] = defaultdict(set)
        for one in content.get("annotations") or ():
            found[one["image_id"]].add(names[one["category_id"]])
        files = {one["id"]: str(one["file_name"]) for one in content["images"]}
    except (KeyError, TypeError) as error:
        raise RequestError(
            f"the manifest {str(path)!r} is a damaged COCO file: {error} is missing or unknown"
        ) from error
    return _rows({file: sorted(found[image]) for image, file in files.items() if image in found}, path)


def _label_studio(path: Path, content: Sequence[Mapping[str, Any]]) -> Rows:
    """The images of Label Studio's tasks with the choices of their first annotation that has any."""
    found: dict[str, list[str]] = {}
    try:
        for task in content:
            image = next((value for value in task["data"].values() if isinstance(value, str)), "")
            if image and (choices := _choices(task)):
                found[_served(image, path.parent)] = choices
    except (AttributeError, TypeError, ValueError, OSError) as error:
        raise RequestError(f"the manifest {str(path)!r} is a damaged export of Label Studio: {error}") from error
    return _rows(found, path)


def _choices(task: Mapping[str, Any]) -> list[str]:
    """The choices of the first annotation that has any."""
    for annotation in task.get("annotations") or task.get("completions") or ():
        found: list[str] = []
        for result in annotation.get("result") or ():
            found += [str(one) for one in (result.get("value") or {}).get("choices") or ()]
        if found:
            return found
    return []


def _served(image: str, folder: Path) -> str:
    """The image's path below the manifest's folder: without the server's prefix, and its letters if that is no file."""
    plain = _SERVED.sub("", image)
    short = str(Path(plain).with_name(_PREFIX.sub("", Path(plain).name)))
    return next((one for one in (image, plain, short) if (folder / one.lstrip("/")).is_file()), plain)


def _rows(found: Mapping[str, Sequence[str]], path: Path) -> Rows:
    """A row an image: with one label each if none has several, else with lists of labels."""
    if not found:
        raise RequestError(f"the manifest {str(path)!r} gives no image a class")
    if all(len(names) == 1 for names in found.values()):
        return [{"path": file, "label": names[0]} for file, names in found.items()]
    return [{"path": file, "labels": list(names)} for file, names in found.items()]
