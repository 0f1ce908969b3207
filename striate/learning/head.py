"""The linear head on extracted features: fitting on a split, out-of-fold predictions, and the model with it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from striate.data.splits import folds_of, possible_folds
from striate.learning.balance import sample_weights
from striate.learning.split import Split
from striate.model import Model
from striate.recipe import Recipe
from striate.tasks import Task
from striate.transfer.head import Head, HeadData, fit_head, out_of_fold

Floats = NDArray[np.float32]


def fit_on(split: Split, features: Floats, recipe: Recipe, rows: list[int] | None = None) -> Head:
    """The head fitted to the features [usable, D] of some images; by default the training images."""
    rows = split.rows("train") if rows is None else rows
    count = possible_folds(split.audit, recipe.head.cv_folds, rows)
    fold = folds_of(split.audit, count, recipe.seed, rows)[rows]
    return fit_head(head_data(split, features, rows, recipe), seed=recipe.seed, fold=fold)


def head_data(split: Split, features: Floats, rows: list[int], recipe: Recipe) -> HeadData:
    """What a head is fitted to: the features, targets and weights of the images at `rows`."""
    task = split.audit.task
    weights = sample_weights(task, split.entries(rows), recipe.data.balance)
    return HeadData(features[rows], split.targets(rows), task, weights, recipe.loss.name)


def out_of_fold_predictions(split: Split, features: Floats, recipe: Recipe, c: float) -> Floats:
    """Predictions [usable, outputs] by heads that were not fitted to the image.

    With folds, of the images in them. Without, of all images, including held-out ones: these predictions are for
    finding label errors, not for the headline metric. NaN for other images, and for all if groups must stay together.
    """
    predictions = np.full((len(split.parts), split.audit.task.outputs), np.nan, np.float32)
    fold = split.folds
    if fold is None:
        count = possible_folds(split.audit, recipe.head.cv_folds)
        if count < 2:
            return predictions
        fold = folds_of(split.audit, count, recipe.seed)
    rows = np.flatnonzero(fold >= 0).tolist()
    predictions[rows] = out_of_fold(head_data(split, features, rows, recipe), fold[rows], c)
    return predictions


def task_with_thresholds(split: Split, features: Floats, recipe: Recipe, c: float) -> Task:
    """The task; for multilabel, with thresholds fitted on out-of-fold predictions of training images.

    Held-out images are not used: they are for evaluation only. All 0.5 if groups of training images must stay together.
    """
    task, rows = split.audit.task, split.rows("train")
    count = possible_folds(split.audit, recipe.head.cv_folds, rows)
    if not task.decision_thresholds or count < 2:
        return task
    fold = folds_of(split.audit, count, recipe.seed, rows)[rows]
    predictions = out_of_fold(head_data(split, features, rows, recipe), fold, c)
    return task.with_thresholds(predictions, split.targets(rows))


def with_head(backbone: Model, head: Head, task: Task) -> Model:
    """The pretrained net with a head for the task in place of its own."""
    tensors: dict[str, NDArray[np.generic]] = {
        **backbone.tensors,
        f"{backbone.head}.weight": head.weight,
        f"{backbone.head}.bias": head.bias,
    }
    options = {**backbone.options, "classes": task.outputs}
    return dataclasses.replace(backbone, task=task, options=options, tensors=tensors, strategy="features")
