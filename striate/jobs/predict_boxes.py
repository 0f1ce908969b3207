"""Predict boxes: the objects in image files, in pixels of the upright images, and pictures with them drawn."""

from __future__ import annotations

import csv as tables
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.threads import in_order
from striate.decoding.decode import Decoded
from striate.errors import RequestError, StriateError
from striate.inference.image_predictor import decoded_file
from striate.inference.predictor import Predictor
from striate.jobs.load import load
from striate.jobs.outputs import require_outside, same_file, write_png
from striate.jobs.predict import image_files
from striate.jobs.predict_masks import FULL, free_name, require_empty, upright_size
from striate.progress import Progress
from striate.storage import write_text
from striate.tasks.box_pictures import Drawn, draw_boxes
from striate.tasks.detection_arrays import FOUND_BOX, FOUND_CLASS, SCORE, shown
from striate.tasks.detection_evaluation import SHOWN_SCORE

COLUMNS = ("path", "label", "score", "x1", "y1", "x2", "y2", "error")


@dataclass(frozen=True)
class FoundObject:
    """An object: its class by name and index, its score from 0 to 1, its box x1, y1, x2, y2 in pixels."""

    label: str
    place: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class PredictedBoxes:
    """The objects of one image, the best first. size: width and height of the upright image. picture: if asked for."""

    source: str
    size: tuple[int, int]
    objects: tuple[FoundObject, ...]
    picture: Path | None = None


@dataclass(frozen=True)
class BoxPredictions:
    """The images in the order of the files. failed: (path, why) of files that could not be used."""

    images: list[PredictedBoxes]
    failed: list[tuple[str, str]]
    predictor: Predictor


def predict_boxes(
    model: str | os.PathLike[str],
    files: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    csv: str | os.PathLike[str] | None = None,
    score: float = SHOWN_SCORE,
    engine: str = "auto",
    progress: Progress | None = None,
) -> BoxPredictions:
    """Find the objects in image files, folders standing for the images in them, with a score of at least `score`.

    out: a new or empty folder, for a picture of each image with its boxes drawn. csv: a table to write, a row for each
    object, and one without a label for an image without objects. Raises RequestError for a model that predicts none.
    """
    progress = progress or Progress()
    if not 0 <= score <= 1:
        raise RequestError(f"--score is from 0 to 1, not {score:g}")
    predictor = load(model, engine=engine)
    if not isinstance(predictor, Predictor) or not predictor.task.boxes:
        raise RequestError(f"the task of this model is {predictor.task.kind!r}: it predicts no boxes")
    folder = require_empty(out, "pictures") if out is not None else None
    given = image_files(files)
    if csv is not None:
        if any(same_file(Path(csv), Path(path)) for path in (*given.paths, model)):
            raise RequestError(f"{str(csv)!r} is an input, and is not overwritten; name another file")
        require_outside(Path(csv), [Path(model)])
    failed, images, taken = list(given.failed), [], set[str]()

    def decoded(path: str) -> tuple[str, Decoded | StriateError]:
        try:
            return path, decoded_file(Path(path), FULL if folder else predictor.view.at_least)
        except StriateError as error:
            return path, error

    with progress.bar("Predicting", len(given.paths)) as bar:
        for path, found in in_order(decoded, given.paths):
            bar.advance()
            if isinstance(found, StriateError):
                failed.append((path, str(found)))
                continue
            objects = found_objects(predictor, found, score)
            to = folder / f"{free_name(Path(path).stem, taken)}.png" if folder else None
            if to is not None:
                write_png(to, drawn(found, objects))
            images.append(PredictedBoxes(path, upright_size(found), objects, to))
    if csv is not None:
        write_text(Path(csv), boxes_csv(images, failed))
    return BoxPredictions(images, failed, predictor)


def found_objects(predictor: Predictor, decoded: Decoded, score: float = SHOWN_SCORE) -> tuple[FoundObject, ...]:
    """The objects in a decoded image, in pixels of the upright image. Raises RequestError for outputs that are NaN."""
    rows = predictor.predictions(predictor.view.apply(decoded.image)[None])[0]
    across = np.tile(np.array(upright_size(decoded), np.float64), 2)
    found = []
    for row in shown(rows, score):
        x1, y1, x2, y2 = (row[FOUND_BOX] * across).tolist()
        place = int(row[FOUND_CLASS])
        found.append(FoundObject(predictor.classes[place], place, float(row[SCORE]), (x1, y1, x2, y2)))
    return tuple(found)


def drawn(decoded: Decoded, objects: Sequence[FoundObject]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The decoded image with its objects: uint8 [H, W, 3]."""
    image = np.asarray(decoded.image, np.uint8)
    scale = image.shape[1] / upright_size(decoded)[0]
    boxes = []
    for one in objects:
        x1, y1, x2, y2 = (value * scale for value in one.box)
        boxes.append(Drawn((x1, y1, x2, y2), one.place, f"{one.label} {one.score:.2f}"))
    return draw_boxes(image, boxes)


def boxes_csv(images: Sequence[PredictedBoxes], failed: Sequence[tuple[str, str]]) -> str:
    """A table: a row for each object; of an image without objects, and of a file that could not be used, one row."""
    text = io.StringIO(newline="")
    writer = tables.writer(text)
    writer.writerow(COLUMNS)
    for image in images:
        for one in image.objects:
            writer.writerow([image.source, one.label, f"{one.score:.4f}", *(f"{value:.1f}" for value in one.box), ""])
        if not image.objects:
            writer.writerow([image.source, *[""] * (len(COLUMNS) - 1)])
    writer.writerows([path, *[""] * (len(COLUMNS) - 2), why] for path, why in failed)
    return text.getvalue()
