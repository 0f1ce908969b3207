"""Strategies "features" and "finetune" for captions: a decoder of words on the maps of a pretrained network.

The network is frozen at first, and the maps of all images are computed once. A step of training sees pairs of an image
and one of its captions, and learns each word from those before it (teacher forcing); captions are then found by beam
search. Fine-tuning goes on from there with the upper stages of the network, on cached maps of those below (Vinyals et
al. 2016, arXiv:1609.06647, section 4.1: the image network is trained once the LSTM is, or it is spoiled).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.augment.augmentation import Augmentation
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.inference.backbones import network_of
from striate.inference.engine import engine_version
from striate.learning.checks import TIMED
from striate.learning.context import RunContext
from striate.learning.extensions import Extensions
from striate.learning.neighbours import neighbour_captions
from striate.learning.planning import CAPTIONERS, Plan
from striate.learning.prepare import Prepared, prepare_images
from striate.learning.result import Evidence, TrainResult, evaluated
from striate.learning.split import Split
from striate.learning.strategies.on_pretrained import all_maps, on_pretrained
from striate.learning.trainer import InitialState, Trainer, on_meta
from striate.model import Model
from striate.nets.base import Network
from striate.nets.build import create_for
from striate.nets.kinds import Captioner
from striate.progress import Progress
from striate.recipe import Recipe
from striate.recipe.optimizers import AUTO
from striate.tasks.captioning_evaluation import CaptioningEvaluation
from striate.tasks.next_word import NextWord
from striate.tasks.words import PAD, SIDED, TOKENISER, encoded, vocabulary
from striate.training.cached_maps import CachedMaps
from striate.training.examples import Examples
from striate.transfer.unfreezing import Unfreezing, rates, trained_stages
from striate.weights.models import pretrained

DEFAULTS = {"train.epochs": 20, "optimizer.lr": 3e-3}  # of the decoder
FINETUNED = {"train.epochs": 6, "optimizer.lr": 3e-4}


def train(source: Source, plan: Plan, recipe: Recipe, context: RunContext, extensions: Extensions) -> TrainResult:
    """Train the decoder of `plan.net`, and with "finetune" the network's upper stages, too.

    Raises RequestError for what captions do not have.
    """
    _check(recipe, extensions)
    tuned = plan.strategy == "finetune"
    backbone = pretrained(CAPTIONERS[plan.net])
    if tuned:
        _check_stages(on_meta(plan.net, source.task, backbone.pixels), recipe.finetune.unfreeze)
    recipe = _with_defaults(recipe, FINETUNED if tuned else DEFAULTS)
    prepared = prepare_images(source, backbone.pixels, recipe, context, larger=False)
    start = OnMaps(backbone, context.progress)
    training = _next_words(prepared, plan.net)
    trainer = Trainer(plan.net, training, context, start.initial, extensions)
    trainer = trainer.with_recipe(context.recorded(trainer.recipe))
    split = prepared.split
    facts: dict[str, Any] = {"weights": backbone.training}
    if tuned:
        with context.stage("train the decoder"):
            first = trainer.with_recipe(trainer.recipe.updated({**DEFAULTS, **TIMED}))
            model = first.fit(split.rows("train"), [], lambda row: None, "head").model
        trainer = dataclasses.replace(trainer, initial=Further(model, context.progress).initial)
        facts["unfrozen"] = trained_stages(network_of(model), recipe.finetune.unfreeze)
    with context.stage("train"):
        validated = split.rows("val") or split.held_out_rows
        fitted = trainer.fit(split.rows("train"), validated, lambda row: context.log("epoch", row))
    task = split.audit.task.with_names(trainer.task.names)
    model = dataclasses.replace(fitted.model, task=task)
    with context.stage("predict"):
        predictor = trainer.predictor(model)
        predictions = predictor.predictions(trainer.images.exact(split.held_out_rows))
    evaluation, _ = evaluated(split, task, predictions, None, extensions.metrics)
    if evaluation.total:
        assert isinstance(evaluation, CaptioningEvaluation)
        baseline = neighbour_captions(start.vectors(trainer), split)
        evaluation = dataclasses.replace(evaluation, baseline=baseline)
    return TrainResult(
        model=model,
        recipe=trainer.recipe.updated({"inference.precision": predictor.precision}),
        split=split,
        evaluation=evaluation,
        engine=f"{predictor.engine_name} {engine_version(predictor.engine_name)}, {predictor.precision}",
        precision=predictor.precision,
        history=fitted.history,
        evidence=Evidence(),
        facts={**_facts(trainer), **facts},
        notes=fitted.notes,
    )


def _check(recipe: Recipe, extensions: Extensions) -> None:
    """Raise RequestError, before any work, for what does not go with captions."""
    if recipe.data.ood:
        raise RequestError("--ood: a captioner has no detector of OOD images")
    if recipe.head.learning_curve:
        raise RequestError("--learning-curve is of heads on one vector for each image; captions have a decoder instead")
    if recipe.optimizer.lr == AUTO:
        raise RequestError(
            f"the learning rate of captions is not searched for: give one, such as {DEFAULTS['optimizer.lr']:g}"
        )
    moves = Augmentation.of(recipe.augment.settled({})).transforms
    if extensions.augment is not None or set(moves) - {"flip"}:
        raise RequestError("captions are learned on cached maps: the only augmentation is --set augment.flip=0.5")


def _check_stages(net: Network, unfreeze: int) -> None:
    """Raise RequestError unless a stage is trained and one stays frozen, so that its maps can be computed once."""
    if not 1 <= unfreeze < len(net.stages):
        raise RequestError(f"finetune.unfreeze is 1 to {len(net.stages) - 1} for {net.name}, not {unfreeze}")


def _with_defaults(recipe: Recipe, defaults: Mapping[str, object]) -> Recipe:
    lr, plain = recipe.optimizer.lr, Recipe().optimizer
    if dataclasses.replace(recipe.optimizer, lr=plain.lr) == plain:
        recipe = recipe.updated({"optimizer.name": "adamw"})
        recipe = recipe if lr == plain.lr else recipe.updated({"optimizer.lr": lr})
    unset = {key: value for key, value in defaults.items() if recipe.value(key) is None}
    smoothing = {"loss.label_smoothing": 0.0} if recipe.loss.label_smoothing is None else {}
    timed = {key: value for key, value in TIMED.items() if recipe.value(key) == "auto"}
    return recipe.updated({**unset, **smoothing, **timed, "augment": recipe.augment.settled({})})


def _facts(trainer: Trainer) -> dict[str, Any]:
    """What the model file and the log tell of the training."""
    recipe = trainer.recipe
    return {
        "train.epochs": recipe.train.epochs,
        "optimizer.lr": recipe.optimizer.peak,
        "words": len(trainer.task.names),
        "tokeniser": TOKENISER,
    }


def _next_words(prepared: Prepared, net: str) -> Prepared:
    """The same data for training: targets are captions as numbers of words, int64 [N, captions, limit]."""
    split, rows = prepared.split, prepared.split.rows("train")
    names = vocabulary(one for row in rows for one in split.audit.usable[row].item.target)
    task = NextWord(names)
    with torch.device("meta"):
        made = create_for(task, net, options=prepared.recipe.net.options)
    assert isinstance(made, Captioner)
    audit = dataclasses.replace(split.audit, task=task)
    numbers = partial(_numbers, split, names, made.head.limit)
    return dataclasses.replace(prepared, split=dataclasses.replace(split, audit=audit, masks=numbers))


def _numbers(split: Split, names: tuple[str, ...], limit: int, rows: list[int]) -> NDArray[np.int64]:
    return encoded([split.audit.usable[row].item.target for row in rows], names, limit)


class OnMaps:
    """The start of training a decoder of words: a pretrained network, whose maps of all images are computed once."""

    def __init__(self, backbone: Model, progress: Progress) -> None:
        self.backbone, self.progress = backbone, progress
        self._maps: CachedMaps | None = None
        self._shape: tuple[int, int, int] = (0, 0, 0)

    def initial(self, trainer: Trainer, rows: list[int]) -> InitialState:
        """The pretrained stages under a decoder of random weights."""
        net, pixels = on_pretrained(trainer, self.backbone), trainer.data.pixels
        assert isinstance(net, Captioner)
        maps = self._cached(net, trainer)
        return InitialState(net, pixels, frozen=_Lower(_TeacherForced(net, (), self._shape), maps, _sided(trainer)))

    def vectors(self, trainer: Trainer) -> NDArray[np.float32]:
        """The mean of each usable image's map: float32 [usable, c]."""
        assert self._maps is not None
        rows = list(range(len(trainer.data.split.parts)))
        maps = self._maps.of(trainer.images.indices(rows))
        return np.asarray(maps.reshape(len(rows), self._shape[0], -1).mean(2).numpy())

    def _cached(self, net: Captioner, trainer: Trainer) -> CachedMaps:
        """The maps; their mean, where the decoder takes nothing else."""
        if self._maps is None:

            def lower(x: Tensor) -> Tensor:
                maps = net.head.reduced(net.features(x))
                self._shape = (maps.shape[1], maps.shape[2], maps.shape[3])
                return maps.flatten(1)

            net.eval()
            self._maps = all_maps(trainer, lower, self.progress)
        return self._maps


class Further:
    """The start of fine-tuning: a model, whose upper stages are unfrozen from the top; the maps below are cached."""

    def __init__(self, model: Model, progress: Progress) -> None:
        self.model, self.progress = model, progress

    def initial(self, trainer: Trainer, rows: list[int]) -> InitialState:
        """The model's network, its lower stages as cached maps."""
        chosen, net = trainer.recipe.finetune, network_of(self.model)
        assert isinstance(net, Captioner)
        below, above = net.stages[: -chosen.unfreeze], net.stages[-chosen.unfreeze :]
        shape: tuple[int, int, int] = (0, 0, 0)

        def lower(x: Tensor) -> Tensor:
            nonlocal shape
            for name in below:
                x = getattr(net, name)(x)
            shape = (x.shape[1], x.shape[2], x.shape[3])
            return x.flatten(1)

        maps = all_maps(trainer, lower, self.progress)
        hook = Unfreezing(net, chosen.unfreeze, chosen.batch_norm)
        shares = rates(net, chosen.unfreeze, chosen.layer_decay)
        frozen = _Lower(_TeacherForced(net, above, shape), maps, _sided(trainer))
        return InitialState(net, self.model.pixels, rates=shares, hooks=(hook,), fitted=True, frozen=frozen)


def _sided(trainer: Trainer) -> Tensor:
    """The numbers of the words that tell a side, int64."""
    return torch.tensor([place for place, word in enumerate(trainer.task.names) if word in SIDED], dtype=torch.long)


@dataclass(frozen=True, eq=False)
class _Lower:
    """The frozen stages of a network: see `striate.learning.trainer.Frozen`. upper: those above, on maps and words.

    sided: the numbers of words that tell a side, with captions of which no image is mirrored.
    """

    upper: nn.Module
    maps: CachedMaps
    sided: Tensor

    def examples(self, examples: Examples) -> Examples:
        """Pairs of an image and one of its captions. Images are not read: maps stand for them."""
        captions = examples.targets  # [N, captions, limit]
        image, caption = (captions[:, :, 0] != PAD).nonzero(as_tuple=True)
        targets = captions[image, caption]
        assert examples.among is not None
        weights = examples.sample_weights
        before = torch.cat([torch.zeros_like(targets[:, :1]), targets[:, :-1].clamp_min(0)], 1)
        return dataclasses.replace(
            examples,
            images=examples.images[:1].expand(len(targets), *examples.images.shape[1:]),
            targets=targets,
            among=None,
            sample_weights=None if weights is None else weights[image],
            maps=_MapsAndWords(self.maps, examples.among[image], before, torch.isin(targets, self.sided).any(1)),
        )


@dataclass(frozen=True, eq=False)
class _MapsAndWords:
    """Of each pair the image's maps and the words before each word: see `striate.training.cached_maps.Maps`.

    places [P]: of the images among the maps. before: int64 [P, T]. sided: bool [P], captions that tell a side, whose
    images are not mirrored.
    """

    maps: CachedMaps
    places: Tensor
    before: Tensor
    sided: Tensor

    def of(self, places: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """Float32 [B, D + T]."""
        if mirrored is not None:
            mirrored = mirrored & ~self.sided[places].to(mirrored.device)
        return torch.cat([self.maps.of(self.places[places], mirrored), self.before[places].float()], 1)


class _TeacherForced(nn.Module):
    """The upper `stages` of a captioner, by their names in it, and its decoder of words, on flat maps joined to the
    words before: [B, D + T] -> logits [B, T, words]."""

    def __init__(self, net: Captioner, stages: Sequence[str], shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.head, self.stages, self.shape = net.head, tuple(stages), shape
        for name in stages:
            self.add_module(name, getattr(net, name))

    def forward(self, joined: Tensor) -> Tensor:
        """Logits of each word."""
        size = self.shape[0] * self.shape[1] * self.shape[2]
        x = joined[:, :size].reshape(-1, *self.shape)
        for name in self.stages:
            x = getattr(self, name)(x)
        logits: Tensor = self.head(x, joined[:, size:].long())
        return logits
