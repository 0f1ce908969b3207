"""Training one net on decoded images: shared by the strategies "scratch" and "finetune"."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.anatomy.summary import catalogue_madds
from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment
from striate.errors import RequestError
from striate.inference.predictor import Predictor
from striate.learning.balance import sample_weights
from striate.learning.context import RunContext
from striate.learning.extensions import Extensions
from striate.learning.history import Row, note_of, row_of
from striate.learning.image_cache import CachedImages
from striate.learning.prepare import Prepared
from striate.learning.run_folder import SNAPSHOTS
from striate.learning.snapshots import Snapshots
from striate.model import Model
from striate.nets.backbone import normalisation
from striate.nets.base import Network
from striate.nets.build import create_for
from striate.nets.state import arrays_of
from striate.pixels import Images, Pixels
from striate.progress import Step
from striate.recipe import Recipe
from striate.recipe.schedules import WarmRestarts
from striate.tasks import Loss, Task
from striate.training.checkpoints import Checkpoints
from striate.training.examples import Examples, training_loss
from striate.training.hooks import Hook
from striate.training.loop import fit
from striate.training.loop_state import LoopState
from striate.training.optimizers import Rates
from striate.training.standardised import StandardisedTarget
from striate.training.threads import one_thread
from striate.training.world import ALONE

SMALL_STEP = 2**28  # multiply-adds of a batch: LeNet-5's 64 images are a tenth, ResNet-20's ten times as many
VIEWS = 5  # augmented views of an image, besides the plain one

Floats = NDArray[np.float32]
OnEpoch = Callable[[Row], None]


class Frozen(Protocol):
    """A part of a network that is not trained."""

    @property
    def upper(self) -> nn.Module:
        """What is trained: it takes the maps of the frozen part."""
        ...

    def examples(self, examples: Examples) -> Examples:
        """The same examples with their cached maps."""
        ...


class InitialState(NamedTuple):
    """What training starts from. input_tensors: of the model's normalisation, such as its mean image.

    rates: each parameter's learning rate multiplier, by its name in `net`; None: all equal. hooks: of the strategy.
    fitted: the head of `net` already predicts the task, regression targets in their own units. frozen: the part of
    `net` that is not trained and whose maps are cached; None if the whole net is run.
    """

    net: Network
    pixels: Pixels
    input_tensors: Mapping[str, Floats] = MappingProxyType({})
    rates: Rates | None = None
    hooks: tuple[Hook, ...] = ()
    fitted: bool = False
    frozen: Frozen | None = None

    @property
    def normalised_by(self) -> tuple[Pixels, Mapping[str, Floats]]:
        """What the input is normalised by: pixels and tensors."""
        return self.pixels, self.input_tensors


class Ready(NamedTuple):
    """A training ready to start: the initial state, and module, images and learning rate multipliers for `fit`."""

    state: InitialState
    module: nn.Module
    examples: Examples
    rates: Rates | None


class Fitted(NamedTuple):
    """A trained model and its history, one row per epoch. notes: lines for the user."""

    model: Model
    history: tuple[Row, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Trainer:
    """Trains `net` on prepared data; `fit` can be called for several sets of images.

    initial: from the indices of the training images to their initial state. extensions: of the caller.
    hooks: run after those of the recipe, the strategy and the caller.
    """

    net: str
    data: Prepared
    context: RunContext
    initial: Callable[[Trainer, list[int]], InitialState]
    extensions: Extensions = field(default_factory=Extensions)
    hooks: tuple[Hook, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """Every choice of the training."""
        return self.data.recipe

    @property
    def task(self) -> Task:
        """The task of the data."""
        return self.data.split.audit.task

    @property
    def images(self) -> CachedImages:
        """The decoded images."""
        assert self.data.images is not None
        return self.data.images

    def with_recipe(self, recipe: Recipe) -> Trainer:
        """The same trainer with another recipe."""
        return dataclasses.replace(self, data=dataclasses.replace(self.data, recipe=recipe))

    def fit(self, rows: list[int], held_out: list[int], on_epoch: OnEpoch, stage: str = "train") -> Fitted:
        """Train on the images at `rows`, and evaluate each epoch on those at `held_out`.

        `stage` names the checkpoints: if there are any, training resumes from the last.
        """
        recipe, context = self.recipe, self.context
        ready = self.ready(rows)
        validation = self.evaluation_examples(held_out, *ready.state.normalised_by) if held_out else None
        if validation is not None and ready.state.frozen is not None:
            validation = ready.state.frozen.examples(validation)
        what = "Training" if stage == "train" else f"Training {stage.replace('-', ' ')}"
        with (
            context.progress.bar(what, recipe.train.chosen_epochs(len(rows))) as bar,
            threads_for(self.net, recipe.train.batch),
            context.polling(),
        ):
            reporting = _Reporting(self.task, on_epoch, bar, context.progress.say)
            reports = fit(
                ready.module,
                ready.examples,
                recipe,
                held_out=validation,
                hooks=[
                    *ready.state.hooks,
                    *self.extensions.hooks,
                    *self.hooks,
                    reporting,
                    *self._snapshots(stage, ready.state),
                    self._checkpoints(stage, rows, held_out),
                ],
                rates=ready.rates,
                loss=self.extensions.loss,
                world=context.processes.world or ALONE,
            )
        if isinstance(ready.module, StandardisedTarget):
            head = getattr(ready.state.net, "head", None)
            assert isinstance(head, nn.Linear)  # or the target would not be standardised
            ready.module.fold(head)
        return Fitted(self._model(ready.state), tuple(row_of(report, self.task) for report in reports))

    def ready(self, rows: list[int]) -> Ready:
        """The start of a training on the images at `rows`."""
        torch.manual_seed(self.recipe.seed)
        state = self.initial(self, rows)
        if torch.cuda.is_available():
            state.net.to("cuda")
        module, rates = self._standardised(state, rows)
        examples = self.training_examples(rows, state)
        if state.frozen is not None:
            module, examples = state.frozen.upper, state.frozen.examples(examples)
        return Ready(state, module, examples, rates)

    def evaluation_examples(self, rows: list[int], pixels: Pixels, tensors: Mapping[str, Floats]) -> Examples:
        """The images at `rows` as for prediction, normalised as in a model with these pixels and input tensors."""
        mean_image = tensors.get("mean_image")
        return Examples(
            self.images.evaluation_tensor(),
            torch.from_numpy(self.data.split.targets(rows)),
            pixels.mean if mean_image is None else torch.from_numpy(mean_image).permute(2, 0, 1).contiguous(),
            pixels.std,
            task=self.task,
            size=(pixels.height, pixels.width),
            among=self.images.indices(rows),
            normalise=normalisation(pixels, tensors) if pixels.contrast else None,
        )

    def training_examples(self, rows: list[int], state: InitialState) -> Examples:
        """The images at `rows` at the size for augmentation, with sample weights and sampling weights."""
        sampling, entries = self.recipe.data.balance == "sampling", self.data.split.entries(rows)
        examples = self.evaluation_examples(rows, *state.normalised_by)
        masks = self.images.masks(rows, larger=True)
        weights = sample_weights(self.task, entries, "none" if sampling else self.recipe.data.balance)
        return dataclasses.replace(
            examples,
            images=self.images.training_tensor(),
            targets=examples.targets if masks is None else torch.from_numpy(masks),
            augment=self.extensions.augment,
            fraction=self._fraction,
            sample_weights=None if weights is None else torch.from_numpy(weights),
            sampling_weights=sample_weights(self.task, entries, "sampling", own=False) if sampling else None,
        )

    def loss(self, rows: list[int]) -> Loss:
        """The loss of training on the images at `rows`."""
        split, balance = self.data.split, self.recipe.data.balance
        weights = sample_weights(self.task, split.entries(rows), balance)
        return training_loss(self.task, split.targets(rows), self.recipe, weights=weights)

    def _standardised(self, state: InitialState, rows: list[int]) -> tuple[nn.Module, Rates | None]:
        """The net with its outputs in the targets' units, if the task standardises them, and the multipliers for it."""
        net, rates = state.net, state.rates
        standard = self.task.standardisation(self.data.split.targets(rows), self.recipe.loss.name)
        if standard is None:
            return net, rates
        head = getattr(net, "head", None)
        if not isinstance(head, nn.Linear) or head.bias is None:
            raise RequestError(f"{self.task.kind} needs a net that ends in a linear layer; choose another one")
        module = StandardisedTarget(net, standard).to(head.weight.device)
        if state.fitted:
            module.unfold(head)
        return module, None if rates is None else lambda name: rates(name.removeprefix("net."))

    def views(self, row: int) -> Images:
        """An image as for prediction, then as augmented in the first epochs: uint8 [1 + VIEWS, H, W, C]."""
        chosen = dataclasses.replace(Augmentation.of(self.recipe.augment), mixup=0.0)
        image = self.images.training_tensor()[self.images.indices([row])]
        seed, size = self.recipe.seed, (self.data.pixels.height, self.data.pixels.width)
        drawn = [
            augment(image, np.array([row]), chosen, seed=seed, epoch=epoch, size=size, fraction=self._fraction)
            for epoch in range(VIEWS)
        ]
        augmented = torch.cat(drawn).permute(0, 2, 3, 1).numpy()
        return np.concatenate([self.images.exact([row]), augmented])

    def predictor(self, model: Model) -> Predictor:
        """The model in the recipe's engine and precision: float32 unless it is set."""
        precision = "float32" if self.recipe.inference.precision == "auto" else self.recipe.inference.precision
        return Predictor(model, engine=self.recipe.inference.engine, precision=precision)

    @property
    def _fraction(self) -> float:
        """The share of a training image's side that prediction uses: there may be a margin."""
        return self.data.pixels.fraction if self.images.zoomed_out else 1.0

    def _snapshots(self, stage: str, state: InitialState) -> list[Hook]:
        """The hook that stores the model at the end of each cycle, if the recipe asks for it; not for folds."""
        schedule = self.recipe.schedule
        if not isinstance(schedule, WarmRestarts) or not schedule.snapshots or stage.startswith("fold"):
            return []

        def model_of(module: nn.Module) -> Model:
            if isinstance(module, StandardisedTarget):
                module.fold(module.net.head)  # type: ignore[arg-type]
                module = module.net
            return self._model(state._replace(net=module))  # type: ignore[arg-type]

        facts = {"data": self.recipe.data.path, "seed": self.recipe.seed}
        return [Snapshots(self.context.folder.path / SNAPSHOTS, model_of, facts)]

    def _checkpoints(self, stage: str, rows: list[int], held_out: list[int]) -> Checkpoints:
        recipe = self.recipe
        return Checkpoints(
            self.context.checkpoints(stage),
            seconds=recipe.checkpoint.seconds,
            steps=recipe.checkpoint.steps,
            keep=recipe.checkpoint.keep,
            identity={
                **recipe.choices(),
                **self.extensions.names(),
                "net": self.net,
                "data": self._digest([rows, held_out]),
            },
            stop=self.context.stop,
            advice=self.context.advice,
        )

    def _digest(self, parts: list[list[int]]) -> str:
        """Identifies the training and held-out images: counts, and a hash of their order, targets and pixels."""
        digest, split = hashlib.sha256(repr(self.data.pixels).encode()), self.data.split
        for rows in parts:
            digest.update(b"part\n")
            for usable in split.entries(rows):
                digest.update(usable.record.digest.encode())
            digest.update(np.ascontiguousarray(split.targets(rows)).tobytes())
        trained, held_out = map(len, parts)
        return f"{trained:,} training images and {held_out:,} held out, hash {digest.hexdigest()[:16]}"

    def _model(self, state: InitialState) -> Model:
        net = state.net
        tensors, aliases = arrays_of(net)
        return Model(
            self.net,
            net.options,
            self.task,
            state.pixels,
            tensors,
            head="head" if isinstance(getattr(net, "head", None), nn.Linear) else "",
            extras=dict(state.input_tensors),
            aliases=aliases,
            memory_format="channels_last",  # as after training
            strategy=self.recipe.strategy,
        )


class _Reporting(Hook):
    """Reports a running training: a row per epoch, the progress bar, and the loop's messages."""

    def __init__(self, task: Task, on_epoch: OnEpoch, bar: Step, say: Callable[[str], Any]) -> None:
        self.task, self.on_epoch, self.bar, self.say = task, on_epoch, bar, say
        self.shown = 0

    def epoch_begins(self, loop: LoopState) -> None:
        self.bar.advance(loop.epoch - self.shown)  # a resumed run starts with finished epochs
        self.shown = loop.epoch

    def epoch_done(self, loop: LoopState) -> None:
        report = loop.reports[-1]
        self.on_epoch(row_of(report, self.task))
        self.bar.note(note_of(report, self.task))
        self.bar.advance()
        self.shown = loop.epoch

    def note(self, loop: LoopState, line: str) -> None:
        self.say(line)


def small_step(net: str, batch: int) -> bool:
    """Whether a step is so small that neither threads nor another precision make it faster."""
    madds = catalogue_madds(net)
    return madds is not None and madds * batch < SMALL_STEP


def on_meta(net: str, task: Task, pixels: Pixels, options: Mapping[str, object] | None = None) -> Network:
    """The net of that name and options on torch's meta device, without memory for weights."""
    with torch.device("meta"):
        size = (pixels.height, pixels.width)
        return create_for(task, net, in_channels=pixels.channels, input_size=size, options=options)


def threads_for(net: str, batch: int) -> AbstractContextManager[None]:
    """One thread for steps so small that threads would mostly wait for each other; otherwise all.

    Decided by size, not by timing, because the number of threads changes the last bits of the weights.
    """
    return one_thread() if small_step(net, batch) else nullcontext()
