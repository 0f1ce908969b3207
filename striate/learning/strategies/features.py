"""Strategy "features": one pass through a frozen pretrained net, then a head on its features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import audit
from striate.data.sources.base import Source
from striate.inference.predictor import Predictor
from striate.learning.balance import balance_note
from striate.learning.context import RunContext
from striate.learning.extensions import Extensions
from striate.learning.extraction import extract
from striate.learning.head import HeadFit, cross_validated_head, fit_on, with_head
from striate.learning.learning_curve import FITS as FITS_OF_CURVE
from striate.learning.learning_curve import LearningCurve, learning_curve
from striate.learning.ood import OODEvaluation, atypical, open_ood, with_ood_detector
from striate.learning.planning import Plan
from striate.learning.prepare import Prepared, prepare_features
from striate.learning.result import Evidence, TrainResult, evaluated
from striate.model import Model
from striate.recipe import Recipe

FITS = 6  # values of C that are usually tried, and the last one


def train(source: Source, plan: Plan, recipe: Recipe, context: RunContext, extensions: Extensions) -> TrainResult:
    """Fit a head on the features of `plan.net`. Raises RequestError for data that cannot be trained on."""
    ood = open_ood(recipe.data.ood)
    prepared = prepare_features(source, plan.net, recipe, context)
    return with_fitted_head(prepared, fit_head(prepared, context), ood, context, extensions)


def fit_head(prepared: Prepared, context: RunContext) -> HeadFit:
    """The head on the prepared features, with its cross-validation."""
    assert prepared.features is not None
    with context.stage("fit the head"), context.progress.bar("Fitting the head", FITS) as bar:

        def on_try(c: float) -> None:
            bar.advance()
            bar.note(f"C = {c:.3g}")
            context.log("head", {"kind": "logistic", "C": c})

        def on_kind(kind: str) -> None:
            bar.advance()
            bar.note(kind)
            context.log("head", {"kind": kind})

        return cross_validated_head(prepared.split, prepared.features.matrix, prepared.recipe, on_try, on_kind)


def with_fitted_head(
    prepared: Prepared, fitted: HeadFit, ood: Source | None, context: RunContext, extensions: Extensions
) -> TrainResult:
    """The result: the pretrained net with the fitted head, evaluated on the held-out images."""
    features, split, recipe = prepared.features, prepared.split, prepared.recipe
    assert features is not None
    extractor = features.extractor
    model = with_head(extractor.backbone, fitted.head, fitted.task)
    model, ood_evaluation = _with_ood(prepared, model, ood, context)
    predictions = _predictions(prepared, model)
    curve = _learning_curve(prepared, fitted.kind, predictions, context) if recipe.head.learning_curve else None
    evaluation, folds = evaluated(split, model.task, predictions, fitted.out_of_fold, extensions.metrics)
    return TrainResult(
        model=model,
        recipe=recipe.updated({"inference.precision": extractor.precision}),
        split=split,
        evaluation=evaluation,
        engine=extractor.described,
        precision=extractor.precision,
        cross_validation=folds,
        evidence=Evidence(
            out_of_fold=fitted.out_of_fold,
            distances=atypical(features.matrix),
            ood=ood_evaluation,
            learning_curve=curve,
        ),
        facts={
            "head": fitted.kind,
            **({"heads": dict(fitted.compared)} if fitted.compared else {}),
            "C": fitted.head.C,
            "search": [list(row) for row in fitted.head.scores],
            "weights": extractor.backbone.training,
        },
        notes=tuple(filter(None, (extractor.note, fitted.note(), *balance_note(recipe)))),
    )


def _learning_curve(
    prepared: Prepared, kind: str, predictions: NDArray[np.float32], context: RunContext
) -> LearningCurve:
    """The learning curve of heads of a kind; `predictions`: of the held-out images, by the head of all training
    images."""
    features, split, recipe = prepared.features, prepared.split, prepared.recipe.updated({"head.kind": kind})
    assert features is not None
    matrix = features.matrix
    held_out = matrix[split.held_out_rows]

    def predict(rows: list[int]) -> NDArray[np.float32]:
        head = fit_on(split, matrix, recipe, rows)
        return split.audit.task.predictions(head.logits(held_out))

    with context.stage("learning curve"), context.progress.bar("The learning curve", FITS_OF_CURVE) as bar:
        return learning_curve(split, predictions, predict, recipe.seed, bar.advance)


def _with_ood(
    prepared: Prepared, model: Model, ood: Source | None, context: RunContext
) -> tuple[Model, OODEvaluation | None]:
    """The model with an OOD detector, if OOD images are given, and its evaluation."""
    if ood is None:
        return model, None
    features, split = prepared.features, prepared.split
    assert features is not None
    with context.stage("out-of-distribution images"):
        pairs, cache = extract(ood, features.extractor, context.progress)
        usable = audit(ood, pairs, trained_only=False).usable
        rows = cache.matrix(entry.record.digest for entry in usable)
        found = list(zip((entry.item.key for entry in usable), rows, strict=True))
        trained, held_out = (features.matrix[rows] for rows in (split.rows("train"), split.held_out_rows))
        return with_ood_detector(model, ood, found, trained, held_out)


def _predictions(prepared: Prepared, model: Model) -> NDArray[np.float32]:
    """Predictions [held out, outputs] of the held-out images."""
    assert prepared.features is not None
    features = prepared.features.matrix[prepared.split.held_out_rows]
    if not len(features):
        return np.zeros((0, model.task.outputs), np.float32)
    return model.task.predictions(Predictor(model).logits(features))
