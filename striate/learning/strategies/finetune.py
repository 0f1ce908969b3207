"""Strategy "finetune": first the head, as in "features", then the head with the upper stages of the pretrained net."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.augment.augmentation import Augmentation
from striate.data.sources.base import Source
from striate.data.splits import folds_of, possible_folds
from striate.inference.backbones import net_of, normalised
from striate.learning.checks import FINETUNED_RATE
from striate.learning.context import RunContext
from striate.learning.evaluating import evaluate, train_with_folds
from striate.learning.extensions import Extensions
from striate.learning.gain import EPOCHS
from striate.learning.head import HeadFit, fit_on, with_head
from striate.learning.history import Row
from striate.learning.mirroring import with_tested_flip
from striate.learning.ood import open_ood
from striate.learning.planning import Plan, check_linear_head
from striate.learning.prepare import Features, Prepared, prepare_features, with_images
from striate.learning.result import TrainResult
from striate.learning.split import Split
from striate.learning.strategies.features import fit_head
from striate.learning.trainer import Fitted, InitialState, OnEpoch, Trainer
from striate.model import Model
from striate.nets.base import Net
from striate.recipe import Recipe
from striate.training.evaluation import validate
from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.view import View
from striate.transfer.head import Head
from striate.transfer.unfreezing import Unfreezing, rates, recalibrate_batch_norms, trained_stages

AUGMENT = {"crop": (0.5, 1.0), "flip": 0.5}  # benchmarks/finetune.py
ASIDE = 6  # the training images are split into this many parts; one shows whether fine-tuning helped
FEW = 1000  # images: with fewer, the part set aside is trained on too afterwards
AT_ONCE = 32  # images per batch without gradient
_IN_PLACE = {"flip", "colour", "lighting", "cutout", "pixel_dropout", "mixup"}  # use nothing from outside the crop


def train(source: Source, plan: Plan, recipe: Recipe, context: RunContext, extensions: Extensions) -> TrainResult:
    """Fit a head on `plan.net`, then train it with the upper stages. Raises RequestError if that is impossible.

    If training images set aside show that fine-tuning did not help, the model is the pretrained net with that head.
    """
    check_linear_head("finetune", recipe.head.kind)
    ood = open_ood(recipe.data.ood)
    prepared = prepare_features(source, plan.net, recipe, context)
    return from_fitted_head(prepared, fit_head(prepared, context), ood, context, extensions)


def from_fitted_head(
    prepared: Prepared, fitted: HeadFit, ood: Source | None, context: RunContext, extensions: Extensions
) -> TrainResult:
    """The result of fine-tuning the pretrained net from the fitted head on."""
    given, recipe = prepared.recipe.augment, with_defaults(prepared.recipe)
    prepared = dataclasses.replace(prepared, recipe=recipe)
    features = prepared.features
    assert features is not None
    if not isinstance(fitted.head, Head):  # of "auto"; a linear one is trained with the stages
        prepared = dataclasses.replace(prepared, recipe=(recipe := recipe.updated({"head.kind": "logistic"})))
        fitted = fit_head(prepared, context)
    assert isinstance(fitted.head, Head)
    pretrained = Pretrained(features, fitted.head)
    prepared = with_images(prepared, context, larger=moves(recipe))
    with context.stage("test mirroring"):
        prepared, notes = with_tested_flip(prepared, given)
    backbone = features.extractor.backbone
    trained = train_with_folds(Trainer(backbone.net, prepared, context, pretrained.initial, extensions), pretrained.fit)
    if trained.out_of_fold is None:
        trained = dataclasses.replace(trained, out_of_fold=fitted.out_of_fold)
    model = dataclasses.replace(trained.fitted.model, task=fitted.task)
    tuned = model.backbone_key != backbone.backbone_key
    facts: dict[str, Any] = {
        "loss.label_smoothing": recipe.loss.smoothing,
        "C": fitted.head.C,
        "unfrozen": trained_stages(net_of(backbone), recipe.finetune.unfreeze) if tuned else [],
        "weights": backbone.training,
    }
    result = evaluate(trained, model, ood, facts)
    return dataclasses.replace(result, notes=(*notes, *result.notes))


def with_defaults(recipe: Recipe) -> Recipe:
    """The recipe with this strategy's defaults.

    Default label smoothing is for training from scratch; here it would pull the head away from the probabilities that
    it was fitted to: in measurements the held-out loss then rose from the first epoch on.
    """
    return recipe.updated(
        {
            "train.epochs": recipe.train.epochs or EPOCHS,
            "optimizer.lr": recipe.optimizer.lr or FINETUNED_RATE,
            "augment": recipe.augment.settled(AUGMENT),
            "loss.label_smoothing": recipe.loss.label_smoothing or 0.0,
        }
    )


def moves(recipe: Recipe) -> bool:
    """Whether the augmentation uses what is outside the crop, so that images need a margin."""
    return bool(set(Augmentation.of(recipe.augment).transforms) - _IN_PLACE)


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A pretrained net under a fitted head, from which fine-tuning starts. head: fitted to all training images."""

    features: Features
    head: Head

    def head_for(self, trainer: Trainer, rows: list[int]) -> Head:
        """The head fitted to the images at `rows`."""
        split = trainer.data.split
        if rows == split.rows("train"):
            return self.head
        return linear_head(split, self.features.matrix, trainer.recipe, rows)

    def model(self, trainer: Trainer, rows: list[int]) -> Model:
        """The pretrained net with that head."""
        model = with_head(self.features.extractor.backbone, self.head_for(trainer, rows), trainer.task)
        return dataclasses.replace(model, strategy=trainer.recipe.strategy)

    def initial(self, trainer: Trainer, rows: list[int]) -> InitialState:
        """The pretrained net with a head fitted to the images at `rows`, to be unfrozen from the top."""
        recipe = trainer.recipe
        net = net_of(self.model(trainer, rows))
        if recipe.finetune.batch_norm == "recalibrated":
            recalibrate_batch_norms(net, recipe.finetune.unfreeze, self._batches(trainer, rows))
            matrix = np.full(self.features.matrix.shape, np.nan, np.float32)
            matrix[rows] = _embedded(net, self._batches(trainer, rows))
            _put_head(net, linear_head(trainer.data.split, matrix, recipe, rows))
        shares = rates(net, recipe.finetune.unfreeze, recipe.finetune.layer_decay)
        hook = Unfreezing(net, recipe.finetune.unfreeze, recipe.finetune.batch_norm)
        tensors = self.features.extractor.backbone.input_tensors
        return InitialState(net, trainer.data.pixels, tensors, rates=shares, hooks=(hook,), fitted=True)

    def _batches(self, trainer: Trainer, rows: list[int]) -> Iterator[Tensor]:
        """The images at `rows`, normalised, in batches."""
        for start in range(0, len(rows), AT_ONCE):
            yield normalised(trainer.images.exact(rows[start : start + AT_ONCE]), self.features.extractor.backbone)

    def fit(self, trainer: Trainer, rows: list[int], held_out: list[int], on_epoch: OnEpoch, stage: str) -> Fitted:
        """A model fine-tuned on the images at `rows`, and its history on a part of them set aside, from epoch 0 on.

        `held_out` is not used: the model is evaluated on it.
        """
        aside = _aside(trainer, rows)
        if not aside:
            return trainer.fit(rows, [], on_epoch, stage)
        start = _AtStart(trainer, aside, on_epoch, self.features.extractor.backbone)
        tuned_on = sorted(set(rows) - set(aside))
        fitted = dataclasses.replace(trainer, hooks=(*trainer.hooks, start)).fit(tuned_on, aside, on_epoch, stage)
        before, after = start.row["held_out_loss"], _chosen(trainer, fitted.history)["held_out_loss"]
        model = fitted.model
        said = f"On {len(aside)} training images set aside, fine-tuning took the loss from {before:.3f} to {after:.3f}"
        if after >= before:
            said += ", so it did not help: the model is the pretrained net with a new head"
            model = self.model(trainer, rows)
        elif len(rows) < FEW and not trainer.recipe.train.keeps_best:
            said += "; then they were trained on too"
            again = "again" if stage == "train" else f"{stage}-again"
            model = trainer.fit(rows, [], lambda row: None, again).model
        return Fitted(model, (start.row, *fitted.history), (f"{said}.",))


def linear_head(split: Split, features: NDArray[np.float32], recipe: Recipe, rows: list[int]) -> Head:
    """The head fitted to the images at `rows`; a logistic one, where "auto" would choose one that is not linear."""
    head = fit_on(split, features, recipe, rows)
    if not isinstance(head, Head):
        head = fit_on(split, features, recipe.updated({"head.kind": "logistic"}), rows)
    assert isinstance(head, Head)
    return head


class _AtStart(Hook):
    """Epoch 0 of the history: the net as it starts, evaluated on the images at `rows`."""

    def __init__(self, trainer: Trainer, rows: list[int], on_epoch: OnEpoch, backbone: Model) -> None:
        self.trainer, self.rows, self.on_epoch, self.backbone = trainer, rows, on_epoch, backbone
        self.row: Row = {}

    def start(self, loop: LoopState) -> None:
        examples = self.trainer.evaluation_examples(self.rows, self.backbone.pixels, self.backbone.input_tensors)
        view = View(examples, loop.device)
        found = validate(loop.net.eval(), view, loop.held_out_loss, precision=loop.recipe.train.precision)
        self.row = {"epoch": 0, loop.examples.task.metric.curve_key: found.score, "held_out_loss": found.loss}
        self.on_epoch(self.row)


def _aside(trainer: Trainer, rows: list[int]) -> list[int]:
    """The part of the images that is set aside; none if groups must stay together."""
    audit, seed = trainer.data.split.audit, trainer.recipe.seed
    count = possible_folds(audit, ASIDE, rows)
    return [] if count < 2 else np.flatnonzero(folds_of(audit, count, seed, rows) == 0).tolist()


def _chosen(trainer: Trainer, history: tuple[Row, ...]) -> Row:
    """The epoch of the final weights."""
    metric, chosen = trainer.task.metric, history[-1]
    if trainer.recipe.train.keeps_best:
        for row in reversed(history):  # the first on a tie
            chosen = chosen if metric.better(chosen[metric.curve_key], row[metric.curve_key]) else row
    return chosen


@torch.no_grad()
def _embedded(net: Net, batches: Iterator[Tensor]) -> NDArray[np.float32]:
    return torch.cat([net.eval().embed(images) for images in batches]).numpy()


@torch.no_grad()
def _put_head(net: Net, head: Head) -> None:
    assert isinstance(net.head, nn.Linear)
    net.head.weight.copy_(torch.from_numpy(head.weight))
    net.head.bias.copy_(torch.from_numpy(head.bias))
