"""The score of a recipe: trained on the training images of each validation part, and judged on that part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from striate.data.augment.augmentation import Augmentation
from striate.learning.head import fit_on
from striate.learning.planning import scratch_pixels
from striate.learning.prepare import Prepared
from striate.recipe import Recipe
from striate.tasks import Evaluation
from striate.tuning.trial_data import Parts, TrialData, rows_of

if TYPE_CHECKING:  # it imports torch
    from striate.learning.trainer import Trainer
    from striate.transfer.head import Head

Floats = NDArray[np.float32]
OnEpoch = Callable[[int, float], None]  # epochs done, and the score on the validation part

_HEAD_KEYS = ("head.kind", "head.cv_folds", "data.balance", "loss.name")  # what the head of fine-tuning depends on


def _ignore(epoch: int, score: float) -> None:
    pass


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores recipes on the same validation parts.

    What is the same for many trials is found once: heads that fine-tuning starts from, and whether flips confuse.
    """

    data: TrialData
    parts: Sequence[Parts]
    _heads: dict[tuple[Any, ...], Head] = field(default_factory=dict)
    _flips: dict[tuple[Any, ...], float | None] = field(default_factory=dict)

    def evaluate(self, recipe: Recipe, on_epoch: OnEpoch = _ignore) -> Evaluation:
        """The evaluation of all validation parts together.

        on_epoch: told the score after each epoch on the first part; it may raise to end the trial.
        Raises RequestError for a recipe that cannot be trained by, WorkError if training fails, as by divergence.
        """
        net = recipe.net.name or self.data.plan.net
        predictions, targets = [], []
        for number, parts in enumerate(self.parts):
            if self.data.strategy == "features":
                prepared = self.data.inner(net, False, parts)
                found = _head_predictions(prepared, recipe)
            else:
                prepared = self._settled(recipe, net, parts)
                found = self._trained(net, prepared, parts, on_epoch if number == 0 else _ignore)
            predictions.append(found)
            targets.append(prepared.split.targets(rows_of(prepared)[1]))
        name = "validation" if len(self.parts) == 1 else "cross-validation"
        return self.data.task.evaluate(name, np.concatenate(predictions), np.concatenate(targets))

    def _settled(self, recipe: Recipe, net: str, parts: Parts) -> Prepared:
        """The data of a part, with the recipe that has the strategy's defaults.

        Precision and compiling are not timed in each trial: unset, they are float32 and not compiled.
        """
        from striate.learning.checks import TIMED
        from striate.learning.strategies.finetune import moves, with_defaults
        from striate.learning.strategies.scratch import chosen_augment

        given = recipe.augment
        plain = {key: value for key, value in TIMED.items() if recipe.value(key) == "auto"}
        recipe = recipe.updated({**plain, "strategy": self.data.strategy})
        if self.data.strategy == "finetune":
            recipe = with_defaults(recipe)
            larger = moves(recipe)
        else:
            pixels = scratch_pixels(net, self.data.summary, recipe.net.options)
            recipe = recipe.updated({"augment": chosen_augment(recipe.augment, pixels)})
            larger = Augmentation.of(recipe.augment).zooms and self.data.summary.side > pixels.height
        prepared = dataclasses.replace(self.data.inner(net, larger, parts), recipe=recipe)
        if given.preset != "auto" or given.flip is not None or not recipe.augment.flip:
            return prepared
        return self._with_flip(prepared, given, (net, larger, parts))

    def _with_flip(self, prepared: Prepared, given: Any, key: tuple[Any, ...]) -> Prepared:
        """The data with the default flip, or without it where mirroring confuses the classes."""
        from striate.learning.mirroring import with_tested_flip

        if key not in self._flips:
            self._flips[key] = with_tested_flip(prepared, given)[0].recipe.augment.flip
        augment = dataclasses.replace(prepared.recipe.augment, flip=self._flips[key])
        return dataclasses.replace(prepared, recipe=prepared.recipe.updated({"augment": augment}))

    def _trained(self, net: str, prepared: Prepared, parts: Parts, on_epoch: OnEpoch) -> Floats:
        """Train by gradient steps, without checkpoints, and predict the images that judge."""
        from striate.learning.trainer import threads_for
        from striate.training.evaluation import predictions
        from striate.training.loop import fit
        from striate.tuning.each_epoch import EachEpoch

        trainer, (train, judged) = self._trainer(net, prepared, parts), rows_of(prepared)
        ready = trainer.ready(train)
        validation = trainer.evaluation_examples(judged, *ready.state.normalised_by)
        with threads_for(trainer.net, prepared.recipe.train.batch):
            fit(
                ready.module,
                ready.examples,
                prepared.recipe,
                held_out=validation,
                hooks=[*ready.state.hooks, EachEpoch(on_epoch)],
                rates=ready.rates,
            )
            return predictions(ready.module, validation)

    def _trainer(self, net: str, prepared: Prepared, parts: Parts) -> Trainer:
        from striate.learning.strategies.finetune import Pretrained, linear_head
        from striate.learning.strategies.scratch import random_weights
        from striate.learning.trainer import Trainer

        if self.data.strategy == "scratch":
            return Trainer(net, prepared, self.data.context, random_weights)
        features, values = prepared.features, prepared.recipe.values()
        assert features is not None
        key = (net, parts, *(values[name] for name in _HEAD_KEYS))
        if key not in self._heads:
            train = prepared.split.rows("train")
            self._heads[key] = linear_head(prepared.split, features.matrix, prepared.recipe, train)
        pretrained = Pretrained(features, self._heads[key])
        return Trainer(features.extractor.backbone.net, prepared, self.data.context, pretrained.initial)


def _head_predictions(prepared: Prepared, recipe: Recipe) -> Floats:
    assert prepared.features is not None
    matrix, (_, judged) = prepared.features.matrix, rows_of(prepared)
    head = fit_on(prepared.split, matrix, recipe)
    return prepared.split.audit.task.predictions(head.logits(matrix[judged]))
