"""Evaluate: the quality of a model on labelled images."""

from __future__ import annotations

import os
from collections.abc import Mapping

from striate.data.opening import Data
from striate.inference.evaluation import ModelEvaluation
from striate.jobs.load import load_calibrated
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
    calibrate: Data | None = None,
    progress: Progress | None = None,
) -> ModelEvaluation:
    """Evaluate a model on labelled images: `data` as for `striate.train`.

    part: "train", "val" or "test"; by default the held-out one, or all images if there are no parts.
    ten_crop: average the predictions of ten crops of each image, as AlexNet was evaluated; ten times the compute.
    metrics: custom functions (predictions, targets) -> float, by name.
    precision: "float32", "bfloat16", "int8", or "auto", as the model was evaluated. calibrate: labelled images that
    int8 is calibrated and checked on, by default those the model was trained on; see `striate.quantize`.
    Raises RequestError if the data have another task, or share no class with the model.
    """
    predictor = load_calibrated(model, engine=engine, precision=precision, calibrate=calibrate, progress=progress)
    return predictor.evaluate(data, part=part, ten_crop=ten_crop, metrics=metrics, progress=progress)
