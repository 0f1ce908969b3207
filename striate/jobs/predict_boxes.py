"""Predict boxes: the objects in image files, in pixels of the upright images, and pictures with them drawn."""

from __future__ import annotations

import csv as tables
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from striate.errors import RequestError
from striate.inference.image_predictor import decoded_file
from striate.inference.predictor import Predictor
from striate.jobs.load import load_calibrated
from striate.jobs.outputs import require_outside, same_file, write_png
from striate.jobs.predict import FEW, image_files
from striate.jobs.predict_masks import FULL, free_name, require_empty
from striate.jobs.usable import usable
from striate.pixels import Images
from striate.progress import Progress
from striate.storage import write_text
from striate.tasks.box_pictures import Drawn, draw_boxes
from striate.tasks.detection_evaluation import SHOWN_SCORE
from striate.tasks.found_objects import FoundObject, found_objects
from striate.tasks.values import DENSE

COLUMNS = ("path", "label", "score", "x1", "y1", "x2", "y2", "error")
HELD = 64_000_000  # pixels of pictures that wait to be drawn into


@dataclass(frozen=True)
class PredictedBoxes:
    """The objects of one image, the best first. size: width and height of the upright image. picture: if asked for."""

    source: str
    size: tuple[int, int]
    objects: tuple[FoundObject, ...]
    picture: Path | None = None


@dataclass(frozen=True, eq=False)
class _Read:
    """A file that was read: the network's input, the size of the upright image, and the image to draw into."""

    path: str
    crop: Images
    size: tuple[int, int]
    image: Image.Image | None


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
    given = image_files(files)
    many = len(given.paths) > FEW
    predictor = load_calibrated(model, engine=engine, precision="auto", calibrate=None, progress=progress, many=many)
    if not isinstance(predictor, Predictor) or not predictor.task.boxes:
        raise RequestError(f"the task of this model is {predictor.task.kind!r}: it predicts no boxes")
    folder = require_empty(out, "pictures") if out is not None else None
    if csv is not None:
        if any(same_file(Path(csv), Path(path)) for path in (*given.paths, model)):
            raise RequestError(f"{str(csv)!r} is an input, and is not overwritten; name another file")
        require_outside(Path(csv), [Path(model)])
    failed, images, taken = list(given.failed), [], set[str]()

    def read(path: str) -> _Read:
        found = decoded_file(Path(path), FULL if folder else predictor.view.at_least)
        crop = predictor.view.apply(found.image)
        return _Read(path, crop, found.upright_size, found.image if folder else None)

    with progress.bar("Predicting", len(given.paths)) as bar:
        for batch in _batches(usable(given.paths, read, failed, bar)):
            rows = predictor.predictions(np.stack([one.crop for one in batch]))
            for one, row in zip(batch, rows, strict=True):
                objects, to = found_objects(row, one.size, predictor.classes, score), None
                if folder and one.image is not None:
                    to = folder / f"{free_name(Path(one.path).stem, taken)}.png"
                    write_png(to, drawn(one.image, one.size, objects))
                images.append(PredictedBoxes(one.path, one.size, objects, to))
    if csv is not None:
        write_text(Path(csv), boxes_csv(images, failed))
    return BoxPredictions(images, failed, predictor)


def _batches(found: Iterable[_Read]) -> Iterator[list[_Read]]:
    """Images to predict together: fewer where pictures to draw into are held back."""
    batch, held = list[_Read](), 0
    for one in found:
        batch.append(one)
        held += one.image.width * one.image.height if one.image else 0
        if len(batch) == DENSE or held > HELD:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def drawn(image: Image.Image, size: tuple[int, int], objects: Sequence[FoundObject]) -> Images:
    """An upright image with its objects, whose boxes are in an image of `size`: uint8 [H, W, 3]."""
    scale = image.width / size[0]
    boxes = []
    for one in objects:
        x1, y1, x2, y2 = (value * scale for value in one.box)
        boxes.append(Drawn((x1, y1, x2, y2), one.place, f"{one.label} {one.score:.2f}"))
    return draw_boxes(np.asarray(image, np.uint8), boxes)


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
