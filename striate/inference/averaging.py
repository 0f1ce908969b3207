"""Predictions averaged over several networks, several views of an image, or both.

An ensemble is an average over its members, each with its own preprocessing. Averaging over views (test-time
augmentation) is one over the same network looking at an image in several ways:
- flip: the image and its mirror image (Krizhevsky et al. 2012, section 4.1; He et al. 2015).
- ten-crop: four corners, the centre, and their mirror images (Krizhevsky et al. 2012, section 4.1).
- scales: the image at 6/7, 1 and 8/7 of the network's input size: 192, 224 and 256 pixels for 224, as Simonyan and
  Zisserman 2014, section 4.2, evaluate at 32 pixels less and more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from striate.data.augment.crops import Mirrored, Several, TenCrops, View
from striate.errors import RequestError, unknown
from striate.inference.image_predictor import ImagePredictor, Row
from striate.inference.predictor import Predictor
from striate.model import AnyModel, Ensemble
from striate.pixels import Images
from striate.tasks import Task

VIEWS = ("flip", "ten-crop", "scales")
SCALES = (6 / 7, 8 / 7)  # besides 1

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Part:
    """One network that looks at an image in one way.

    order: for each output, its place among the network's own; empty for the same order. weight: in the average. plain:
    its weight among the networks that see the image as in training, whose OOD detectors are asked.
    """

    predictor: Predictor
    view: View
    order: tuple[int, ...] = ()
    weight: float = 1.0
    plain: float = 1.0

    def finite(self, crops: Images) -> Floats:
        """The predictions alone. Raises RequestError where they are not finite."""
        return self._reduced(self.predictor.predictions(crops.reshape(-1, *crops.shape[-3:])), len(crops))

    def rows(self, crops: Images) -> tuple[Floats, NDArray[np.float64] | None]:
        """uint8 [N, *view.shape] -> predictions [N, outputs], the mean over crops; and distances [N], if plain."""
        found = self.predictor.rows(crops.reshape(-1, *crops.shape[-3:]))
        rows = self._reduced(np.stack([row for row, _ in found]), len(crops))
        detects = self.plain > 0 and self.predictor.ood_detector is not None
        return rows, np.array([distance for _, distance in found], np.float64) if detects else None

    def _reduced(self, rows: Floats, images: int) -> Floats:
        """The mean over the crops of each image, with the outputs in order."""
        if self.predictor.task.dense:  # masks and boxes, a few images at a time
            return rows
        mean = np.asarray(rows.reshape(images, -1, rows.shape[1]).mean(axis=1))
        return mean[:, list(self.order)] if self.order else mean


class AveragePredictor(ImagePredictor):
    """The weighted mean of the predictions of several parts, as one predictor.

    model: the ensemble, or the one model of which views are averaged. An image is out of distribution if the mean of
    the members' distances, each as a multiple of its threshold, is above 1; only if every member has a detector.
    """

    def __init__(self, model: AnyModel, task: Task, parts: Sequence[Part]) -> None:
        self.model, self._task = model, task
        members = [part for part in parts if part.plain > 0]
        thresholds = [part.predictor.ood_threshold for part in members]
        self._detects, self._relative = all(limit is not None for limit in thresholds), len(members) > 1
        self._threshold = (1.0 if self._relative else thresholds[0]) if self._detects else None
        # A plain view that is not in the average is seen for the detector alone.
        self.parts = tuple(part for part in parts if part.weight > 0 or (self._detects and part.plain > 0))
        first = parts[0].predictor
        self.engine_name, self.engine_note = first.engine_name, first.engine_note
        self.precision = ", ".join(dict.fromkeys(part.predictor.precision for part in parts))

    @property
    def task(self) -> Task:
        """The task of all parts."""
        return self._task

    @cached_property
    def view(self) -> Several:
        """Every part's view of an image, in one row of bytes."""
        return Several.of(part.view for part in self.parts)

    @property
    def described(self) -> str:
        """The networks' names."""
        return " + ".join(dict.fromkeys(part.predictor.described for part in self.parts))

    @property
    def ood_threshold(self) -> float | None:
        """1, of the mean relative distance; of one network, its detector's own."""
        return self._threshold

    @property
    def callers(self) -> int:
        """Those of the engine that takes fewest."""
        return min(part.predictor.callers for part in self.parts)

    @property
    def averaged(self) -> tuple[Part, ...]:
        """The parts."""
        return self.parts

    def rows(self, crops: Images) -> list[Row]:
        """See `ImagePredictor`: the weighted means."""
        seen = self.view.parts(crops)
        found = [part.rows(seen[part.view]) for part in self.parts]
        rows = average([rows for rows, _ in found], [part.weight for part in self.parts])
        if not self._detects:
            return [(row, None) for row in rows]
        near = np.zeros(len(crops))
        for part, (_, distances) in zip(self.parts, found, strict=True):
            if distances is not None:
                unit = max(part.predictor.ood_threshold or 0.0, 1e-12) if self._relative else 1.0
                near += part.plain * distances / unit
        return list(zip(rows, near.tolist(), strict=True))


def average(rows: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """The weighted mean of predictions [N, outputs]; NaN where one with a weight is. The weights sum to 1."""
    if len(rows) == 1:
        return rows[0]
    found = np.zeros(rows[0].shape, np.float64)
    for one, weight in zip(rows, weights, strict=True):
        if weight > 0:
            found += weight * one
    return found.astype(np.float32)


def ensemble_predictor(ensemble: Ensemble, *, engine: str, precision: str, many: bool) -> AveragePredictor:
    """An ensemble ready to predict: see `Predictor` for the arguments. Raises RequestError for int8."""
    if precision == "int8":
        raise RequestError("an ensemble is not quantised to int8; its members are, each by itself")
    parts = []
    for member, weight, order in zip(ensemble.members, ensemble.weights, ensemble.orders, strict=True):
        predictor = Predictor(member, engine=engine, precision=precision, many=many)
        parts.append(Part(predictor, predictor.view, order, weight, weight))
    return AveragePredictor(ensemble, ensemble.task, parts)


def with_views(predictor: Predictor | AveragePredictor, views: str) -> AveragePredictor:
    """The predictor with the average over several views of an image, "flip", "ten-crop" or "scales".

    Raises RequestError for others, and for several scales of a network that takes one size only.
    """
    return AveragePredictor(predictor.model, predictor.task, viewed(predictor.averaged, views))


def viewed(parts: Sequence[Part], views: str) -> tuple[Part, ...]:
    """Every part in several views, whose weights in the average sum to its own. Raises as `with_views`."""
    if views not in VIEWS:
        raise unknown("views", views, VIEWS)
    for part in parts:
        if part.predictor.task.by_steps:
            what = "masks and boxes" if part.predictor.task.dense else part.predictor.task.wording.many
            raise RequestError(f"{what} are predicted on the plain image: they have no views to average over")
    several = {"flip": _flip, "ten-crop": _ten_crop, "scales": _scales}[views]
    return tuple(one for part in parts for one in several(part))


def _flip(part: Part) -> list[Part]:
    half = part.weight / 2
    mirrored = Mirrored(part.predictor.view)
    return [dataclasses.replace(part, weight=half), dataclasses.replace(part, view=mirrored, weight=half, plain=0)]


def _ten_crop(part: Part) -> list[Part]:
    return [dataclasses.replace(part, weight=0), dataclasses.replace(part, view=TenCrops(part.predictor.view), plain=0)]


def _scales(part: Part) -> list[Part]:
    third = dataclasses.replace(part, weight=part.weight / 3)
    others = [scaled(part.predictor, scale) for scale in SCALES]
    return [third, *(dataclasses.replace(third, predictor=one, view=one.view, plain=0) for one in others)]


def scaled(predictor: Predictor, scale: float) -> Predictor:
    """The same network on images of another size. Raises RequestError for one that takes no other size."""
    from striate.inference.backbones import takes_size

    model, pixels = predictor.model, predictor.view
    height, width = (max(1, round(side * scale)) for side in (pixels.height, pixels.width))
    if predictor.precision == "int8":
        raise RequestError("several scales need float32 or bfloat16: an int8 graph is of one size")
    if model.input_tensors or not takes_size(model, height, width):
        raise RequestError(
            f"{model.net} takes images of {pixels.height} x {pixels.width} pixels only, so not several scales; views "
            "that it can average: flip, ten-crop"
        )
    other = dataclasses.replace(model, pixels=dataclasses.replace(pixels, height=height, width=width))
    return Predictor(other, engine=predictor.engine_name, precision=predictor.precision, many=predictor.many)
