"""What a strategy returns: a model, its evaluation on images it was not trained on, and the evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from striate.learning.history import Row
from striate.learning.learning_curve import LearningCurve
from striate.learning.ood import OODEvaluation
from striate.learning.split import Split
from striate.model import Model
from striate.pixels import Images
from striate.recipe import Recipe
from striate.tasks import Evaluation, Task
from striate.tasks.base import NONE
from striate.tasks.report_common import CROSS_VALIDATED
from striate.tasks.values import MetricFunction

if TYPE_CHECKING:  # they import torch, which not every strategy needs
    from striate.learning.checks import Checks
    from striate.training.diagnosis import Remark


Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """folds: one evaluation per fold. pooled: of all out-of-fold predictions together."""

    folds: tuple[Evaluation, ...]
    pooled: Evaluation


@dataclass(frozen=True, eq=False)
class Evidence:
    """Results besides the headline metric; each is None or empty if not available.

    out_of_fold [usable, outputs]: predictions by models that were not trained on the image; NaN for images without.
    distances [usable]: of each image from its nearest neighbours in feature space, in multiples of the median.
    ood: how well images of a given folder are detected as out-of-distribution. views: from an index into
    `audit.usable` to that image, plain and augmented, uint8 [V, H, W, C]. checks: before training.
    remarks: findings in the training curve, most serious first. learning_curve: over the number of training images.
    """

    out_of_fold: Floats | None = None
    distances: Floats | None = None
    ood: OODEvaluation | None = None
    views: Callable[[int], Images] | None = None
    checks: Checks | None = None
    remarks: tuple[Remark, ...] = ()
    learning_curve: LearningCurve | None = None


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A finished training.

    recipe: with every choice made; it reproduces the run. evaluation: the headline. history: one row per epoch.
    engine: name and version. precision: of inference. facts: the strategy's choices, as JSON values, for the
    model file and the log. notes: lines for the user.
    """

    model: Model
    recipe: Recipe
    split: Split
    evaluation: Evaluation
    engine: str
    precision: str
    cross_validation: CrossValidation | None = None
    history: tuple[Row, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def evaluated(
    split: Split, task: Task, predictions: Floats, out_of_fold: Floats | None, metrics: Mapping[str, MetricFunction]
) -> tuple[Evaluation, CrossValidation | None]:
    """The headline evaluation, and the cross-validation if there are folds.

    predictions [held out, outputs]: of the held-out part, in order. out_of_fold [usable, outputs]: see `Evidence`.
    The headline is that of the held-out part, or the pooled one if nothing is held out.
    """
    folds = None
    if split.folds is not None and out_of_fold is not None:
        folds = cross_validated(split, task, out_of_fold, metrics)
    if folds is not None and not split.held_out_part:
        return folds.pooled, folds
    targets = split.targets(split.held_out_rows)
    return task.evaluate(split.held_out_part, predictions, targets, metrics=metrics), folds


def cross_validated(
    split: Split, task: Task, out_of_fold: Floats, metrics: Mapping[str, MetricFunction] = NONE
) -> CrossValidation:
    """Each fold's evaluation, and that of all folds pooled. metrics: custom ones by name."""
    assert split.folds is not None
    limits = _thresholds_of_others(split, task, out_of_fold) if task.decision_thresholds else None

    def of(part: str, rows: list[int]) -> Evaluation:
        own = None if limits is None else limits[rows]
        return task.evaluate(part, out_of_fold[rows], split.targets(rows), thresholds=own, metrics=metrics)

    folds = tuple(of(f"fold {fold + 1}", split.fold_rows(fold)[1]) for fold in range(split.fold_count))
    return CrossValidation(folds, of(CROSS_VALIDATED, np.flatnonzero(split.folds >= 0).tolist()))


def _thresholds_of_others(split: Split, task: Task, out_of_fold: Floats) -> NDArray[np.float64]:
    """Each image's thresholds [usable, labels], fitted on the other folds, so that its own label is not used."""
    assert split.folds is not None
    limits = np.full(out_of_fold.shape, np.nan)
    for fold in range(split.fold_count):
        others, inside = split.fold_rows(fold)
        limits[inside] = task.with_thresholds(out_of_fold[others], split.targets(others)).decision_thresholds
    return limits
