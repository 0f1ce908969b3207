"""What a model answers, by its task: JSON for `/predict`, tensors for version 2 of the open inference protocol."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from striate.inference.image_predictor import ImagePredictor, Prediction
from striate.serving.asked import Asked
from striate.serving.batching import Seen
from striate.serving.protocol import Output, Values
from striate.tasks.detection_arrays import FOUND_BOX, FOUND_CLASS, MOST, SCORE, counted
from striate.tasks.detection_evaluation import SHOWN_SCORE
from striate.tasks.found_objects import found_objects, objects_told
from striate.tasks.mask_pictures import indexed
from striate.tasks.values import ranked_probabilities
from striate.web.refusals import Refused


def facts(predictor: ImagePredictor, found: Prediction, seen: Seen, asked: Asked) -> dict[str, Any]:
    """A prediction as `striate predict --json` tells it. Raises Refused for what the task does not have."""
    task = predictor.task
    if asked.score is not None and not task.boxes:
        raise Refused(400, f"score is of models of boxes; the task of this one is {task.kind}")
    if asked.mask and not task.masks:
        raise Refused(400, f"mask is of models of masks; the task of this one is {task.kind}")
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


def _png(mask: np.ndarray[Any, Any]) -> str:
    """A mask as an indexed PNG in base64: a pixel's value is the index of its class."""
    file = io.BytesIO()
    indexed(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def outputs(predictor: ImagePredictor) -> list[Output]:
    """The outputs of a model, by the protocol's names of types; a side of -1 depends on the network's input."""
    task = predictor.task
    found = [Output("label", "BYTES", ())]
    if task.boxes:
        sizes = {"boxes": (MOST, 4), "scores": (MOST,)}
        found = [*(Output(name, "FP32", shape) for name, shape in sizes.items()), Output("labels", "INT64", (MOST,)),
                 *found]  # fmt: skip
    elif task.masks:
        found = [Output("mask", "UINT8", (-1, -1)), *found]
    elif not task.searched:
        found = [Output(task.output_name, "FP32", (task.outputs,)), *found]
    return found if predictor.ood_threshold is None else [*found, Output("distance", "FP32", ())]


def values(predictor: ImagePredictor, seen: Sequence[Seen], found: Sequence[Prediction]) -> Mapping[str, Values]:
    """The values of `outputs` for images. Boxes are in pixels of each upright image, as `/predict` has them."""
    task = predictor.task
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
