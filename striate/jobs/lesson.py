"""Write a teaching page: one HTML file that works without a network."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Literal, get_args

from striate.errors import unknown
from striate.reading import given_path
from striate.storage import write_text

Lesson = Literal["convolution", "optimizers", "scaling", "fields", "normalisation", "paths"]
LESSONS: tuple[Lesson, ...] = get_args(Lesson)


def lesson(name: Lesson, *, out: str | os.PathLike[str] | None = None) -> Path:
    """Write the teaching page `name` to `out` (default: NAME.html here) and return its path.

    The page is one HTML file under 150 kB with one script; it loads nothing, and shows an example without the script.
    Raises RequestError for another name or a path that cannot be a file, and WorkError if it cannot be written.
    """
    if name not in LESSONS:
        raise unknown("lesson", name, LESSONS)
    path = given_path(f"{name}.html" if out is None else out, "--out")
    write_text(path, lesson_page(name))
    return path


def lesson_page(name: Lesson) -> str:
    """The page's HTML."""
    from striate.lessons.pages.parts import rendered

    return rendered(importlib.import_module(f"striate.lessons.pages.{name}").page())
