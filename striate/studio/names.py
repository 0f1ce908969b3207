"""Names and paths that come from a browser: checked, made anew, and never joined to a path as they came."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from pathlib import Path

from striate.data.sources.base import JUNK, PARTS
from striate.errors import RequestError, shown

LONGEST = 200  # bytes of a class's name in UTF-8
_FORBIDDEN = re.compile(r'[/\\%:*?"<>|\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]')


def class_name(given: str) -> str:
    """The name of a class, which becomes a folder's. Raises RequestError for one that is no plain name everywhere."""
    name = unicodedata.normalize("NFC", given)
    plain = (
        not _FORBIDDEN.search(name) and name == name.strip() and not name.startswith((".", "~")) and name[-1:] != "."
    )
    try:
        fits = 0 < len(name.encode()) <= LONGEST
    except UnicodeEncodeError:
        fits = False
    if not (plain and fits) or name.lower() in JUNK:
        raise RequestError(
            f"{shown(given, 60)} is no name for a class: letters, digits, spaces and marks other than "
            '/ \\ % : * ? " < > |, not beginning with . or ~'
        )
    return name


def part_name(given: str) -> str:
    """train, val or test, or "" for none. Raises RequestError."""
    if given and given not in PARTS:
        raise RequestError(f"{shown(given, 60)} is no part of the data; there are {', '.join(PARTS)}")
    return given


def folder_name(given: str, taken: Container[str]) -> str:
    """A name for a new folder, made from what a person wrote: letters, digits and - _ . of it; with a number if taken.

    Raises RequestError for a text without a letter or digit.
    """
    kept = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", given)[:60]).strip("-._")
    if not kept:
        raise RequestError(f"{shown(given, 60)} is no name: it needs a letter or a digit")
    name, number = kept, 1
    while name in taken:
        number += 1
        name = f"{kept}-{number}"
    return name


def file_stem(given: str) -> str:
    """What is kept of the name of an uploaded file: plain letters and digits, so that a person finds it again."""
    stem = re.split(r"[/\\]", given)[-1].rpartition(".")[0] or given
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[:40].strip("-") or "image"


def below(root: Path, given: str) -> Path:
    """The folder of a path relative to `root`, after all links. Raises RequestError if it is not there or not below."""
    try:
        plain = not Path(given).is_absolute() and ".." not in Path(given).parts
        found = (root / given).resolve(strict=True)
        inside = plain and found.is_relative_to(root.resolve()) and found.is_dir()
    except (OSError, ValueError, RuntimeError):  # not there, a NUL, links in a circle
        inside = False
    if not inside:
        raise RequestError(f"{shown(given, 100)} is no folder below the root that this studio was started with")
    return found
