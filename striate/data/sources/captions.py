"""Images with captions: rows of a manifest, several for each image, and the JSON files of captioning data sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.data.sources.parts import part_named
from striate.errors import RequestError
from striate.tasks import Captioning
from striate.tasks.words import vocabulary, words_of

FILES = ("captions.txt", "captions.csv", "captions.tsv", "captions.jsonl", "captions.json")  # in a folder of images
FOLDER = "images"  # beside the manifest, in which its paths may be
_RESTVAL = "restval"  # Karpathy's word for images of COCO's validation part that are trained on


def captions_file(names: Iterable[str]) -> str | None:
    """The file of captions among a folder's entries."""
    lower = {name.casefold(): name for name in names}
    return next((lower[name] for name in FILES if name in lower), None)


def is_json_of_captions(content: Any) -> bool:
    """Whether it is Karpathy's JSON (images with sentences), or COCO's (annotations with captions)."""
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        return False
    notes, images = content.get("annotations"), content["images"]
    coco = isinstance(notes, list) and bool(notes) and isinstance(notes[0], dict) and "caption" in notes[0]
    return coco or (bool(images) and isinstance(images[0], dict) and "sentences" in images[0])


def caption_rows(path: Path, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of path, caption (a list) and split of such a JSON file. Raises RequestError for a damaged one."""
    try:
        if "sentences" in content["images"][0]:
            return [_karpathy(one) for one in content["images"]]
        said: dict[Any, list[str]] = defaultdict(list)
        for one in content["annotations"]:
            said[one["image_id"]].append(str(one["caption"]))
        described = (one for one in content["images"] if one["id"] in said)
        return [{"path": one["file_name"], "caption": said[one["id"]]} for one in described]
    except (KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"the captions {str(path)!r} are damaged: {error} is missing or wrong") from error


def _karpathy(one: Mapping[str, Any]) -> dict[str, Any]:
    """An image of Karpathy's JSON, whose `filepath` is a folder, if it is there."""
    folder, split = str(one.get("filepath") or ""), str(one.get("split") or "")
    said = [str(each["raw"]) if "raw" in each else " ".join(map(str, each["tokens"])) for each in one["sentences"]]
    name = str(one["filename"])
    return {
        "path": f"{folder}/{name}" if folder else name,
        "caption": said,
        "split": "train" if split == _RESTVAL else part_named(split) or split,
    }


def said_captions(value: Any) -> tuple[str, ...]:
    """The captions of a row: text, or a list of texts, without blanks around them.

    Raises ValueError, with the reason, where there is none, or one has no words.
    """
    listed = value if isinstance(value, list) else [value]
    captions = tuple(str(one).strip() for one in listed if one is not None)
    if not captions or not all(captions):
        raise ValueError("no caption")
    for one in captions:
        if not words_of(one):
            raise ValueError(f"the caption {one[:60]!r} has no words")
    return captions


def captioning(captions: Iterable[Sequence[str]]) -> Captioning:
    """The task, with the vocabulary of all captions; training takes that of the training captions."""
    return Captioning(vocabulary((one for several in captions for one in several), min_count=1))
