"""Read: lines of digits, by a classifier slid over them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.errors import RequestError, StriateError
from striate.inference.image_predictor import decoded_file
from striate.jobs.outputs import require_file, same_file, write_png
from striate.lines.decoding import Character
from striate.lines.figure import reading_figure, stacked
from striate.lines.reading import ReadCharacter, probability_of, read_characters, text_of, told
from striate.lines.sliding import LineReader, LineScores
from striate.pixels import Images
from striate.progress import Progress
from striate.reading import TABLE, given_path, read_given
from striate.weights.models import open_model

DRAWN = 12  # lines in a figure


@dataclass(frozen=True)
class Reading:
    """What one picture says. expected: what it should say, None if that was not given."""

    path: str
    text: str
    characters: tuple[ReadCharacter, ...]
    expected: str | None = None

    @property
    def probability(self) -> float:
        """The product of the characters' probabilities; 1 without any."""
        return probability_of(self.characters)


@dataclass(frozen=True)
class Readings:
    """All pictures, in order. failed: (path, why) of those that could not be read."""

    readings: tuple[Reading, ...]
    failed: tuple[tuple[str, str], ...]

    @property
    def exact(self) -> tuple[int, int]:
        """How many lines were read exactly as expected, of how many with an expected text; one that could not be read
        is not exact."""
        known = [one for one in self.readings if one.expected is not None]
        return sum(one.text == one.expected for one in known), len(known) + (len(self.failed) if known else 0)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [
            {
                "file": one.path,
                **told(one.characters),
                **({} if one.expected is None else {"expected": one.expected}),
            }
            for one in self.readings
        ]
        facts: dict[str, Any] = {"readings": rows, "failed": [{"file": path, "why": why} for path, why in self.failed]}
        right, of = self.exact
        return facts | ({"exact_lines": right, "lines": of} if of else {})


def read(
    model: str | os.PathLike[str],
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    expected: str | os.PathLike[str] | None = None,
    figure: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Readings:
    """Read pictures of one line of digits each, by a classifier of windows slid over the line.

    The classifier's fully connected layers become convolutions (`striate.fully_convolutional`), so that the whole line
    is one pass of the network; its scores, one for every 2 pixels, are decoded by the path of least cost
    (`striate.lines.decoding`). `striate.compose` makes the images to train such a model on. Dark digits on bright paper
    and bright ones on dark are read; the picture must hold one line, without a frame around it.

    expected: a table (.csv) with the columns path and text, of what the pictures say; without `images` they are read
    from it. figure: a PNG file to write: the first 12 lines with the scores at each place.
    Raises RequestError for a model that cannot be slid over lines, and if no picture could be read.
    """
    progress = progress or Progress()
    given = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    texts = {} if expected is None else _table(given_path(expected, "the table"))
    paths = [os.fspath(given_path(one, "the picture")) for one in given] or list(texts)
    texts = {_same(path): text for path, text in texts.items()}
    if not paths:
        raise RequestError("no pictures were given; name image files, or a table of them (--expected)")
    drawing = None if figure is None else given_path(figure, "the figure")
    if drawing:
        require_file(drawing)
        if any(same_file(drawing, Path(one)) for one in (*paths, model)):
            raise RequestError(f"{str(drawing)!r} is an input, and is not overwritten; name another file")
    reader = LineReader(open_model(model))
    readings: list[Reading] = []
    failed: list[tuple[str, str]] = []
    figures: list[Images] = []
    with progress.bar("Reading the lines", len(paths)) as bar:
        for path in paths:
            try:
                grey = np.asarray(decoded_file(Path(path), 0).image.convert("L"))
                characters, scores = reader.read(grey)
            except StriateError as error:
                failed.append((path, str(error)))
                continue
            finally:
                bar.advance()
            readings.append(_reading(path, characters, scores, reader.classes, texts.get(_same(path))))
            if drawing and len(figures) < DRAWN:
                figures.append(reading_figure(scores, characters, reader.classes))
    if not readings:
        raise RequestError(f"{failed[0][0]!r} cannot be read: {failed[0][1]}")
    if drawing:
        write_png(drawing, stacked(figures))
    return Readings(tuple(readings), tuple(failed))


def _reading(
    path: str, characters: Sequence[Character], scores: LineScores, classes: Sequence[str], expected: str | None
) -> Reading:
    found = read_characters(characters, scores, classes)
    return Reading(path, text_of(found), found, expected)


def _same(path: str) -> str:
    """One name for a file, however it was given."""
    return os.path.abspath(path)  # noqa: PTH100  (links are kept)


def _table(path: Path) -> dict[str, str]:
    """The texts of a table by the paths of their pictures, which are relative to its folder. Raises RequestError."""
    try:
        lines = read_given(path, "the table", TABLE).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(lines), strict=True))
        return {str(path.parent / row["path"]): row["text"].strip() for row in rows}
    except (ValueError, KeyError, AttributeError, TypeError, csv.Error) as error:
        raise RequestError(
            f"{str(path)!r} is no table of lines: it needs the columns path and text ({error})"
        ) from error
