"""Strategy "scratch": a net from random weights, trained by gradient descent on decoded images."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from torch import nn

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.statistics import NORMALISATIONS, measure
from striate.data.augment.whitening import check_whitening, fit_zca
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.learning.context import RunContext
from striate.learning.dense_defaults import dense_defaults
from striate.learning.evaluating import Trained, evaluate, train_with_folds
from striate.learning.extensions import Extensions
from striate.learning.mirroring import with_tested_flip
from striate.learning.ood import open_ood
from striate.learning.planning import DataSummary, Plan, scratch_pixels
from striate.learning.prepare import Prepared, prepare_images
from striate.learning.result import TrainResult
from striate.learning.trainer import InitialState, Trainer, on_meta
from striate.model import Model
from striate.nets.build import check_options, create_for
from striate.pixels import Pixels
from striate.recipe import Recipe
from striate.recipe.augment import Augment
from striate.tasks import Task


def train(
    source: Source, plan: Plan, summary: DataSummary, recipe: Recipe, context: RunContext, extensions: Extensions
) -> TrainResult:
    """Train `plan.net` from random weights. Raises RequestError for data that cannot be trained on."""
    _check(recipe, plan.net)
    recipe = dense_defaults(recipe) if source.task.dense else recipe
    ood, pixels = open_ood(recipe.data.ood), scratch_pixels(plan.net, summary, recipe.net.options)
    if ood and not has_embedding(plan.net, source.task, pixels):
        raise RequestError(
            f"{plan.net} does not end in a linear layer, so it has no feature space to detect OOD images in; "
            "choose another net, or omit --ood"
        )
    if recipe.input.normalise == "zca":
        check_whitening(pixels.height, pixels.width, pixels.channels)
    given, recipe = recipe.augment, recipe.updated({"augment": chosen_augment(recipe.augment, pixels)})
    larger = Augmentation.of(recipe.augment).zooms and summary.side > pixels.height
    prepared = _with_epochs(prepare_images(source, pixels, recipe, context, larger=larger))
    with context.stage("test mirroring"):
        prepared, notes = with_tested_flip(prepared, given)
    trained = train_with_folds(Trainer(plan.net, prepared, context, random_weights, extensions))
    with context.stage("predict"):
        model = _with_thresholds(trained)
    result = evaluate(trained, model, ood, {})
    return dataclasses.replace(result, notes=(*notes, *result.notes))


def random_weights(trainer: Trainer, rows: list[int]) -> InitialState:
    """Random weights, and the normalisation measured on the images at `rows`."""
    recipe = trainer.recipe
    how = recipe.input.normalise
    found = measure(trainer.images.exact_array, trainer.images.places[rows])
    centre, deviation = found.normalisation(how if how in NORMALISATIONS else "mean-pixel")
    pixels = dataclasses.replace(trainer.data.pixels, mean=tuple(found.mean.tolist()), std=tuple(deviation.tolist()))
    tensors: dict[str, NDArray[np.float32]] = {}
    if how == "mean-image":
        tensors["mean_image"] = centre.astype(np.float32)
    if how in ("gcn", "zca"):
        pixels = dataclasses.replace(pixels, contrast=recipe.input.gcn_scale)
    if how == "zca":
        with trainer.context.progress.bar("Whitening", 1) as bar:
            whitening = fit_zca(
                trainer.images.exact_array,
                trainer.images.places[rows],
                contrast=pixels.contrast,
                epsilon=recipe.input.zca_epsilon,
            )
            bar.advance()
        tensors |= {"zca.weight": whitening.weight, "zca.bias": whitening.bias}
    net = create_for(
        trainer.task,
        trainer.net,
        in_channels=pixels.channels,
        input_size=(pixels.height, pixels.width),
        options=recipe.net.options,
    )
    return InitialState(net, pixels, tensors)


def chosen_augment(augment: Augment, pixels: Pixels) -> Augment:
    """The augmentation of training images, with the preset "auto" resolved."""
    # Digits and grey drawings are not flipped; a sixteenth is half the shift of He et al. on CIFAR's 32 pixels.
    shift: dict[str, float] = {"shift": max(1, min(pixels.height, pixels.width) // 16)}
    return augment.settled(shift | ({"flip": 0.5} if pixels.channels == 3 else {}))


def has_embedding(net: str, task: Task, pixels: Pixels) -> bool:
    """Whether the net of that name ends in a linear layer, and so has a feature space before it."""
    return isinstance(getattr(on_meta(net, task, pixels), "head", None), nn.Linear)


def _check(recipe: Recipe, net: str) -> None:
    """Raise RequestError for an invalid combination, before anything is decoded."""
    if recipe.data.folds and recipe.train.keeps_best:
        what = "train.patience" if recipe.train.patience else "train.keep_checkpoint = 'best'"
        raise RequestError(
            f"{what} would choose the epoch on the images that a fold is evaluated on; with folds, set train.epochs"
        )
    check_options(net, recipe.net.options)


def _with_epochs(prepared: Prepared) -> Prepared:
    """The same data with the number of epochs chosen by the number of training images, unless it is set."""
    recipe = prepared.recipe
    epochs = recipe.train.chosen_epochs(len(prepared.split.rows("train")))
    return dataclasses.replace(prepared, recipe=recipe.updated({"train.epochs": epochs}))


def _with_thresholds(trained: Trained) -> Model:
    """The model, with thresholds if its task has any: from the folds, else "val" if there is a "test", else "train"."""
    model, trainer, out_of_fold = trained.fitted.model, trained.trainer, trained.out_of_fold
    if not model.task.decision_thresholds:
        return model
    rows, predictions = _for_thresholds(trainer, model, out_of_fold)
    task = model.task.with_thresholds(predictions, trainer.data.split.targets(rows))
    return dataclasses.replace(model, task=task)


def _for_thresholds(
    trainer: Trainer, model: Model, out_of_fold: NDArray[np.float32] | None
) -> tuple[list[int], NDArray[np.float32]]:
    """The images that the thresholds are fitted on, and their predictions."""
    split = trainer.data.split
    if out_of_fold is not None:
        rows = np.flatnonzero(np.isfinite(out_of_fold[:, 0])).tolist()
        return rows, out_of_fold[rows]
    rows = split.rows("val") if split.held_out_part == "test" and split.rows("val") else split.rows("train")
    return rows, trainer.predictor(model).predictions(trainer.images.exact(rows))
