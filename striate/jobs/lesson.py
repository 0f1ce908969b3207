"""Write a teaching page: one HTML file that works without a network."""

from __future__ import annotations

import csv
import importlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from striate.errors import RequestError, unknown
from striate.reading import TEXT, given_path, read_given
from striate.storage import write_text

Lesson = Literal["convolution", "optimizers", "scaling", "fields", "normalisation", "dropout", "paths"]
LESSONS: tuple[Lesson, ...] = get_args(Lesson)


def lesson(
    name: Lesson, *, out: str | os.PathLike[str] | None = None, lesions: Mapping[str, float] | None = None
) -> Path:
    """Write the teaching page `name` to `out` (default: NAME.html here) and return its path.

    The page is one HTML file under 150 kB with one script; it loads nothing, and shows an example without the script.
    lesions, of `paths`: the accuracy (0 to 1) of a network without each block, and of the whole network as "none"; the
    page draws them. Raises RequestError for another name, lesions that are none or of another page, or a path that
    cannot be a file, and WorkError if it cannot be written.
    """
    path = given_path(f"{name}.html" if out is None else out, "--out")
    write_text(path, lesson_page(name, lesions))
    return path


def lesson_page(name: Lesson, lesions: Mapping[str, float] | None = None) -> str:
    """The page's HTML. Raises RequestError as `lesson` does."""
    if name not in LESSONS:
        raise unknown("lesson", name, LESSONS)
    if lesions is not None:
        _check(name, lesions)
    from striate.lessons.pages.parts import rendered

    module = importlib.import_module(f"striate.lessons.pages.{name}")
    return rendered(module.page() if lesions is None else module.page(lesions))


def _check(name: Lesson, lesions: Mapping[str, float]) -> None:
    if name != "paths":
        raise RequestError(f"lesions are drawn by the lesson 'paths', not by {name!r}")
    if "none" not in lesions or len(lesions) < 2:
        raise RequestError("lesions need the accuracy of the whole network, as 'none', and without at least one block")
    wrong = next((block for block, value in lesions.items() if not 0 <= value <= 1), None)
    if wrong is not None:
        raise RequestError(f"the accuracy without {wrong!r} must be 0 to 1, not {lesions[wrong]}")


def read_lesions(path: str | os.PathLike[str]) -> dict[str, float]:
    """Accuracies from a CSV file with the columns block and accuracy. Raises RequestError for any other file."""
    place = given_path(path, "--lesions")
    content = read_given(place, "accuracies", TEXT).decode("utf-8", "replace")
    rows = csv.DictReader(io.StringIO(content))
    if not {"block", "accuracy"} <= set(rows.fieldnames or ()):
        raise RequestError(f"{str(place)!r} must be a CSV file with the columns block and accuracy")
    found: dict[str, float] = {}
    for number, row in enumerate(rows, 2):
        try:
            found[str(row["block"])] = float(row["accuracy"])
        except (TypeError, ValueError):
            raise RequestError(f"line {number} of {str(place)!r}: {row['accuracy']!r} is no accuracy") from None
    return found
