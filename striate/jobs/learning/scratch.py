"""Strategy "scratch": a net from random weights, trained by the plain loop on decoded images, packed or in memory."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.data.audit.audit import audit, require_learnable
from striate.data.audit.looking import look
from striate.data.augment.augmentation import Augmentation
from striate.data.augment.statistics import measure
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.inference.classifier import Classifier
from striate.inference.engine import engine_version
from striate.jobs.learning.checks import checked, diagnosed, paced
from striate.jobs.learning.judging import REFERENCE, least_typical, meet_strangers, open_strangers
from striate.jobs.learning.learned import Learned, Lots
from striate.jobs.learning.net_job import Beginning, NetJob
from striate.jobs.learning.site import Site
from striate.jobs.learning.stock import stocked
from striate.jobs.measure import thresholds
from striate.model import Model
from striate.nets.build import create
from striate.pixels import Pixels
from striate.recipe import Recipe
from striate.task import Task
from striate.transfer.strategy import Glance, Plan, scratch_pixels

# Keys that a run chooses where they are left open, and that its model tells.
CHOSEN = ("epochs", "augment", "train_precision", "compile")


def learn_scratch(source: Source, plan: Plan, seen: Glance, recipe: Recipe, site: Site) -> Learned:
    """Train `plan.net` from random weights. Raises RequestError where the data cannot be learnt from."""
    strangers = open_strangers(recipe.strangers)
    pixels = scratch_pixels(plan.net, seen)
    if strangers and not has_embedding(plan.net, source.task, pixels):
        raise RequestError(
            f"{plan.net} ends in no linear layer, so there is no feature space to tell strangers in; choose another net"
        )
    recipe = recipe.changed({"augment": chosen_augment(recipe.augment, pixels)})
    augmentation = Augmentation.from_text(recipe.augment)
    with site.clock.stage("look"), site.processes.in_turn():
        roomy = augmentation.zooms and seen.side > pixels.height
        stock = stocked(source, pixels, roomy=roomy, progress=site.progress)
    found = audit(source, stock.pairs, progress=site.progress)
    require_learnable(found, source.name)
    lots = Lots.drawn(found, recipe)
    recipe = site.settle(recipe, epochs=recipe.chosen_epochs(len(lots.rows("train"))))
    job = NetJob(plan.net, lots, stock.of(found.usable), recipe, pixels, site, from_nothing)
    job = paced(job, lots.rows("train"))
    job, checks = checked(job, lots.rows("train"))
    held = lots.rows(lots.measured_part)
    unseen: NDArray[np.float32] | None = None
    if lots.folds is not None:
        with site.clock.stage("train the folds"):
            unseen = _fold_by_fold(job, lots.folds)
    with site.clock.stage("train"):
        watched = lots.rows("val") or held  # where there is a "test", nobody looks at it before the end
        model, curve = job.trained(lots.rows("train"), watched, lambda row: site.log("epoch", row))
    site.processes.others_end()
    with site.clock.stage("answer"):
        model = _with_thresholds(model, job, unseen)
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
        facts={key: getattr(job.recipe, key) for key in CHOSEN} | {"learning_rate": job.recipe.peak},
        checks=checks,
        remarks=diagnosed(job, lots.rows("train"), curve),
        notes=[classifier.engine_note] if classifier.engine_note else [],
    )
    with site.clock.stage("answer"):
        _judge(learned, job, classifier, strangers)
    return learned


def from_nothing(job: NetJob, rows: list[int]) -> Beginning:
    """Random weights, and the normalisation measured on the images of `rows`."""
    found = measure(job.images.arrays[0], job.images.places[rows])
    centre, deviation = found.normalisation(job.recipe.normalise)
    pixels = dataclasses.replace(job.pixels, mean=tuple(found.mean.tolist()), std=tuple(deviation.tolist()))
    size = (pixels.height, pixels.width)
    net = create(job.net, classes=job.lots.audit.task.outputs, in_channels=pixels.channels, input_size=size)
    return Beginning(net, pixels, centre.astype(np.float32) if job.recipe.normalise == "mean-image" else None)


def chosen_augment(augment: str, pixels: Pixels) -> str:
    """What training images are varied by, where that is left open."""
    if augment != "auto":
        return augment
    # Digits and grey drawings are not mirrored; a sixteenth is what He et al. shift CIFAR's 32 pixels by, halved.
    words = f"shift={max(1, min(pixels.height, pixels.width) // 16)}"
    return words + (" flip=0.5" if pixels.channels == 3 else "")


def has_embedding(net: str, task: Task, pixels: Pixels) -> bool:
    """Whether the net of that name ends in a linear layer, and so has a feature space below it."""
    with torch.device("meta"):  # no weights are drawn to ask
        made = create(net, classes=task.outputs, in_channels=pixels.channels, input_size=(pixels.height, pixels.width))
    return isinstance(made.head, nn.Linear)


def _fold_by_fold(job: NetJob, folds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Answers [usable, outputs] by nets that had not seen the image; NaN for images outside the folds."""
    answers = np.full((len(folds), job.lots.audit.task.outputs), np.nan, np.float32)
    for fold in range(int(folds.max()) + 1):
        rows, held = np.flatnonzero((folds >= 0) & (folds != fold)).tolist(), np.flatnonzero(folds == fold).tolist()
        model, _ = job.trained(rows, [], lambda row: None, f"fold-{fold + 1}")
        if not job.site.processes.first:
            continue
        answers[held] = Classifier(model, engine=job.recipe.engine, precision="float32").answers(job.images.exact(held))
    return answers


def _with_thresholds(model: Model, job: NetJob, unseen: NDArray[np.float32] | None) -> Model:
    """Of labels, with the thresholds measured: on the folds, else on "val" beside a "test", else on what was learnt."""
    if model.task.kind != "labels":
        return model
    lots = job.lots
    rows = lots.rows("val") if lots.measured_part == "test" and lots.rows("val") else lots.rows("train")
    if unseen is not None:
        rows = np.flatnonzero(np.isfinite(unseen[:, 0])).tolist()
        answers = unseen[rows]
    else:
        answers = Classifier(model, engine=job.recipe.engine, precision="float32").answers(job.images.exact(rows))
    task = dataclasses.replace(model.task, thresholds=thresholds(answers, lots.targets(rows)))
    return dataclasses.replace(model, task=task)


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
