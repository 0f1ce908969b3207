"""Strategies "features" and "finetune" for masks and boxes: a head on the maps of a pretrained network, then its upper
stages. The head of masks is a decoder, that of boxes a feature pyramid with its towers.

The pretrained network is frozen at first, so its maps are computed once for each image and its mirror image, and the
head is trained on them in minutes. Fine-tuning goes on from there, with the images augmented.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.data.augment.moved_boxes import ELASTIC
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.inference.backbones import network_of
from striate.learning.checks import TIMED
from striate.learning.context import RunContext
from striate.learning.dense_defaults import dense_defaults
from striate.learning.evaluating import evaluate, train_with_folds
from striate.learning.extensions import Extensions
from striate.learning.mirroring import with_tested_flip
from striate.learning.planning import BACKBONES, DataSummary, Plan, dense_pixels
from striate.learning.prepare import prepare_images
from striate.learning.result import TrainResult
from striate.learning.strategies.on_pretrained import all_maps, on_pretrained
from striate.learning.trainer import InitialState, Trainer
from striate.model import Model
from striate.nets.fcn import FCN
from striate.nets.kinds import Detector
from striate.pixels import Pixels
from striate.progress import Progress
from striate.recipe import Recipe
from striate.tasks import Task
from striate.training.cached_maps import CachedMaps, OnMaps, joined
from striate.training.examples import Examples
from striate.transfer.unfreezing import Unfreezing, rates, trained_stages
from striate.weights.models import pretrained

MOVES = {"crop": (0.5, 1.0), "flip": 0.5}
OnBackboneNet = FCN | Detector


@dataclass(frozen=True)
class _Defaults:
    """Keys of the recipe for training the head, and for fine-tuning; and the epochs of the head before the latter."""

    head: Mapping[str, object]
    finetune: Mapping[str, object]
    before: int


MASKS = _Defaults({"train.epochs": 20, "optimizer.lr": 2e-3}, {"train.epochs": 12, "optimizer.lr": 5e-4}, 20)
BOXES = _Defaults({"train.epochs": 20, "optimizer.lr": 2e-3}, {"train.epochs": 12, "optimizer.lr": 1e-3}, 12)


def train(
    source: Source, plan: Plan, summary: DataSummary, recipe: Recipe, context: RunContext, extensions: Extensions
) -> TrainResult:
    """Train the head of `plan.net`, and with "finetune" its upper stages. Raises RequestError where that fails."""
    _check(recipe, source.task)
    tuned = plan.strategy == "finetune"
    defaults = BOXES if source.task.boxes else MASKS
    given, recipe = recipe.augment, _with_defaults(recipe, defaults, tuned=tuned)
    backbone = pretrained(BACKBONES[plan.net])
    side = dense_pixels(summary, source.task.net_kind, pretrained=True)
    pixels = dataclasses.replace(side, mean=backbone.pixels.mean, std=backbone.pixels.std)
    prepared = prepare_images(source, pixels, recipe, context, larger=tuned)
    with context.clock.stage("test mirroring"):
        prepared, notes = with_tested_flip(prepared, given)
    start = OnBackbone(backbone, context.progress)
    facts: dict[str, Any] = {"weights": backbone.training}
    if not tuned:
        trained = train_with_folds(Trainer(plan.net, prepared, context, start.initial, extensions))
    else:
        trainer = _for_head(Trainer(plan.net, prepared, context, start.initial, extensions), defaults)
        with context.clock.stage("train the head"):
            model = trainer.fit(prepared.split.rows("train"), [], lambda row: None, "head").model
        trained = train_with_folds(Trainer(plan.net, prepared, context, _further(model), extensions))
        facts["unfrozen"] = trained_stages(network_of(model), recipe.finetune.unfreeze)
    result = evaluate(trained, trained.fitted.model, None, facts)
    return dataclasses.replace(result, notes=(*notes, *result.notes))


def _check(recipe: Recipe, task: Task) -> None:
    """Raise RequestError, before any work, for what does not go with masks and boxes."""
    if recipe.data.ood:
        raise RequestError("--ood: it needs one vector for each image, which masks and boxes are not learned from")
    if recipe.head.learning_curve:
        raise RequestError("--learning-curve is of heads on one vector for each image; not for masks and boxes")
    if task.boxes and recipe.augment.elastic:
        raise RequestError(ELASTIC)


def _with_defaults(recipe: Recipe, defaults: _Defaults, *, tuned: bool) -> Recipe:
    recipe = dense_defaults(recipe)
    own = defaults.finetune if tuned else defaults.head
    unset = {key: value for key, value in own.items() if recipe.value(key) is None}
    settled = {"augment": recipe.augment.settled(MOVES if tuned else {"flip": 0.5})}
    timed = {key: plain for key, plain in TIMED.items() if recipe.value(key) == "auto"}
    return recipe.updated(unset | settled | timed)


def _for_head(trainer: Trainer, defaults: _Defaults) -> Trainer:
    """The trainer of the head alone, from which fine-tuning starts."""
    flip = trainer.recipe.augment.flip
    own = {**defaults.head, "train.epochs": defaults.before}
    changes = {**own, **TIMED, "augment": {"preset": "none", "flip": flip}}
    return trainer.with_recipe(trainer.recipe.updated(changes))


def _further(model: Model) -> Callable[[Trainer, list[int]], InitialState]:
    """The start of fine-tuning: the model, to be unfrozen from the top."""

    def initial(trainer: Trainer, rows: list[int]) -> InitialState:
        chosen, net = trainer.recipe.finetune, network_of(model)
        shares = rates(net, chosen.unfreeze, chosen.layer_decay)
        hook = Unfreezing(net, chosen.unfreeze, chosen.batch_norm)
        return InitialState(net, model.pixels, rates=shares, hooks=(hook,), fitted=True)

    return initial


class OnBackbone:
    """The start of training a head: a pretrained network, whose maps of all images are computed once."""

    def __init__(self, backbone: Model, progress: Progress) -> None:
        self.backbone, self.progress = backbone, progress
        self._maps: CachedMaps | None = None

    def initial(self, trainer: Trainer, rows: list[int]) -> InitialState:
        """The pretrained stages under a head of random weights."""
        net, pixels = on_pretrained(trainer, self.backbone), trainer.data.pixels
        assert isinstance(net, OnBackboneNet)
        return InitialState(net, pixels, frozen=_Lower(net, pixels, _shapes(net, pixels), self._cached(net, trainer)))

    def _cached(self, net: OnBackboneNet, trainer: Trainer) -> CachedMaps:
        if self._maps is None:
            frozen: Callable[[Tensor], dict[str, Tensor]] = net.eval().maps
            self._maps = all_maps(trainer, lambda x: joined(frozen(x)), self.progress)
        return self._maps


@torch.no_grad()
def _shapes(net: OnBackboneNet, pixels: Pixels) -> dict[str, tuple[int, int, int]]:
    """Channels, height and width of each map that the head takes."""
    found = net.eval().maps(torch.zeros(1, net.in_channels, pixels.height, pixels.width))
    return {name: (one.shape[1], one.shape[2], one.shape[3]) for name, one in found.items()}


@dataclass(frozen=True, eq=False)
class _Lower:
    """The stages of a network as its frozen part: see `striate.learning.trainer.Frozen`."""

    net: OnBackboneNet
    pixels: Pixels
    shapes: dict[str, tuple[int, int, int]]
    maps: CachedMaps

    @property
    def upper(self) -> nn.Module:
        """The head on flat maps."""
        net, height, width = self.net, self.pixels.height, self.pixels.width
        return OnMaps(net.head, self.shapes, lambda outputs: net.finished(outputs, height, width))

    def examples(self, examples: Examples) -> Examples:
        """With the maps of the images."""
        return dataclasses.replace(examples, maps=self.maps)
