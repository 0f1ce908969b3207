"""Evaluate: the quality of a model on labelled images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from striate.data.opening import Data, open_source
from striate.inference.evaluation import ModelEvaluation
from striate.inference.predictor import Predictor
from striate.jobs.load import load_calibrated
from striate.jobs.pixel_hint import pixel_hint
from striate.progress import Progress
from striate.tasks.values import MetricFunction


def evaluate(
    model: str | os.PathLike[str],
    data: Data,
    *,
    part: str = "",
    views: str = "",
    metrics: Mapping[str, MetricFunction] | None = None,
    engine: str = "auto",
    precision: str = "auto",
    calibrate: Data | None = None,
    progress: Progress | None = None,
) -> ModelEvaluation:
    """Evaluate a model on labelled images: `data` as for `striate.train`.

    part: "train", "val" or "test"; by default the held-out one, or all images if there are no parts.
    views: average the predictions over several views of each image, and tell what that gains over the plain one: "flip"
    (and the mirror image), "ten-crop" (ten crops, as AlexNet was evaluated: ten times the compute) or "scales" (three
    sizes, for networks that take any).
    metrics: custom functions (predictions, targets) -> float, by name.
    precision: "float32", "bfloat16", "int8", or "auto", as the model was evaluated. calibrate: labelled images that
    int8 is calibrated and checked on, by default those the model was trained on; see `striate.quantize`.
    An imported network whose pixels may have been named wrongly gets a `hint`.
    Raises RequestError if the data have another task, or share no class with the model.
    """
    predictor = load_calibrated(model, engine=engine, precision=precision, calibrate=calibrate, progress=progress)
    source = open_source(data)
    found = predictor.evaluate(source, part=part, views=views, metrics=metrics, progress=progress)
    hint = pixel_hint(predictor.model, source, part) if isinstance(predictor, Predictor) else ""
    return replace(found, hint=hint)
