"""The figures of a training as JSON values, for the model file, the log and `--json`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from striate.data.splits import leaked
from striate.learning.result import CrossValidation, TrainResult
from striate.tasks.metrics import mean_interval
from striate.tasks.values import or_none


def metrics_of(result: TrainResult) -> dict[str, Any]:
    """The headline metrics, and those without leaked images, of the folds, of OOD detection, and the learning curve."""
    metrics = {**result.evaluation.as_dict(), "engine": result.engine, "precision": result.precision}
    metrics |= _without_leaks(result)
    if result.cross_validation is not None:
        metrics["folds"] = _of_folds(result.cross_validation)
    if result.evidence.ood is not None:
        metrics["ood"] = result.evidence.ood.as_dict()
    if "heads" in result.facts:
        metrics |= {"head": result.facts["head"], "heads": result.facts["heads"]}
    if result.evidence.learning_curve is not None:
        metrics["learning_curve"] = result.evidence.learning_curve.as_dict()
    return metrics


def _of_folds(folds: CrossValidation) -> dict[str, Any]:
    """Every fold's score, their mean with its confidence interval, and that of all folds pooled."""
    scores = [fold.score for fold in folds.folds]
    known = [score for score in scores if math.isfinite(score)]  # a fold may have no image with any label
    pooled, (low, high) = folds.pooled, mean_interval(known)
    low, high = pooled.task.metric.clipped(low, high)
    return {
        "scores": list(map(or_none, scores)),
        "mean": float(np.mean(known)) if known else None,
        "interval": [low, high] if len(known) > 1 else None,
        "pooled": or_none(pooled.score),
        "images": pooled.total,
    }


def _without_leaks(result: TrainResult) -> dict[str, Any]:
    """The score on held-out images that are not also training images, if there are such leaks."""
    evaluation, split = result.evaluation, result.split
    if not evaluation.total or not split.held_out_part:
        return {}
    clean = ~leaked(split.audit, split.parts, split.held_out_part)
    if clean.all():
        return {}
    without = evaluation.task.evaluate(evaluation.part, evaluation.predictions[clean], evaluation.targets[clean])
    return {
        "leaks": int((~clean).sum()),
        "score_without_leaks": or_none(without.score),
        "total_without_leaks": without.total,
    }
