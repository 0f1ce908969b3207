"""Strategy "scratch": a net from random weights, trained by the plain loop on decoded images, packed or in memory."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from torch import nn

from striate.data.audit.audit import audit, require_learnable
from striate.data.augment.augmentation import Augmentation
from striate.data.augment.statistics import measure
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.jobs.learning.judging import open_strangers
from striate.jobs.learning.learned import Learned, Lots
from striate.jobs.learning.net_job import Beginning, NetJob, weightless
from striate.jobs.learning.site import Site
from striate.jobs.learning.stock import stocked
from striate.jobs.learning.taught import taught
from striate.jobs.measure import thresholds
from striate.model import Model
from striate.nets.build import check_options, create
from striate.pixels import Pixels
from striate.recipe import Recipe
from striate.recipe.augment import Augment
from striate.task import Task
from striate.transfer.strategy import Glance, Plan, scratch_pixels


def learn_scratch(source: Source, plan: Plan, seen: Glance, recipe: Recipe, site: Site) -> Learned:
    """Train `plan.net` from random weights. Raises RequestError where the data cannot be learnt from."""
    if recipe.data.folds and recipe.train.keeps_best:
        what = "train.patience" if recipe.train.patience else "train.keep_checkpoint = 'best'"
        raise RequestError(
            f"{what} would choose the epoch by the images that a fold is measured on; with folds, give train.epochs"
        )
    check_options(plan.net, recipe.net.options)
    strangers = open_strangers(recipe.data.ood)
    pixels = scratch_pixels(plan.net, seen)
    if strangers and not has_embedding(plan.net, source.task, pixels):
        raise RequestError(
            f"{plan.net} ends in no linear layer, so there is no feature space to tell strangers in; choose another net"
        )
    recipe = recipe.updated({"augment": chosen_augment(recipe.augment, pixels)})
    augmentation = Augmentation.of(recipe.augment)
    with site.clock.stage("look"), site.processes.in_turn():
        roomy = augmentation.zooms and seen.side > pixels.height
        stock = stocked(source, pixels, roomy=roomy, progress=site.progress)
    found = audit(source, stock.pairs, progress=site.progress)
    require_learnable(found, source.name)
    lots = Lots.drawn(found, recipe)
    recipe = site.settle(recipe, {"train.epochs": recipe.train.chosen_epochs(len(lots.rows("train")))})
    job = NetJob(plan.net, lots, stock.of(found.usable), recipe, pixels, site, from_nothing)
    return taught(job, strangers, thresholds=_with_thresholds, facts={})


def from_nothing(job: NetJob, rows: list[int]) -> Beginning:
    """Random weights, and the normalisation measured on the images of `rows`."""
    found = measure(job.images.arrays[0], job.images.places[rows])
    centre, deviation = found.normalisation(job.recipe.input.normalise)
    pixels = dataclasses.replace(job.pixels, mean=tuple(found.mean.tolist()), std=tuple(deviation.tolist()))
    size = (pixels.height, pixels.width)
    net = create(
        job.net,
        classes=job.lots.audit.task.outputs,
        in_channels=pixels.channels,
        input_size=size,
        options=job.recipe.net.options,
    )
    return Beginning(net, pixels, centre.astype(np.float32) if job.recipe.input.normalise == "mean-image" else None)


def chosen_augment(augment: Augment, pixels: Pixels) -> Augment:
    """How training images are augmented, with the preset "auto" chosen."""
    # Digits and grey drawings are not mirrored; a sixteenth is what He et al. shift CIFAR's 32 pixels by, halved.
    shift: dict[str, float] = {"shift": max(1, min(pixels.height, pixels.width) // 16)}
    return augment.settled(shift | ({"flip": 0.5} if pixels.channels == 3 else {}))


def has_embedding(net: str, task: Task, pixels: Pixels) -> bool:
    """Whether the net of that name ends in a linear layer, and so has a feature space below it."""
    return isinstance(weightless(net, task, pixels).head, nn.Linear)


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
        answers = job.classifier(model).answers(job.images.exact(rows))
    task = dataclasses.replace(model.task, thresholds=thresholds(answers, lots.targets(rows)))
    return dataclasses.replace(model, task=task)
