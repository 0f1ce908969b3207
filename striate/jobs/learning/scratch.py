"""Strategy "scratch": a net from random weights, trained by the plain loop on decoded images, packed or in memory."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import audit, require_learnable
from striate.data.audit.looking import look
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.inference.classifier import Classifier
from striate.inference.engine import engine_version
from striate.jobs.clock import Clock
from striate.jobs.learning.judging import REFERENCE, least_typical, meet_strangers, open_strangers
from striate.jobs.learning.learned import Learned, Log, Lots
from striate.jobs.learning.scratch_model import ScratchJob, has_embedding, settings_of
from striate.jobs.learning.stock import stocked
from striate.jobs.measure import thresholds
from striate.model import Model
from striate.progress import Progress
from striate.recipe import Recipe
from striate.transfer.strategy import Glance, Plan, scratch_pixels


def learn_scratch(
    source: Source, plan: Plan, seen: Glance, recipe: Recipe, clock: Clock, progress: Progress, log: Log
) -> Learned:
    """Train `plan.net` from random weights. Raises RequestError where the data cannot be learnt from."""
    strangers = open_strangers(recipe.strangers)
    pixels = scratch_pixels(plan.net, seen)
    if strangers and not has_embedding(plan.net, source.task, pixels):
        raise RequestError(
            f"{plan.net} ends in no linear layer, so there is no feature space to tell strangers in; choose another net"
        )
    settings, augmentation = settings_of(recipe, pixels)
    with clock.stage("look"):
        stock = stocked(source, pixels, roomy=augmentation.zooms and seen.side > pixels.height, progress=progress)
    found = audit(source, stock.pairs, progress=progress)
    require_learnable(found, source.name)
    lots = Lots.drawn(found, recipe)
    job = ScratchJob(plan.net, lots, stock.of(found.usable), settings, recipe, pixels, progress)
    held = lots.rows(lots.measured_part)
    unseen: NDArray[np.float32] | None = None
    if lots.folds is not None:
        with clock.stage("train the folds"):
            unseen = _fold_by_fold(job, lots.folds, recipe)
    with clock.stage("train"):
        watched = lots.rows("val") or held  # where there is a "test", nobody looks at it before the end
        model, curve = job.trained(lots.rows("train"), watched, lambda row: log("epoch", row))
    with clock.stage("answer"):
        model = _with_thresholds(model, job, unseen, recipe)
        classifier = Classifier(model, engine=recipe.engine, precision="float32")
        answers = classifier.answers(job.images.exact(held))
    learned = Learned(
        model,
        lots,
        answers,
        f"{classifier.engine_name} {engine_version(classifier.engine_name)}, float32",
        "float32",
        unseen=unseen,
        views=job.views if augmentation.transforms else None,
        curve=curve,
        facts={"epochs": job.settings_for(len(lots.rows("train"))).epochs, "augment": settings.augment},
        notes=[classifier.engine_note] if classifier.engine_note else [],
    )
    with clock.stage("answer"):
        _judge(learned, job, classifier, strangers)
    return learned


def _fold_by_fold(job: ScratchJob, folds: NDArray[np.int64], recipe: Recipe) -> NDArray[np.float32]:
    """Answers [usable, outputs] by nets that had not seen the image; NaN for images outside the folds."""
    answers = np.full((len(folds), job.lots.audit.task.outputs), np.nan, np.float32)
    for fold in range(int(folds.max()) + 1):
        rows, held = np.flatnonzero((folds >= 0) & (folds != fold)).tolist(), np.flatnonzero(folds == fold).tolist()
        model, _ = job.trained(rows, [], lambda row: None, what=f"Training fold {fold + 1}")
        answers[held] = Classifier(model, engine=recipe.engine, precision="float32").answers(job.images.exact(held))
    return answers


def _with_thresholds(model: Model, job: ScratchJob, unseen: NDArray[np.float32] | None, recipe: Recipe) -> Model:
    """Of labels, with the thresholds measured: on the folds, else on "val" beside a "test", else on what was learnt."""
    if model.task.kind != "labels":
        return model
    lots = job.lots
    rows = lots.rows("val") if lots.measured_part == "test" and lots.rows("val") else lots.rows("train")
    if unseen is not None:
        rows = np.flatnonzero(np.isfinite(unseen[:, 0])).tolist()
        answers = unseen[rows]
    else:
        answers = Classifier(model, engine=recipe.engine, precision="float32").answers(job.images.exact(rows))
    task = dataclasses.replace(model.task, thresholds=thresholds(answers, lots.targets(rows)))
    return dataclasses.replace(model, task=task)


def _judge(learned: Learned, job: ScratchJob, classifier: Classifier, strangers: Source | None) -> None:
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
