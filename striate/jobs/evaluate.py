"""Evaluate: how good a model is on labelled images."""

from __future__ import annotations

import os

from striate.data.opening import Data, open_source
from striate.inference import evaluation
from striate.inference.evaluation import ModelEvaluation
from striate.jobs.load import load
from striate.progress import Progress


def evaluate(
    model: str | os.PathLike[str],
    data: Data,
    *,
    part: str = "",
    ten_crop: bool = False,
    engine: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> ModelEvaluation:
    """Measure a model on labelled images: `data` as for `striate.train`.

    part: "train", "val" or "test"; by default the held-out one, or all images where there are no parts.
    ten_crop: predict each image by the mean of ten views of it, as AlexNet was measured; ten times the work.
    Raises RequestError where the data are of another task, or no class of theirs is one of the model's.
    """
    predictor = load(model, engine=engine, precision=precision)
    return evaluation.evaluate(predictor, open_source(data), part=part, ten_crop=ten_crop, progress=progress)
