"""Strategy "finetune": the head first, as "features" fits it, then the top of the pretrained net learnt with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.augment.augmentation import Augmentation
from striate.data.sources.base import Source
from striate.data.splits import folds_of, possible_folds
from striate.inference.trunks import net_of
from striate.jobs.learning.features import Described, described, fitted, with_head, with_thresholds
from striate.jobs.learning.judging import open_strangers
from striate.jobs.learning.learned import Learned
from striate.jobs.learning.net_job import CURVE, Beginning, NetJob, Row, unit_of
from striate.jobs.learning.site import Site
from striate.jobs.learning.stock import stocked
from striate.jobs.learning.taught import taught
from striate.model import Model
from striate.nets.base import Net
from striate.recipe import Recipe
from striate.training.scores import better, judge
from striate.training.view import View, normalised
from striate.transfer.head import Head
from striate.transfer.strategy import Plan
from striate.transfer.unfreezing import Unfreezing, learnt_stages, measure_norms, rates

EPOCHS, RATE, AUGMENT = 4, 0.01, {"crop": (0.5, 1.0), "flip": 0.5}  # benchmarks/finetune.py
ASIDE = 6  # one of so many parts of the images judges whether learning the net has helped
FEW = 1000  # images: of fewer, each counts, and the part set aside is learnt from too once it has judged
AT_ONCE = 32  # images, where they are only looked at
_IN_PLACE = {"flip", "colour", "lighting", "cutout", "pixel_dropout", "mixup"}  # need nothing from beyond the crop


def learn_finetuned(source: Source, plan: Plan, recipe: Recipe, site: Site) -> Learned:
    """Learn a head on `plan.net`, then both it and the stages next to it. Raises RequestError where that cannot be.

    Where images set aside say that learning the net did not help, the model is the head alone.
    """
    strangers = open_strangers(recipe.data.ood)
    known = described(source, plan, recipe, site)
    lots, backbone = known.lots, known.by.backbone
    task = with_thresholds(lots, known.features, recipe, known.head.strength)
    recipe = site.settle(recipe, _choices(recipe))
    moves = set(Augmentation.of(recipe.augment).transforms) - _IN_PLACE
    with site.clock.stage("decode for training"):
        stock = stocked(source, backbone.pixels, roomy=bool(moves), progress=site.progress)
    images = stock.of(lots.audit.usable)
    job = _Finetuning(backbone.net, lots, images, recipe, backbone.pixels, site, _from_published, known)
    learned = taught(
        job,
        strangers,
        thresholds=lambda model, job, unseen: dataclasses.replace(model, task=task),
        facts={
            "loss.label_smoothing": recipe.loss.smoothing,
            "strength": known.head.strength,
            "unfrozen": learnt_stages(net_of(backbone), recipe.finetune.unfreeze),
            "weights": backbone.training,
        },
        unseen=known.unseen,
    )
    learned.notes += job.said
    if learned.model.trunk_key == backbone.trunk_key:
        learned.facts["unfrozen"] = []
    return learned


def _choices(recipe: Recipe) -> dict[str, Any]:
    """What this strategy fills in.

    Label smoothing, where it is unset, is for nets that learn from nothing; here it would pull the head away from
    the probabilities that it was fitted to: the loss on other images then grew from the first epoch on.
    """
    smoothing = recipe.loss.label_smoothing
    return {
        "train.epochs": recipe.train.epochs or EPOCHS,
        "optimizer.lr": recipe.optimizer.lr or RATE,
        "augment": recipe.augment.settled(AUGMENT),
        "loss.label_smoothing": 0.0 if smoothing is None else smoothing,
    }


@dataclass(frozen=True, eq=False)
class _Finetuning(NetJob):
    """A net that begins as the published one under a fitted head, and is held against it.

    known: the images under the published net. said: lines for the user, one a model that is not a fold's.
    """

    known: Described
    said: list[str] = dataclasses.field(default_factory=list)

    def trained(
        self, rows: list[int], held: list[int], on_epoch: Callable[[Row], None], stage: str = "train"
    ) -> tuple[Model, list[Row]]:
        """A model learnt from the images of `rows`, and its curve on a part of them set aside, from epoch 0 on.

        `held` is not looked at: it is what the model is measured on.
        """
        aside = self._aside(rows)
        learnt = sorted(set(rows) - set(aside))
        before: list[Row] = []

        def begin(job: NetJob, some: list[int]) -> Beginning:
            begun = _from_published(job, some)
            if aside and some == learnt:
                before.append(_judged(job, begun, aside, learnt))
                on_epoch(before[0])
            return begun

        fit = super(_Finetuning, dataclasses.replace(self, begin=begin)).trained
        model, curve = fit(learnt, aside, on_epoch, stage)
        if not aside:
            return model, curve
        first, last = before[0]["held_out_loss"], self._taken(curve)["held_out_loss"]
        said = (
            f"On {len(aside)} training images set aside, learning the net took the loss from {first:.3f} to {last:.3f}"
        )
        if last >= first:
            said += ", so it did not help: the model is the published net with a new head"
            model = self._head_alone(rows)
        elif len(rows) < FEW and not self.recipe.train.keeps_best:
            said += "; then they were learnt from too"
            model, _ = fit(rows, [], lambda row: None, "again" if stage == "train" else f"{stage}-again")
        if stage == "train":
            self.said.append(said + ".")
        return model, before + curve

    def head(self, rows: list[int]) -> Head:
        """The head fitted to the images of `rows` under the published net."""
        if rows == self.lots.rows("train"):
            return self.known.head
        return fitted(self.lots, self.known.features, self.recipe, rows)

    def _aside(self, rows: list[int]) -> list[int]:
        """The part of the images that judges; none where they must stay together."""
        audit, seed = self.lots.audit, self.recipe.seed
        count = possible_folds(audit, ASIDE, rows)
        return [] if count < 2 else np.flatnonzero(folds_of(audit, count, seed, rows) == 0).tolist()

    def _taken(self, curve: list[Row]) -> Row:
        """The epoch whose weights the run left."""
        task, taken = self.lots.audit.task.kind, curve[-1]
        if self.recipe.train.keeps_best:
            for row in reversed(curve):  # the first of equals
                taken = taken if better(task, taken[CURVE[task]], row[CURVE[task]]) else row
        return taken

    def _head_alone(self, rows: list[int]) -> Model:
        model = with_head(self.known.by.backbone, self.head(rows), self.lots.audit.task)
        return dataclasses.replace(model, strategy=self.recipe.strategy)


def _from_published(job: NetJob, rows: list[int]) -> Beginning:
    """The published net under a head fitted to the images of `rows`, to be learnt from the top."""
    assert isinstance(job, _Finetuning)
    recipe, lots = job.recipe, job.lots
    chosen = recipe.finetune
    net = net_of(with_head(job.known.by.backbone, job.head(rows), lots.audit.task))
    if recipe.finetune.batch_norm == "recalibrated":
        measure_norms(net, chosen.unfreeze, _batches(job, rows))
        features = np.full(job.known.features.shape, np.nan, np.float32)
        features[rows] = _embedded(net, _batches(job, rows))
        _put_head(net, fitted(lots, features, recipe, rows))
    shares = rates(net, chosen.unfreeze, chosen.layer_decay)
    hook = Unfreezing(net, chosen.unfreeze, chosen.batch_norm)
    return Beginning(net, job.pixels, rates=shares, hooks=(hook,), fitted=True)


def _judged(job: NetJob, begun: Beginning, rows: list[int], learnt: list[int]) -> Row:
    """Epoch 0 of the curve: the net as it begins, on the images of `rows`; the loss as where those of `learnt` are."""
    task, examples = job.lots.audit.task.kind, job.examples(rows, begun, learning=False)
    if task == "number":
        examples = dataclasses.replace(examples, unit=unit_of(torch.from_numpy(job.lots.targets(learnt))))
    view = View(examples, torch.device("cpu"))
    found = judge(begun.net.eval(), view, precision=job.recipe.train.precision, loss=job.recipe.loss.name)
    return {"epoch": 0, CURVE[task]: found.score, "held_out_loss": found.loss}


def _batches(job: NetJob, rows: list[int]) -> Iterator[Tensor]:
    """The images of `rows` as the net sees them, some at a time."""
    pixels = job.pixels
    for start in range(0, len(rows), AT_ONCE):
        images = torch.from_numpy(job.images.exact(rows[start : start + AT_ONCE])).permute(0, 3, 1, 2)
        yield normalised(images, pixels.mean, pixels.std)


@torch.no_grad()
def _embedded(net: Net, batches: Iterator[Tensor]) -> NDArray[np.float32]:
    return torch.cat([net.eval().embed(images) for images in batches]).numpy()


@torch.no_grad()
def _put_head(net: Net, head: Head) -> None:
    assert isinstance(net.head, nn.Linear)
    net.head.weight.copy_(torch.from_numpy(head.weight))
    net.head.bias.copy_(torch.from_numpy(head.bias))
