"""One model trained from random weights: settings from the recipe, normalisation measured, the loop, the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment
from striate.data.augment.statistics import Statistics, measure
from striate.errors import RequestError
from striate.jobs.learning.learned import Lots
from striate.jobs.learning.stock import Shelf
from striate.jobs.learning.weighing import weights_of
from striate.model import Model
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.state import arrays_of
from striate.pixels import Images, Pixels
from striate.progress import Progress
from striate.recipe import Recipe
from striate.task import Task
from striate.training.loop import fit
from striate.training.scores import score
from striate.training.settings import EpochReport, Settings
from striate.training.units import InUnits

SMALL_STEP = 2**28  # multiply-adds of a batch: LeNet-5's 64 images are a tenth, ResNet-20's ten times as many
VIEWS = 5  # of a varied image, beside the plain one
STEPS = 2500  # that an unset number of epochs aims at, within 10 to 100

CURVE = {"class": "accuracy", "labels": "average_precision", "number": "error"}

Row = dict[str, float]
Floats = NDArray[np.float32]


def settings_of(recipe: Recipe, pixels: Pixels) -> tuple[Settings, Augmentation]:
    """The loop's settings, with what the recipe leaves open chosen, epochs but for the number of images."""
    augment = recipe.augment
    if augment == "auto":
        # Digits and grey drawings are not mirrored; a sixteenth is what He et al. shift CIFAR's 32 pixels by, halved.
        augment = f"shift={max(1, min(pixels.height, pixels.width) // 16)}"
        augment += " flip=0.5" if pixels.channels == 3 else ""
    settings = Settings(
        epochs=recipe.epochs or 1,
        batch=recipe.batch,
        learning_rate=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        warmup_epochs=recipe.warmup_epochs,
        label_smoothing=recipe.label_smoothing,
        clip_norm=recipe.clip_norm,
        augment=augment,
        seed=recipe.seed,
        size=(pixels.height, pixels.width),
    )
    return settings, Augmentation.from_text(augment)


def has_embedding(net: str, task: Task, pixels: Pixels) -> bool:
    """Whether the net of that name ends in a linear layer, and so has a feature space below it."""
    with torch.device("meta"):  # no weights are drawn to ask
        made = create(net, classes=task.outputs, in_channels=pixels.channels, input_size=(pixels.height, pixels.width))
    return isinstance(made.head, nn.Linear)


@dataclass(frozen=True, eq=False)
class ScratchJob:
    """Everything a net is trained on and with; `trained` does it, for one set of images after another."""

    net: str
    lots: Lots
    images: Shelf
    settings: Settings
    recipe: Recipe
    pixels: Pixels
    progress: Progress

    def settings_for(self, images: int) -> Settings:
        """The settings for learning from so many images."""
        chosen = min(100, max(10, round(STEPS * self.settings.batch / max(1, images))))
        task = self.lots.audit.task
        return dataclasses.replace(
            self.settings, epochs=self.recipe.epochs or chosen, task=task.kind, loss=self.recipe.loss
        )

    def trained(
        self, rows: list[int], held: list[int], on_epoch: Callable[[Row], None], what: str = "Training"
    ) -> tuple[Model, list[Row]]:
        """A model learnt from the images of `rows`, watched on those of `held`, and its curve."""
        task, settings = self.lots.audit.task, self.settings_for(len(rows))
        exact = self.images.arrays[0]
        found = measure(exact, self.images.places[rows])
        pixels, mean_image = _normalised(self.pixels, found, self.recipe.normalise)
        torch.manual_seed(settings.seed)
        size = (pixels.height, pixels.width)
        net = create(self.net, classes=task.outputs, in_channels=pixels.channels, input_size=size)
        if torch.cuda.is_available():
            net.to("cuda")
        targets = _tensor(self.lots, rows)
        learner, settings = _in_units(net, task, targets, settings)
        mean = pixels.mean if mean_image is None else torch.from_numpy(mean_image).permute(2, 0, 1).contiguous()
        validate = None
        if held:
            watched, truth, places = self.images.watched(), _tensor(self.lots, held), self.images.among(held)

            def validate(trained: nn.Module) -> float:
                return score(trained, watched, truth, settings, mean=mean, std=pixels.std, among=places)

        sampling, entries = self.recipe.balance == "sampling", self.lots.entries(rows)
        weights = weights_of(task, entries, "none" if sampling else self.recipe.balance)
        chances = weights_of(task, entries, "sampling", own=False) if sampling else None
        curve: list[Row] = []
        with self.progress.bar(what, settings.epochs) as bar, _threads_for(self.net, settings.batch):

            def advance(report: EpochReport) -> None:
                curve.append(_row(report, task))
                on_epoch(curve[-1])
                bar.note(_note(report, task))
                bar.advance()

            fit(
                learner,
                self.images.learnt_from(),
                targets,
                settings,
                mean=mean,
                std=pixels.std,
                validate=validate,
                on_epoch=advance,
                among=self.images.among(rows),
                weights=None if weights is None else torch.from_numpy(weights),
                chances=chances,
            )
        if isinstance(learner, InUnits):
            assert isinstance(net.head, nn.Linear)  # or there were no learner in units
            learner.fold(net.head)
        return self._model(net, task, pixels, mean_image), curve

    def views(self, row: int) -> Images:
        """An image as prediction sees it, then as the first epochs vary it: uint8 [1 + VIEWS, H, W, C]."""
        chosen = dataclasses.replace(Augmentation.from_text(self.settings.augment), mixup=0.0)
        image = self.images.learnt_from()[self.images.among([row])]
        seed, size = self.settings.seed, self.settings.size
        drawn = [augment(image, np.array([row]), chosen, seed=seed, epoch=epoch, size=size) for epoch in range(VIEWS)]
        varied = torch.cat(drawn).permute(0, 2, 3, 1).numpy()
        return np.concatenate([self.images.exact([row]), varied])

    def _model(self, net: nn.Module, task: Task, pixels: Pixels, mean_image: Floats | None) -> Model:
        tensors, aliases = arrays_of(net)
        return Model(
            self.net,
            net.options,  # type: ignore[arg-type]
            task,
            pixels,
            tensors,
            head="head" if isinstance(net.head, nn.Linear) else "",
            extras={} if mean_image is None else {"mean_image": mean_image},
            aliases=aliases,
            memory_format="channels_last",  # as the loop leaves it
            strategy="scratch",
        )


def _normalised(pixels: Pixels, found: Statistics, how: str) -> tuple[Pixels, Floats | None]:
    """The preprocessing with what was measured on the training images; and their mean image [H, W, C], if asked for."""
    centre, deviation = found.normalisation(how)
    changed = dataclasses.replace(pixels, mean=tuple(found.mean.tolist()), std=tuple(deviation.tolist()))
    return changed, centre.astype(np.float32) if how == "mean-image" else None


def _in_units(net: nn.Module, task: Task, targets: Tensor, settings: Settings) -> tuple[nn.Module, Settings]:
    """For a number, the net with its answers in the target's units, so that it starts from their mean and spread."""
    if task.kind != "number":
        return net, settings
    head = net.head
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise RequestError("a number is learnt by a net that ends in a linear layer; choose another net")
    unit = float(targets.std(correction=0)) or 1.0
    return InUnits(net, origin=float(targets.mean()), unit=unit), dataclasses.replace(settings, unit=unit)


def _tensor(lots: Lots, rows: list[int]) -> Tensor:
    return torch.from_numpy(lots.targets(rows))


def _row(report: EpochReport, task: Task) -> Row:
    """A line of the curve; the score under its own name."""
    row = {key: value for key, value in dataclasses.asdict(report).items() if value is not None}
    if "score" in row:
        row[CURVE[task.kind]] = row.pop("score")
    return row


def _note(report: EpochReport, task: Task) -> str:
    if report.score is None:
        return f"loss {report.loss:.3f}"
    said = f"off by {report.score:.3g}" if task.kind == "number" else f"{100 * report.score:.1f} %"
    return f"loss {report.loss:.3f}, held out {said}"


@contextmanager
def _threads_for(net: str, batch: int) -> Iterator[None]:
    """One thread for steps so small that threads would spend their time waiting for each other; else all.

    By size and not by a trial, because the number of threads decides the last bits of the weights.
    """
    before = torch.get_num_threads()
    if entry(net).madds * batch < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
