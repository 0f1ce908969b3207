"""Evaluate: how good a model is on labelled images."""

from __future__ import annotations

import os
from collections.abc import Mapping

from striate.data.opening import Data
from striate.inference.evaluation import ModelEvaluation
from striate.jobs.load import load
from striate.progress import Progress
from striate.tasks.values import MetricFunction


def evaluate(
    model: str | os.PathLike[str],
    data: Data,
    *,
    part: str = "",
    ten_crop: bool = False,
    metrics: Mapping[str, MetricFunction] | None = None,
    engine: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> ModelEvaluation:
    """Evaluate a model on labelled images: `data` as for `striate.train`.

    part: "train", "val" or "test"; by default the held-out one, or all images where there are no parts.
    ten_crop: predict each image by the mean of ten views of it, as AlexNet was evaluated; ten times the work.
    metrics: own functions (predictions, targets) -> float, by name.
    Raises RequestError where the data are of another task, or no class of theirs is one of the model's.
    """
    predictor = load(model, engine=engine, precision=precision)
    return predictor.evaluate(data, part=part, ten_crop=ten_crop, metrics=metrics, progress=progress)
