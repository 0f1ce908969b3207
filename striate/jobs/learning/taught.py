"""A net taught by a job: its folds, itself, its answers on what was held out, and what its embedding tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.looking import look
from striate.data.augment.augmentation import Augmentation
from striate.data.sources.base import Source
from striate.inference.classifier import Classifier
from striate.inference.engine import engine_version
from striate.jobs.learning.checks import checked, diagnosed, paced
from striate.jobs.learning.judging import REFERENCE, least_typical, meet_strangers
from striate.jobs.learning.learned import Learned
from striate.jobs.learning.net_job import NetJob
from striate.model import Model

Unseen = NDArray[np.float32]

# Keys that a run chooses where they are left open, and that its model tells.
CHOSEN = ("train.epochs", "train.precision", "train.compile")


def taught(
    job: NetJob,
    strangers: Source | None,
    *,
    thresholds: Callable[[Model, NetJob, Unseen | None], Model],
    facts: dict[str, Any],
    unseen: Unseen | None = None,
) -> Learned:
    """Check what is to be checked, train the folds, where there are any, then the model, and measure it.

    thresholds: gives a model of labels those it is used with. unseen [usable, outputs]: answers by other models that
    had not seen the image, for where there are no folds.
    """
    lots, site, rows = job.lots, job.site, job.lots.rows("train")
    job, checks = checked(paced(job, rows), rows)
    recipe, held = job.recipe, lots.rows(lots.measured_part)
    if lots.folds is not None:
        with site.clock.stage("train the folds"):
            unseen = _fold_by_fold(job, lots.folds)
    with site.clock.stage("train"):
        watched = lots.rows("val") or held  # where there is a "test", nobody looks at it before the end
        model, curve = job.trained(rows, watched, lambda row: site.log("epoch", row))
    site.processes.others_end()
    with site.clock.stage("answer"):
        model = thresholds(model, job, unseen)
        classifier = job.classifier(model)
        augmentation = Augmentation.of(recipe.augment)
        answers = classifier.answers(job.images.exact(held))
    learned = Learned(
        model,
        lots,
        answers,
        f"{classifier.engine_name} {engine_version(classifier.engine_name)}, {classifier.precision}",
        classifier.precision,
        unseen=unseen,
        views=job.views if augmentation.transforms else None,
        curve=curve,
        recipe=recipe,
        facts={key: recipe.value(key) for key in CHOSEN}
        | {"optimizer.lr": recipe.optimizer.peak, "augment": augmentation.label()}
        | facts,
        checks=checks,
        remarks=diagnosed(job, rows, curve),
        notes=[classifier.engine_note] if classifier.engine_note else [],
    )
    with site.clock.stage("answer"):
        _judge(learned, job, classifier, strangers)
    return learned


def _fold_by_fold(job: NetJob, folds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Answers [usable, outputs] by nets that had not seen the image; NaN for images outside the folds."""
    answers = np.full((len(folds), job.lots.audit.task.outputs), np.nan, np.float32)
    for fold in range(int(folds.max()) + 1):
        rows, held = np.flatnonzero((folds >= 0) & (folds != fold)).tolist(), np.flatnonzero(folds == fold).tolist()
        model, _ = job.trained(rows, [], lambda row: None, f"fold-{fold + 1}")
        if not job.site.processes.first:
            continue
        answers[held] = job.classifier(model).answers(job.images.exact(held))
    return answers


def _judge(learned: Learned, job: NetJob, classifier: Classifier, strangers: Source | None) -> None:
    """The least typical images, and strangers: by the embedding below the linear head, where the net has one."""
    if not learned.model.head:
        return
    lots = learned.lots
    trained, held = lots.rows("train"), lots.rows(lots.measured_part)
    few = len(lots.parts) <= REFERENCE
    rows = list(range(len(lots.parts))) if few else sorted({*trained, *held}) if strangers else []
    if not rows:
        return
    embedded = classifier.embed(job.images.exact(rows))  # each image once, whatever it is wanted for
    if few:
        learned.distances = least_typical(embedded)
    if strangers:
        looked = [one for one in look(strangers, learned.model.pixels) if one.crop is not None]
        crops = np.stack([one.crop for one in looked if one.crop is not None]) if looked else job.images.exact([])
        seen = list(zip((one.item.key for one in looked), classifier.embed(crops), strict=True))
        meet_strangers(
            learned, strangers, seen, embedded[np.searchsorted(rows, trained)], embedded[np.searchsorted(rows, held)]
        )
