"""Train a net, its folds first, and evaluate it on images that it was not trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.looking import look
from striate.data.augment.augmentation import Augmentation
from striate.data.sources.base import Source
from striate.inference.engine import engine_version
from striate.inference.predictor import Predictor
from striate.learning.checks import curve_remarks, run_checks
from striate.learning.ood import REFERENCE, OODEvaluation, atypical, with_ood_detector
from striate.learning.result import Evidence, TrainResult, evaluated
from striate.learning.trainer import Fitted, OnEpoch, Trainer
from striate.model import Model

# Keys that a run chooses unless they are set, and that the model file records.
CHOSEN = ("train.epochs", "train.precision", "train.compile")

Floats = NDArray[np.float32]
Fit = Callable[[Trainer, list[int], list[int], OnEpoch, str], Fitted]


def fit_trainer(trainer: Trainer, rows: list[int], held_out: list[int], on_epoch: OnEpoch, stage: str) -> Fitted:
    """Train on `rows` and evaluate on `held_out` after each epoch: `Trainer.fit`."""
    return trainer.fit(rows, held_out, on_epoch, stage)


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained net, its recipe and history, and the out-of-fold predictions.

    trainer: with every choice made. out_of_fold [usable, outputs]: by nets not trained on the image; None without
    folds.
    """

    trainer: Trainer
    fitted: Fitted
    out_of_fold: Floats | None
    evidence: Evidence


def train_with_folds(trainer: Trainer, fit: Fit = fit_trainer) -> Trained:
    """Run the checks before training, train the folds, if there are any, then the model."""
    split, context, rows = trainer.data.split, trainer.context, trainer.data.split.rows("train")
    trainer, checks = run_checks(trainer, rows)
    out_of_fold = None
    if split.folds is not None:
        with context.stage("train the folds"):
            out_of_fold = _fold_by_fold(trainer, fit)
    with context.stage("train"):
        # A "test" part is not used before the end.
        fitted = fit(
            trainer, rows, split.rows("val") or split.held_out_rows, lambda r: context.log("epoch", r), "train"
        )
    context.processes.others_end()
    evidence = Evidence(checks=checks, remarks=curve_remarks(trainer, rows, fitted.history))
    return Trained(trainer, fitted, out_of_fold, evidence)


def evaluate(trained: Trained, model: Model, ood: Source | None, facts: dict[str, Any]) -> TrainResult:
    """The result: `model`, which is the trained one with its thresholds, evaluated on the held-out images."""
    trainer = trained.trainer
    split, recipe, predictor = trainer.data.split, trainer.recipe, trainer.predictor(model)
    with trainer.context.stage("predict"):
        predictions = predictor.predictions(trainer.images.exact(split.held_out_rows))
        model, distances, ood_evaluation = _by_embedding(trainer, predictor, ood)
    evaluation, folds = evaluated(split, model.task, predictions, trained.out_of_fold, trainer.extensions.metrics)
    augmentation = Augmentation.of(recipe.augment)
    return TrainResult(
        model=model,
        recipe=recipe.updated({"inference.precision": predictor.precision}),
        split=split,
        evaluation=evaluation,
        engine=f"{predictor.engine_name} {engine_version(predictor.engine_name)}, {predictor.precision}",
        precision=predictor.precision,
        cross_validation=folds,
        history=trained.fitted.history,
        evidence=dataclasses.replace(
            trained.evidence,
            out_of_fold=trained.out_of_fold,
            distances=distances,
            ood=ood_evaluation,
            views=trainer.views if augmentation.transforms else None,
        ),
        facts={
            **{key: recipe.value(key) for key in CHOSEN},
            "optimizer.lr": recipe.optimizer.peak,
            "augment": augmentation.label(),
            **facts,
        },
        notes=(*((predictor.engine_note,) if predictor.engine_note else ()), *trained.fitted.notes),
    )


def _fold_by_fold(trainer: Trainer, fit: Fit) -> Floats:
    """Predictions [usable, outputs] by nets that were not trained on the image; NaN for images outside the folds."""
    split = trainer.data.split
    predictions = np.full((len(split.parts), trainer.task.outputs), np.nan, np.float32)
    for fold in range(split.fold_count):
        rows, inside = split.fold_rows(fold)
        model = fit(trainer, rows, [], lambda row: None, f"fold-{fold + 1}").model
        if trainer.context.processes.first:
            predictions[inside] = trainer.predictor(model).predictions(trainer.images.exact(inside))
    return predictions


def _by_embedding(
    trainer: Trainer, predictor: Predictor, ood: Source | None
) -> tuple[Model, Floats | None, OODEvaluation | None]:
    """The model, how atypical each image is, and, if OOD images are given, the evaluation of the model's detector.

    Both use the embedding before the linear head, if the net has one.
    """
    split, model = trainer.data.split, predictor.model
    trained, held_out = split.rows("train"), split.held_out_rows
    few = len(split.parts) <= REFERENCE
    rows = list(range(len(split.parts))) if few else sorted({*trained, *held_out}) if ood else []
    if not rows or not model.head:
        return model, None, None
    embedded = predictor.embed(trainer.images.exact(rows))  # each image once, for all uses
    distances = atypical(embedded) if few else None
    if ood is None:
        return model, distances, None
    looked = [one for one in look(ood, model.pixels) if one.crop is not None]
    crops = np.stack([one.crop for one in looked if one.crop is not None]) if looked else trainer.images.exact([])
    found = list(zip((one.item.key for one in looked), predictor.embed(crops), strict=True))
    of_training, of_held_out = (embedded[np.searchsorted(rows, some)] for some in (trained, held_out))
    model, evaluation = with_ood_detector(model, ood, found, of_training, of_held_out)
    return model, distances, evaluation
