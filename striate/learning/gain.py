"""Whether fine-tuning is worth its time: the gain expected from the head's cross-validated error, from data alone.

No time is measured for the choice: the same images get the same strategy on any machine, with folds and without.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from striate.inference.predictor import Predictor
from striate.learning.head import HeadFit, cross_validated_head
from striate.learning.prepare import Prepared
from striate.learning.split import Split
from striate.recipe import Recipe
from striate.tasks import Evaluation

SIMILAR = 0.5  # mean confidence over the pretraining classes; see `similarity`
LOOKED = 1000  # images that the similarity is measured on
# The share of the head's errors that fine-tuning removes: a rule of thumb. Measured: 0.08 of them on the 244
# photographs of ants and bees (benchmarks/finetune.py); on 1,088 of flowers, which are different, none could be told.
# More images, and less similar ones, leave more to be learnt than the head can hold: Stanford's CS231n notes on
# transfer learning.
REMOVED, REMOVED_AT, MOST, DIFFERENT = 0.08, 250, 0.5, 1.5
LEAST = 0.005  # a gain below half a point is not worth minutes
EPOCHS = 4  # of fine-tuning, unless the recipe sets them (benchmarks/finetune.py)
PASSES = 12_000  # images times epochs: with more, fine-tuning is only suggested


@dataclass(frozen=True)
class Gain:
    """What fine-tuning is expected to bring.

    error: of the head, cross-validated, a share; noise: half its 95 % interval. removed: the share of the error that
    fine-tuning is expected to remove. similarity: to the pretraining data. passes: images times epochs.
    """

    error: float
    noise: float
    removed: float
    similarity: float
    passes: int

    @property
    def expected(self) -> float:
        """The expected reduction of the error."""
        return self.error * self.removed

    @property
    def worth(self) -> bool:
        """Whether the gain is larger than the noise and than half a point."""
        return self.expected > max(self.noise, LEAST)

    @property
    def affordable(self) -> bool:
        """Whether there are few enough images to fine-tune without being asked to."""
        return self.passes <= PASSES


def expected_gain(prepared: Prepared, fitted: HeadFit) -> Gain | None:
    """The gain that is expected of fine-tuning; None for a task whose metric is not a share."""
    split, task = prepared.split, prepared.split.audit.task
    if not task.metric.share:
        return None
    if split.folds is not None:  # the head of a run without folds, so that both choose the same
        recipe = prepared.recipe.updated({"data.folds": Recipe().data.folds})
        split = Split.make(split.audit, recipe)
        assert prepared.features is not None
        fitted = cross_validated_head(split, prepared.features.matrix, recipe)
    rows = [row for row in split.rows("train") if np.isfinite(fitted.out_of_fold[row, 0])]
    if not rows:
        return None
    evaluation: Evaluation = task.evaluate("out of fold", fitted.out_of_fold[rows], split.targets(rows))
    low, high = evaluation.interval
    likeness = similarity(prepared)
    removed = removed_share(len(rows), likeness)
    passes = len(rows) * (prepared.recipe.train.epochs or EPOCHS)
    return Gain(1 - evaluation.score, (high - low) / 2, removed, likeness, passes)


def removed_share(images: int, similarity: float) -> float:
    """The share of the head's errors that fine-tuning on a number of images is expected to remove."""
    different = 1 if similarity >= SIMILAR else DIFFERENT
    return min(MOST, REMOVED * math.sqrt(images / REMOVED_AT) * different)


def similarity(prepared: Prepared) -> float:
    """The mean top-1 probability of the pretrained net over its own classes, on up to 1,000 of the images.

    Measured: 0.78 on ImageNet's photographs and 0.69 on ants and bees, but 0.32 on objects on a turntable and on
    CIFAR-10, 0.20 on grey faces, 0.14 on digits and on noise.
    """
    features = prepared.features
    assert features is not None
    model = features.extractor.backbone
    if not model.tensors[f"{model.head}.weight"].any():  # a head put in place of class maps knows no classes
        return 1.0
    step = max(1, len(features.matrix) // LOOKED)
    logits = Predictor(model, engine=features.extractor.engine).logits(features.matrix[::step][:LOOKED])
    return float(model.task.predictions(logits).max(axis=1).mean())
