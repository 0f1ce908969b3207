"""Average precision as COCO's evaluation computes it: the same twelve numbers as pycocotools, in NumPy.

Source: cocodataset.org/#detection-eval, and cocoeval.py of cocoapi, whose choices are kept: 101 recalls, precision made
monotonous, matches that prefer objects which count, crowds that take any number of detections.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.tasks.boxes import areas, intersections

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of the IoU
RECALLS = np.linspace(0, 1, 101)
SIZES = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
MOST = (1, 10, 100)  # detections of an image and a class

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """One image. true [G, 4], found [D, 4]: boxes x1, y1, x2, y2 in its own pixels. Classes are whole numbers.

    crowd [G]: boxes of many objects, which neither count nor make detections wrong. area [G]: of the objects; the area
    of a detection is that of its box.
    """

    true: Floats
    true_classes: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    area: Floats
    found: Floats
    found_classes: NDArray[np.int64]
    scores: Floats


@dataclass(frozen=True, eq=False)
class Matches:
    """Detections of a class in an image, the best first. hit, ignored: bool [thresholds, D]. objects: that count."""

    scores: Floats
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: int


def match(
    scene: Scene, name: int, size: tuple[float, float] = SIZES["all"], thresholds: Floats = THRESHOLDS
) -> Matches:
    """Match the detections of a class with its objects at each IoU. size: objects of other areas do not count."""
    mine, theirs = scene.found_classes == name, scene.true_classes == name
    order = np.argsort(-scene.scores[mine], kind="mergesort")[: MOST[-1]]
    found, scores = scene.found[mine][order], scene.scores[mine][order]
    true, crowd, area = scene.true[theirs], scene.crowd[theirs], scene.area[theirs]
    passed_over = crowd | (area < size[0]) | (area > size[1])
    first = np.argsort(passed_over, kind="mergesort")  # objects that count come first
    true, crowd, passed_over = true[first], crowd[first], passed_over[first]
    overlap = _overlap(found, true, crowd)
    hit, ignored = _assigned(overlap, crowd, passed_over, thresholds)
    own = areas(found)
    outside = (own < size[0]) | (own > size[1])
    ignored |= ~hit & outside[None]
    return Matches(scores, hit, ignored, int((~passed_over).sum()))


def _overlap(found: Floats, true: Floats, crowd: NDArray[np.bool_]) -> Floats:
    """IoU [D, G]; of a crowd the share of the detection that lies in it."""
    shared = intersections(found, true)
    own = areas(found)[:, None]
    union = np.where(crowd[None], own, own + areas(true)[None] - shared)
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def _assigned(
    overlap: Floats, crowd: NDArray[np.bool_], passed_over: NDArray[np.bool_], thresholds: Floats
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each detection, the best first, hits an object, and whether that is one that does not count."""
    count, objects = overlap.shape
    hit, ignored = (np.zeros((len(thresholds), count), bool) for _ in range(2))
    if not objects:
        return hit, ignored
    levels, rows = np.minimum(thresholds, 1 - 1e-10), np.arange(len(thresholds))
    taken = np.zeros((len(thresholds), objects), bool)
    for one in np.flatnonzero(overlap.max(axis=1) >= levels.min()):
        possible = (overlap[one] >= levels[:, None]) & ~(taken & ~crowd)
        for some in (~passed_over, passed_over):  # those that do not count only where no other fits
            values = np.where(possible & some & ~hit[:, one, None], overlap[one], -1.0)
            best = objects - 1 - values[:, ::-1].argmax(axis=1)  # of equal ones the last, as cocoeval
            new = values[rows, best] >= 0
            hit[new, one] = taken[new, best[new]] = True
            ignored[new, one] = passed_over[best[new]]
    return hit, ignored


def average_precisions(matches: Sequence[Matches], most: int = MOST[-1]) -> tuple[Floats, Floats]:
    """Average precision and recall of one class at each IoU [thresholds]; NaN for a class without an object."""
    thresholds = len(matches[0].hit) if matches else len(THRESHOLDS)
    objects = sum(one.objects for one in matches)
    if not objects:
        return np.full(thresholds, np.nan), np.full(thresholds, np.nan)
    scores = np.concatenate([one.scores[:most] for one in matches])
    order = np.argsort(-scores, kind="mergesort")
    hit, ignored = (
        np.concatenate([part[:, :most] for part in parts], axis=1)[:, order]
        for parts in ([one.hit for one in matches], [one.ignored for one in matches])
    )
    right = np.cumsum(hit & ~ignored, axis=1).astype(np.float64)
    wrong = np.cumsum(~hit & ~ignored, axis=1).astype(np.float64)
    precisions, recalls = np.zeros(thresholds), np.zeros(thresholds)
    for place in range(thresholds):
        precisions[place], recalls[place] = _area(right[place], wrong[place], objects)
    return precisions, recalls


def _area(right: Floats, wrong: Floats, objects: int) -> tuple[float, float]:
    """The mean of the precision over 101 recalls, and the largest recall."""
    if not len(right):
        return 0.0, 0.0
    recall, precision = right / objects, right / (right + wrong + np.spacing(1))
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(falling, 0.0)[np.minimum(places, len(falling))].mean()), float(recall[-1])


@dataclass(frozen=True)
class Figure:
    """One of the twelve numbers; -1 where there is no object it is of. iou: 0.5, 0.75, or 0 for the mean of all."""

    name: str
    recall: bool
    iou: float
    size: str
    most: int
    value: float

    def line(self) -> str:
        """As pycocotools prints it."""
        what, short = ("Average Recall", "(AR)") if self.recall else ("Average Precision", "(AP)")
        iou = f"{self.iou:0.2f}" if self.iou else "0.50:0.95"
        where = f"IoU={iou:<9} | area={self.size:>6s} | maxDets={self.most:>3d}"
        return f" {what:<18} {short} @[ {where} ] = {self.value:0.3f}"


# name, recall, IoU, size of the objects, most detections
TWELVE = (
    ("AP", False, 0.0, "all", 100),
    ("AP50", False, 0.5, "all", 100),
    ("AP75", False, 0.75, "all", 100),
    ("AP small", False, 0.0, "small", 100),
    ("AP medium", False, 0.0, "medium", 100),
    ("AP large", False, 0.0, "large", 100),
    ("AR 1", True, 0.0, "all", 1),
    ("AR 10", True, 0.0, "all", 10),
    ("AR 100", True, 0.0, "all", 100),
    ("AR small", True, 0.0, "small", 100),
    ("AR medium", True, 0.0, "medium", 100),
    ("AR large", True, 0.0, "large", 100),
)


def coco_figures(scenes: Sequence[Scene], classes: int) -> tuple[Figure, ...]:
    """The twelve numbers of COCO, means over the classes that have objects."""
    known: dict[tuple[str, int], list[tuple[Floats, Floats]]] = {}
    for size, limits in SIZES.items():
        for place in range(classes):
            matches = [match(scene, place, limits) for scene in scenes]
            for most in MOST if size == "all" else MOST[-1:]:
                known.setdefault((size, most), []).append(average_precisions(matches, most))
    found = []
    for name, recall, iou, size, most in TWELVE:
        values = np.array([pair[recall] for pair in known[size, most]]).reshape(classes, -1)
        values = values[:, np.isclose(THRESHOLDS, iou)] if iou else values
        found.append(Figure(name, recall, iou, size, most, mean_or(values, -1.0)))
    return tuple(found)


def mean_or(values: Floats, other: float = math.nan) -> float:
    """The mean of the values that are not NaN; `other` where all are."""
    some = values[~np.isnan(values)]
    return float(some.mean()) if len(some) else other


def class_precisions(scenes: Sequence[Scene], classes: int, thresholds: Floats = THRESHOLDS) -> Floats:
    """The average precision of each class at each IoU: [classes, thresholds]; NaN for a class without an object."""
    return np.stack([_of_class(scenes, name, thresholds) for name in range(classes)])


def _of_class(scenes: Iterable[Scene], name: int, thresholds: Floats) -> Floats:
    return average_precisions([match(scene, name, thresholds=thresholds) for scene in scenes])[0]
