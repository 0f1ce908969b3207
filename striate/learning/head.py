"""The head on extracted features: fitting on a split, out-of-fold predictions, and the model with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.splits import folds_of, leaked, possible_folds
from striate.inference.classifiers import with_classifier
from striate.learning.balance import sample_weights
from striate.learning.split import Split
from striate.model import Model
from striate.recipe import Recipe
from striate.tasks import Task
from striate.tasks.metrics import percent
from striate.transfer.classifiers import accuracy, compare, fit_kind
from striate.transfer.head import AnyHead, FittedHead, Head, HeadData, fit_head, fit_with_folds

Floats = NDArray[np.float32]
COPIED = 2**27  # bytes: the training images' part of more features is not copied, at the cost of a quarter more time


@dataclass(frozen=True, eq=False)
class HeadFit:
    """A head fitted to the training images, and what its cross-validation found.

    out_of_fold: predictions [usable, outputs] by heads that were not fitted to the image. With folds, of the images in
    them. Without, of the training images, and of the held-out ones by `head` itself: for finding label errors, not for
    the headline metric. NaN for other images, for held-out ones that are also in training (as near-duplicates), and
    for all if groups must stay together.
    task: for multilabel, with thresholds fitted on out-of-fold predictions of training images, because held-out ones
    are for evaluation only; all 0.5 if groups of training images must stay together.
    kind: of the head, as the recipe names it. compared: the kinds that it was chosen from, each with its accuracy out
    of fold, the most accurate first.
    """

    head: AnyHead
    out_of_fold: Floats
    task: Task
    kind: str = "logistic"
    compared: tuple[tuple[str, float], ...] = ()

    def note(self) -> str:
        """How the kind was chosen, as a line for the user; "" if it was given."""
        if not self.compared:
            return ""
        listed = ", ".join(f"{kind} {percent(accuracy)}" for kind, accuracy in self.compared)
        return f"head {self.kind}; accuracy out of fold: {listed}"


def fit_on(split: Split, features: Floats, recipe: Recipe, rows: list[int] | None = None) -> AnyHead:
    """The head fitted to the features [usable, D] of some images; by default the training images."""
    rows = split.rows("train") if rows is None else rows
    data, fold = head_data(split, features, rows, recipe), _folds(split, recipe, rows)
    if recipe.head.kind == "logistic":
        return fit_head(data, seed=recipe.seed, fold=fold)
    _, fitted, _ = _of_kind(data, fold, recipe)
    return fitted.head


def cross_validated_head(
    split: Split,
    features: Floats,
    recipe: Recipe,
    on_try: Callable[[float], object] = lambda c: None,
    on_kind: Callable[[str], object] = lambda kind: None,
) -> HeadFit:
    """The head fitted to the features [usable, D] of the training images, with out-of-fold predictions.

    on_try: called with each value of C that is tried, on_kind: with each kind that is compared.
    """
    rows, task = split.rows("train"), split.audit.task
    out_of_fold = np.full((len(split.parts), task.outputs), np.nan, np.float32)
    fold = _folds(split, recipe, rows)
    if recipe.head.kind != "logistic":
        return _other_head(split, features, recipe, fold, on_kind)
    if fold.max(initial=0) < 1:
        return HeadFit(fit_head(head_data(split, features, rows, recipe), fold=fold), out_of_fold, task)
    if 4 * features.size > COPIED:
        data = _without_a_copy(split, features, rows, recipe)
        folds = np.full(len(features), -1, np.int64)
        folds[rows] = fold
        fitted = fit_with_folds(data, fold=folds, on_try=on_try)
        out_of_fold[rows] = fitted.out_of_fold[rows]
    else:
        fitted = fit_with_folds(head_data(split, features, rows, recipe), fold=fold, on_try=on_try)
        out_of_fold[rows] = fitted.out_of_fold
    if task.decision_thresholds:
        task = task.with_thresholds(out_of_fold[rows], split.targets(rows))
    _predict_held_out(split, features, fitted.head, out_of_fold)
    return HeadFit(fitted.head, out_of_fold, task)


def _predict_held_out(split: Split, features: Floats, head: AnyHead, out_of_fold: Floats) -> None:
    """Without folds, put the head's predictions of held-out images that are not in training too into `out_of_fold`."""
    if split.folds is None and (held_out := split.held_out_rows):
        apart = np.array(held_out)[~leaked(split.audit, split.parts, split.held_out_part)]
        out_of_fold[apart] = split.audit.task.predictions(head.logits(features[apart]))


def _other_head(
    split: Split, features: Floats, recipe: Recipe, fold: NDArray[np.int64], on_kind: Callable[[str], object]
) -> HeadFit:
    """A head of the recipe's kind. With "auto" and folds, each fold is predicted by the kind that others choose."""
    rows, task = split.rows("train"), split.audit.task
    data = head_data(split, features, rows, recipe)
    out_of_fold = np.full((len(split.parts), task.outputs), np.nan, np.float32)
    kind, fitted, compared = _of_kind(data, fold, recipe, on_kind)
    out_of_fold[rows] = fitted.out_of_fold
    if recipe.head.kind == "auto" and split.folds is not None:
        for number in range(int(fold.max(initial=-1)) + 1):
            inside, places = fold == number, np.array(rows)
            others = _renumbered(fold[~inside])
            _, apart, _ = _of_kind(head_data(split, features, places[~inside].tolist(), recipe), others, recipe)
            out_of_fold[places[inside]] = task.predictions(apart.head.logits(features[places[inside]]))
    _predict_held_out(split, features, fitted.head, out_of_fold)
    return HeadFit(fitted.head, out_of_fold, task, kind, compared)


def _renumbered(fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same folds, numbered from 0 without a gap."""
    return np.unique(fold, return_inverse=True)[1].astype(np.int64)


def _of_kind(
    data: HeadData, fold: NDArray[np.int64], recipe: Recipe, on_kind: Callable[[str], object] = lambda kind: None
) -> tuple[str, FittedHead[AnyHead], tuple[tuple[str, float], ...]]:
    """The kind, its head with out-of-fold predictions, and, for "auto", the accuracy of each kind."""
    if recipe.head.kind != "auto":
        on_kind(recipe.head.kind)
        return recipe.head.kind, fit_kind(recipe.head.kind, data, fold, recipe.seed), ()
    found = compare(data, fold, recipe.seed, on_kind)
    listed = tuple((one.kind, accuracy(one, data)) for one in found)
    return found[0].kind, found[0].fitted, listed


def head_data(split: Split, features: Floats, rows: list[int], recipe: Recipe) -> HeadData:
    """What a head is fitted to: the features, targets and weights of the images at `rows`."""
    task = split.audit.task
    weights = sample_weights(task, split.entries(rows), recipe.data.balance)
    return HeadData(features[rows], split.targets(rows), task, weights, recipe.loss.name)


def _without_a_copy(split: Split, features: Floats, rows: list[int], recipe: Recipe) -> HeadData:
    """The same, with all images: those that are not at `rows` have weight 0."""
    task, everyone = split.audit.task, list(range(len(features)))
    given = sample_weights(task, split.entries(rows), recipe.data.balance)
    weights = np.zeros(len(features))
    weights[rows] = 1.0 if given is None else given
    return HeadData(features, split.targets(everyone), task, weights, recipe.loss.name)


def _folds(split: Split, recipe: Recipe, rows: list[int]) -> NDArray[np.int64]:
    """The fold [rows] of each image at `rows`: the run's own, if all are in one, else made for the head."""
    if split.folds is not None and (split.folds[rows] >= 0).all():
        return split.folds[rows]
    count = possible_folds(split.audit, recipe.head.cv_folds, rows)
    return folds_of(split.audit, count, recipe.seed, rows)[rows]


def with_head(backbone: Model, head: AnyHead, task: Task) -> Model:
    """The pretrained net with a head for the task in place of its own.

    An OOD detector of the pretrained net knows its training images, not these, and is left out, as is its classifier.
    Under a classifier that is no linear layer, the net's own last layer is of zeros: it is not used.
    """
    linear = head if isinstance(head, Head) else None
    width = backbone.tensors[f"{backbone.head}.weight"].shape[1]
    tensors: dict[str, NDArray[np.generic]] = {
        **backbone.tensors,
        f"{backbone.head}.weight": linear.weight if linear else np.zeros((task.outputs, width), np.float32),
        f"{backbone.head}.bias": linear.bias if linear else np.zeros(task.outputs, np.float32),
    }
    model = dataclasses.replace(
        backbone,
        task=task,
        options={**backbone.options, "classes": task.outputs},
        tensors=tensors,
        classifier="",
        extras=dict(backbone.input_tensors),
        strategy="features",
    )
    return model if isinstance(head, Head) else with_classifier(model, head)
