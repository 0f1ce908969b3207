"""Strategy "scratch": a net from random weights, trained by the plain loop on images held in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.audit import audit, require_learnable
from striate.data.looking import look
from striate.data.sources import Source
from striate.errors import WorkError
from striate.inference.classifier import Classifier
from striate.inference.engine import engine_version
from striate.jobs.clock import Clock
from striate.jobs.learned import Learned, Log, Lots
from striate.model import Model
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.state import arrays_of
from striate.pixels import Images, Pixels
from striate.progress import Progress
from striate.recipe import Recipe
from striate.training.loop import fit
from striate.training.settings import EpochReport, Settings
from striate.transfer.strategy import Glance, Plan, scratch_pixels

LARGEST = 8 * 2**30  # bytes of crops: beyond, images would have to be read again each epoch, which is not done yet
SMALL_STEP = 2**28  # multiply-adds of a batch: LeNet-5's 64 images are a tenth, ResNet-20's ten times as many
STEPS = 2500  # that an unset number of epochs aims at, within 10 to 100


def learn_scratch(
    source: Source, plan: Plan, seen: Glance, recipe: Recipe, clock: Clock, progress: Progress, log: Log
) -> Learned:
    """Train `plan.net` from random weights. Raises RequestError where the data cannot be learnt from."""
    pixels = scratch_pixels(plan.net, seen)
    need = len(source.items) * pixels.height * pixels.width * pixels.channels
    if need > LARGEST:
        raise WorkError(f"{need / 2**30:.0f} GiB of images do not fit into memory; try the strategy 'features'")
    with clock.stage("look"), progress.bar("Looking at the images", len(source.items)) as bar:
        crops: dict[str, Images] = {}
        pairs = []
        for looked in look(source, pixels):
            pairs.append((looked.item, looked.record))
            if looked.crop is not None:
                crops[looked.item.key] = looked.crop
            bar.advance()
    found = audit(source, pairs)
    require_learnable(found, source.name)
    lots = Lots.drawn(found, recipe)
    images = np.stack([crops.pop(entry.item.key) for entry in found.usable])
    settings = _settings(recipe, len(lots.rows("train")), pixels)
    curve: list[dict[str, float]] = []

    def on_epoch(report: EpochReport) -> None:
        curve.append({k: v for k, v in dataclasses.asdict(report).items() if v is not None})
        log("epoch", curve[-1])

    held = lots.rows(lots.measured_part)
    with clock.stage("train"):
        model = _trained(plan.net, lots, images, lots.rows("train"), held, pixels, settings, progress, on_epoch)
    with clock.stage("answer"):
        classifier = Classifier(model, engine=recipe.engine, precision="float32")
        answers = classifier.answers(images[held])
    return Learned(
        model,
        lots,
        answers,
        f"{classifier.engine_name} {engine_version(classifier.engine_name)}, float32",
        "float32",
        curve=curve,
        facts={"epochs": settings.epochs, "augment": settings.augment},
        notes=[classifier.engine_note] if classifier.engine_note else [],
    )


def _settings(recipe: Recipe, images: int, pixels: Pixels) -> Settings:
    """The loop's settings, with what the recipe leaves open chosen: digits and grey drawings are not mirrored."""
    epochs = recipe.epochs or min(100, max(10, round(STEPS * recipe.batch / max(1, images))))
    augment = recipe.augment
    if augment == "auto":
        augment = "shift" if pixels.channels == 1 else "shift+flip"
    return Settings(
        epochs=epochs,
        batch=recipe.batch,
        learning_rate=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        warmup_epochs=recipe.warmup_epochs,
        label_smoothing=recipe.label_smoothing,
        clip_norm=recipe.clip_norm,
        augment=augment,
        augment_pad=max(1, min(pixels.height, pixels.width) // 16),
        seed=recipe.seed,
    )


def _trained(
    name: str,
    lots: Lots,
    images: Images,
    rows: list[int],
    held: list[int],
    pixels: Pixels,
    settings: Settings,
    progress: Progress,
    on_epoch: Callable[[EpochReport], None],
) -> Model:
    """A model of the net `name`, its normalisation measured on `rows`, trained on them and watched on `held`."""
    pixels = _normalised(pixels, images[rows])
    task = lots.audit.task
    torch.manual_seed(settings.seed)
    net = create(name, classes=task.outputs, in_channels=pixels.channels, input_size=(pixels.height, pixels.width))
    if torch.cuda.is_available():
        net.to("cuda")
    validate = (_tensor(images[held]), torch.from_numpy(lots.targets(held))) if held else None
    with progress.bar("Training", settings.epochs) as bar, _threads_for(name, settings.batch):

        def advance(report: EpochReport) -> None:
            on_epoch(report)
            right = "" if report.accuracy is None else f", held out {100 * report.accuracy:.1f} % right"
            bar.note(f"loss {report.loss:.3f}{right}")
            bar.advance()

        fit(
            net,
            _tensor(images[rows]),
            torch.from_numpy(lots.targets(rows)),
            settings,
            mean=pixels.mean,
            std=pixels.std,
            validate=validate,
            on_epoch=advance,
        )
    tensors, aliases = arrays_of(net)
    return Model(
        name,
        net.options,
        task,
        pixels,
        tensors,
        head="head" if isinstance(net.head, nn.Linear) else "",
        aliases=aliases,
        memory_format="channels_last",  # as the loop leaves it
        strategy="scratch",
    )


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


def _tensor(images: Images) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _normalised(pixels: Pixels, images: NDArray[np.uint8]) -> Pixels:
    """The preprocessing with mean and deviation measured on the training images, per channel."""
    count = images[..., 0].size
    mean, std = [], []
    for channel in range(pixels.channels):
        # Counting the 256 values is exact, and needs no copy of the images in floating point.
        values = np.bincount(images[..., channel].ravel(), minlength=256)
        average = float((values * np.arange(256)).sum() / count)
        mean.append(average)
        std.append(max(1.0, float(np.sqrt((values * (np.arange(256) - average) ** 2).sum() / count))))
    return dataclasses.replace(pixels, mean=tuple(mean), std=tuple(std))
