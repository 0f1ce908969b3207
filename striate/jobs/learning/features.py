"""Strategy "features": one pass through a frozen pretrained net, then a linear head fitted to convergence."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import audit, require_learnable
from striate.data.sources.base import Source
from striate.data.splits import folds_of, possible_folds
from striate.inference.classifier import Classifier
from striate.jobs.learning.describe import Describer, bfloat16_differs, describe, describer, features_of
from striate.jobs.learning.judging import least_typical, meet_strangers, open_strangers
from striate.jobs.learning.learned import Learned, Lots
from striate.jobs.learning.site import Site
from striate.jobs.learning.weighing import balance_note, weights_of
from striate.jobs.measure import thresholds
from striate.jobs.models import pretrained
from striate.model import Model
from striate.recipe import Recipe
from striate.task import Task
from striate.transfer.features import FeatureCache
from striate.transfer.head import Head, Lesson, fit_head, out_of_fold
from striate.transfer.strategy import Plan


def learn_features(source: Source, plan: Plan, recipe: Recipe, site: Site) -> Learned:
    """Learn a head on the features of `plan.net`. Raises RequestError where the data cannot be learnt from."""
    clock, progress = site.clock, site.progress
    strangers = open_strangers(recipe.data.ood)
    by, cache, lots, features, head, unseen = described(source, plan, recipe, site)
    found, task = lots.audit, with_thresholds(lots, features, recipe, head.strength)
    model = with_head(by.backbone, head, task)
    held_out = lots.entries(lots.rows(lots.measured_part))
    if recipe.inference.precision == "auto" and by.precision == "bfloat16":
        with clock.stage("check bfloat16"):
            doubt = bfloat16_differs(source, model, by, cache, held_out or found.usable)
        if doubt:
            progress.say(f"{doubt}; describing the images again in float32")
            learned = learn_features(source, plan, recipe.updated({"inference.precision": "float32"}), site)
            learned.notes.append(f"{doubt}; float32 was used")
            return learned
    learned = Learned(
        model,
        lots,
        _answers(model, features[lots.rows(lots.measured_part)]),
        by.words,
        by.precision,
        unseen=unseen,
        distances=least_typical(features),
        facts={
            "strength": head.strength,
            "search": [list(row) for row in head.scores],
            "weights": by.backbone.training,
        },
        notes=[*([by.note] if by.note else []), *balance_note(recipe, "features")],
    )
    if strangers:
        with clock.stage("strangers"):
            met, known = describe(strangers, by, progress)
            usable = audit(strangers, met, trained_only=False).usable
            seen = [(entry.item.key, known.rows[entry.record.digest]) for entry in usable]
            trained, held = (features[lots.rows(part)] for part in ("train", lots.measured_part))
            meet_strangers(learned, strangers, seen, trained, held)
    return learned


class Described(NamedTuple):
    """The images under a frozen net, and a head on it. features [usable, D]; unseen: as `unseen_answers` has them."""

    by: Describer
    cache: FeatureCache
    lots: Lots
    features: NDArray[np.float32]
    head: Head
    unseen: NDArray[np.float32]


def described(source: Source, plan: Plan, recipe: Recipe, site: Site) -> Described:
    """Look at every image, describe it by the frozen net of the plan, and fit a head to the training images.

    Raises RequestError where the data cannot be learnt from.
    """
    clock = site.clock
    with clock.stage("backbone"):
        by = describer(pretrained(plan.net), recipe.inference.engine, recipe.inference.precision, len(source.items))
    with clock.stage("look and describe"):
        pairs, cache = describe(source, by, site.progress)
    found = audit(source, pairs)
    require_learnable(found, source.name)
    lots = Lots.drawn(found, recipe)
    features = features_of(found.usable, cache)
    with clock.stage("fit the head"):
        head = fitted(lots, features, recipe)
    with clock.stage("answer what was not seen"):
        unseen = unseen_answers(lots, features, recipe, head.strength)
    return Described(by, cache, lots, features, head, unseen)


def fitted(lots: Lots, features: NDArray[np.float32], recipe: Recipe, rows: list[int] | None = None) -> Head:
    """The head learnt from the features [usable, D] of some images; by default the training images."""
    rows = lots.rows("train") if rows is None else rows
    count = possible_folds(lots.audit, recipe.head.cv_folds, rows)
    fold = folds_of(lots.audit, count, recipe.seed, rows)[rows]
    return fit_head(_lesson(lots, features, rows, recipe), seed=recipe.seed, fold=fold)


def _lesson(lots: Lots, features: NDArray[np.float32], rows: list[int], recipe: Recipe) -> Lesson:
    task = lots.audit.task
    weights = weights_of(task, lots.entries(rows), recipe.data.balance)
    return Lesson(features[rows], lots.targets(rows), task, weights, recipe.loss.name)


def unseen_answers(lots: Lots, features: NDArray[np.float32], recipe: Recipe, strength: float) -> NDArray[np.float32]:
    """Answers [usable, outputs] by heads that had not seen the image.

    With folds, of the images in them. Else of all images, held-out ones included: it is their labels that are judged
    by these answers, and no headline. NaN for images outside, and for all where they must stay together.
    """
    answers = np.full((len(lots.parts), lots.audit.task.outputs), np.nan, np.float32)
    fold = lots.folds
    if fold is None:
        count = possible_folds(lots.audit, recipe.head.cv_folds)
        if count < 2:
            return answers
        fold = folds_of(lots.audit, count, recipe.seed)
    rows = np.flatnonzero(fold >= 0).tolist()
    answers[rows] = out_of_fold(_lesson(lots, features, rows, recipe), fold[rows], strength)
    return answers


def with_thresholds(lots: Lots, features: NDArray[np.float32], recipe: Recipe, strength: float) -> Task:
    """Of labels, with the thresholds measured on training images, each answered by a head that had not seen it.

    Nor had that head seen a held-out image: those are only measured on. A half for all where training images must stay
    together.
    """
    task, rows = lots.audit.task, lots.rows("train")
    count = possible_folds(lots.audit, recipe.head.cv_folds, rows)
    if task.kind != "labels" or count < 2:
        return task
    fold = folds_of(lots.audit, count, recipe.seed, rows)[rows]
    answers = out_of_fold(_lesson(lots, features, rows, recipe), fold, strength)
    return dataclasses.replace(task, thresholds=thresholds(answers, lots.targets(rows)))


def with_head(backbone: Model, head: Head, task: Task) -> Model:
    """The published net with a head for the task in place of its own."""
    tensors: dict[str, NDArray[np.generic]] = {
        **backbone.tensors,
        f"{backbone.head}.weight": head.weight,
        f"{backbone.head}.bias": head.bias,
    }
    options = {**backbone.options, "classes": task.outputs}
    return dataclasses.replace(backbone, task=task, options=options, tensors=tensors, strategy="features")


def _answers(model: Model, features: NDArray[np.float32]) -> NDArray[np.float32]:
    if not len(features):
        return np.zeros((0, model.task.outputs), np.float32)
    return model.task.answers(Classifier(model).scores(features))
