"""The arrays of detection: targets, a detector's outputs, and detections; and the way from outputs to detections.

Boxes are (x1, y1, x2, y2) as shares of the image's sides, from 0 to 1, so that they hold at every size of the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.tasks.boxes import nms
from striate.tasks.coco_metrics import Scene
from striate.tasks.values import Target, sigmoid

Array = NDArray[np.float32]

# Columns of targets [N, rows, 9]. A row without an object has the class -1; each image has at least one row, so that
# the size of the upright image in pixels is known for an image without objects, too.
CLASS, BOX, CROWD, AREA, SIZE = 0, slice(1, 5), 5, 6, slice(7, 9)
COLUMNS = 9

# Columns of a detector's outputs [N, rows, 9 + classes]: what the row refers to, the box that it predicts, the logit of
# its quality, and the logits of the classes. The score of a class is the root of the product of both probabilities.
#
# A one-stage detector has a row for each place: it refers to the place and its level's stride, as shares of the sides,
# and its quality is its centre-ness. A two-stage detector has, first, a row for each region and class, whose other
# logits are NOTHING: it refers to the region, a box, and its quality is that it is an object; then a row for each
# anchor, which refers to the anchor, predicts a region of that quality, and has NOTHING for each class: no detection.
CENTRE, STRIDE, REFERENCE, PREDICTED, QUALITY, LOGITS = slice(0, 2), slice(2, 4), slice(0, 4), slice(4, 8), 8, 9
NOTHING = -50.0

# Columns of detections [N, MOST, 6]: class, score, box; beyond the last detection the class is -1 and the score 0.
FOUND_CLASS, SCORE, FOUND_BOX = 0, 1, slice(2, 6)
MOST = 100  # detections of an image

LEAST_SCORE = 0.05  # FCOS, as its code has them
OVERLAP = 0.6
CANDIDATES = 400  # before suppression; FCOS: 1,000 a level


def as_rows(target: Target) -> list[list[float]]:
    """The rows of one image's target: (width, height, ((class, x1, y1, x2, y2, crowd, area), ...)), boxes in pixels."""
    width, height, objects = target
    across = np.array([width, height, width, height], np.float64)
    rows = [[one[0], *(np.array(one[1:5]) / across).tolist(), one[5], one[6], width, height] for one in objects]
    return rows or [[-1, 0, 0, 0, 0, 0, 0, width, height]]


def collated(targets: Iterable[Target]) -> Array:
    """Targets as float32 [N, rows, 9]."""
    rows = [as_rows(target) for target in targets]
    table = np.zeros((len(rows), max(map(len, rows), default=1), COLUMNS), np.float32)
    table[..., CLASS] = -1
    for image, some in zip(table, rows, strict=True):
        image[: len(some)] = some
        image[:, SIZE] = some[0][SIZE]
    return table


def class_scores(rows: Array) -> Array:
    """The scores [rows, classes] of a detector's outputs [rows, 9 + classes] for one image: the root of the probability
    of the class times the quality, as in FCOS's code."""
    scores: Array = np.sqrt(sigmoid(rows[:, LOGITS:]) * sigmoid(rows[:, QUALITY, None]))
    return scores


def detections(outputs: Array) -> Array:
    """A detector's outputs [N, rows, 9 + classes] -> float32 [N, MOST, 6], the best first.

    The scores are `class_scores`. NaN stays NaN.
    """
    table = np.zeros((len(outputs), MOST, 6), np.float32)
    table[..., FOUND_CLASS] = -1
    for image, one in zip(table, outputs, strict=True):
        if not np.isfinite(one).all():
            image[:] = np.nan
            continue
        scores = class_scores(one)
        places, classes = np.nonzero(scores > LEAST_SCORE)
        values = scores[places, classes]
        best = np.argsort(-values, kind="stable")[:CANDIDATES]
        boxes, names = one[places[best], PREDICTED].clip(0, 1), classes[best]
        kept = nms(boxes, values[best], OVERLAP, names)[:MOST]
        image[: len(kept), FOUND_CLASS] = names[kept]
        image[: len(kept), SCORE] = values[best][kept]
        image[: len(kept), FOUND_BOX] = boxes[kept]
    return table


def detections_of(outputs: Sequence[NDArray[Any]], height: int, width: int) -> Array:
    """The outputs of an exported graph, boxes, scores and labels, for images of that size, as `detections` gives them:
    float32 [N, MOST, 6]."""
    boxes, scores, labels = outputs
    table = np.zeros((len(boxes), MOST, 6), np.float32)
    table[..., FOUND_CLASS] = -1
    found = table[:, : scores.shape[1]]
    found[..., FOUND_CLASS], found[..., SCORE] = labels, scores
    found[..., FOUND_BOX] = boxes / np.array([width, height, width, height], np.float32)
    return table


def scenes(predictions: Array, targets: Array) -> list[Scene]:
    """Detections and targets as what COCO's evaluation takes, in the pixels of each image."""
    found = []
    for given, true in zip(predictions.astype(np.float64), targets.astype(np.float64), strict=True):
        across = np.tile(true[0, SIZE], 2)
        there, real = given[given[:, FOUND_CLASS] >= 0], true[true[:, CLASS] >= 0]
        found.append(
            Scene(
                real[:, BOX] * across,
                real[:, CLASS].astype(np.int64),
                real[:, CROWD] > 0,
                real[:, AREA],
                there[:, FOUND_BOX] * across,
                there[:, FOUND_CLASS].astype(np.int64),
                there[:, SCORE],
            )
        )
    return found


def shown(prediction: Array, least: float) -> Array:
    """The detections of one image whose score is at least `least`: float32 [K, 6]."""
    return prediction[(prediction[:, FOUND_CLASS] >= 0) & (prediction[:, SCORE] >= least)]


def counted(names: Sequence[str], classes: Iterable[int]) -> str:
    """How many of each class, the most first: "2 person, 1 dog"; "nothing"."""
    numbers = np.bincount(np.fromiter(classes, np.int64), minlength=len(names))
    order = [place for place in np.argsort(-numbers, kind="stable").tolist() if numbers[place]]
    return ", ".join(f"{numbers[place]} {names[place]}" for place in order) or "nothing"
