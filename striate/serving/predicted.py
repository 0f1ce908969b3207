"""Predictions, by the model's task: JSON for `/predict`, tensors for version 2 of the open inference protocol."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from striate.inference.image_predictor import ImagePredictor, Prediction, Row
from striate.pixels import Images, decode
from striate.serving.answers import Answers, Seen
from striate.serving.asked import Asked
from striate.serving.protocol import Output, Values
from striate.tasks.detection_arrays import FOUND_BOX, FOUND_CLASS, MOST, SCORE, counted
from striate.tasks.detection_evaluation import SHOWN_SCORE
from striate.tasks.found_objects import found_objects, objects_told
from striate.tasks.mask_pictures import indexed
from striate.tasks.values import ranked_probabilities

SIZES = (1, 8, 32)  # images in a batch, of which the best is measured
LONG = 0.1  # seconds: the largest size is not tried where it would take longer, so that a server starts soon
SHARE = 2  # images that each of several callers takes: with more a graph's memory grows, and no time is gained
GAIN = 0.95  # a larger batch is taken if an image then takes less than this share of the time


class Predicted(Answers):
    """The predictions of a model: what `striate predict` answers."""

    def __init__(self, predictor: ImagePredictor) -> None:
        self.predictor = predictor
        self.engine_name, self.precision = predictor.engine_name, predictor.precision
        task = predictor.task
        self.answers_to = frozenset({"score"} if task.boxes else {"mask"} if task.masks else ())

    @property
    def kind(self) -> str:
        """The task's."""
        return self.predictor.task.kind

    @property
    def callers(self) -> int:
        """Those of the predictor."""
        return self.predictor.callers

    def measured_batch(self) -> int:
        """By `measured_batch`."""
        return measured_batch(self.predictor.rows, self.predictor.view.shape, self.callers)

    def forget_weights(self) -> None:
        """Those that the predictor's engine has."""
        self.predictor.forget_weights()

    def opened(self, content: bytes, asked: Asked) -> tuple[Images, tuple[int, int]]:
        """The network's input."""
        view = self.predictor.view
        found = decode(content, at_least=view.at_least)
        return view.apply(found.image), found.upright_size

    def rows(self, images: Sequence[Images]) -> list[Row]:
        """The predictor's."""
        return self.predictor.rows(np.stack(images))

    def answer(self, seen: Seen, asked: Asked) -> dict[str, Any]:
        """A prediction as `striate predict --json` tells it."""
        predictor, task = self.predictor, self.predictor.task
        found = predictor.prediction("the image", seen.row)
        told: dict[str, Any] = {"label": found.label, **found.answer.facts}
        if task.boxes:
            least = SHOWN_SCORE if asked.score is None else asked.score
            objects = found_objects(seen.row[0], seen.size, predictor.classes, least)
            told |= {
                "label": counted(predictor.classes, (one.place for one in objects)),
                **objects_told(seen.size, objects),
            }
        if asked.mask:
            told["mask"] = _png(found.value)
        if asked.top is not None and len(found.probabilities):
            told["probabilities"] = dict(ranked_probabilities(predictor.classes, found.probabilities, asked.top))
        if found.in_distribution is not None:
            told |= {"in_distribution": found.in_distribution, "distance": found.distance}
        return told

    def outputs(self) -> list[Output]:
        """By the task; a side of -1 depends on the network's input."""
        task = self.predictor.task
        found = [Output("label", "BYTES", ())]
        if task.boxes:
            boxes, scores = Output("boxes", "FP32", (MOST, 4)), Output("scores", "FP32", (MOST,))
            found = [boxes, scores, Output("labels", "INT64", (MOST,)), *found]
        elif task.masks:
            found = [Output("mask", "UINT8", (-1, -1)), *found]
        elif not task.searched:
            found = [Output(task.output_name, "FP32", (task.outputs,)), *found]
        return found if self.predictor.ood_threshold is None else [*found, Output("distance", "FP32", ())]

    def values(self, seen: Sequence[Seen]) -> Mapping[str, Values]:
        """Boxes are in pixels of each upright image, as `/predict` has them."""
        task = self.predictor.task
        found: list[Prediction] = [
            self.predictor.prediction(f"image {place}", one.row) for place, one in enumerate(seen)
        ]
        told: dict[str, Values] = {
            "label": [one.label for one in found],
            "distance": np.array([one.distance if one.distance is not None else np.nan for one in found], np.float32),
        }
        if task.boxes:
            rows = np.stack([one.row[0] for one in seen])
            across = np.tile(np.array([one.size for one in seen], np.float32), 2)[:, None]
            labels = rows[..., FOUND_CLASS].astype(np.int64)
            told |= {"boxes": rows[..., FOUND_BOX] * across, "scores": rows[..., SCORE], "labels": labels}
        elif task.masks:
            told["mask"] = np.stack([np.asarray(one.row[0], np.uint8) for one in seen])
        elif not task.searched:
            told[task.output_name] = np.stack([one.row[0] for one in seen])
        return told

    def parameters(self) -> dict[str, Any]:
        """Network and classes."""
        return {"net": self.predictor.described, "classes": list(self.predictor.classes)}


def measured_batch(run: Callable[[Images], object], shape: tuple[int, ...], callers: int) -> int:
    """The number of images that a call of the engine should have: SHARE of several callers, else by its times.

    It runs the engine at least once, on black images [N, *shape].
    """
    if callers > 1:
        run(np.zeros((1, *shape), np.uint8))
        return SHARE
    best, least = 1, float("inf")
    for size in SIZES:
        if size == SIZES[-1] and least * size > LONG:
            break
        crops = np.zeros((size, *shape), np.uint8)
        run(crops)
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            run(crops)
            seconds.append((time.perf_counter() - start) / size)
        if min(seconds) < GAIN * least:
            best, least = size, min(seconds)
    return best


def _png(mask: np.ndarray[Any, Any]) -> str:
    """A mask as an indexed PNG in base64: a pixel's value is the index of its class."""
    file = io.BytesIO()
    indexed(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
