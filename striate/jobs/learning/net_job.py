"""A net trained by the loop on decoded images: what the strategies "scratch" and "finetune" share."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment
from striate.errors import RequestError
from striate.inference.classifier import Classifier
from striate.jobs.learning.learned import Lots
from striate.jobs.learning.site import Site
from striate.jobs.learning.stock import Shelf
from striate.jobs.learning.weighing import weights_of
from striate.model import Model
from striate.nets.base import Net
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.state import arrays_of
from striate.pixels import Images, Pixels
from striate.progress import Step
from striate.recipe import Recipe
from striate.task import Task
from striate.training.checkpoints import Checkpoints
from striate.training.examples import Examples
from striate.training.hooks import Hook
from striate.training.loop import fit
from striate.training.optimizers import Rates
from striate.training.run import EpochReport, Run
from striate.training.units import InUnits
from striate.training.world import ALONE

SMALL_STEP = 2**28  # multiply-adds of a batch: LeNet-5's 64 images are a tenth, ResNet-20's ten times as many
VIEWS = 5  # of a varied image, beside the plain one

CURVE = {"class": "accuracy", "labels": "average_precision", "number": "error"}

Row = dict[str, float]
Floats = NDArray[np.float32]


class Beginning(NamedTuple):
    """What training begins with. mean_image [H, W, C]: subtracted in place of the mean of `pixels`.

    rates: each parameter's share of the learning rate, by its name in `net`; None: all alike. hooks: of the strategy.
    fitted: the head of `net` answers the task already, a number in its own units.
    """

    net: Net
    pixels: Pixels
    mean_image: Floats | None = None
    rates: Rates | None = None
    hooks: tuple[Hook, ...] = ()
    fitted: bool = False


@dataclass(frozen=True, eq=False)
class NetJob:
    """Everything a net is trained on and with; `trained` does it, for one set of images after another.

    recipe: with every choice made. begin: from the places of the images to learn from to what training begins with.
    """

    net: str
    lots: Lots
    images: Shelf
    recipe: Recipe
    pixels: Pixels
    site: Site
    begin: Callable[[NetJob, list[int]], Beginning]

    def trained(
        self, rows: list[int], held: list[int], on_epoch: Callable[[Row], None], stage: str = "train"
    ) -> tuple[Model, list[Row]]:
        """A model learnt from the images of `rows`, watched on those of `held`, and its curve.

        `stage` names its checkpoints: where there are any, training goes on from the last.
        """
        task = self.lots.audit.task
        begun, learner, examples, rates = self.prepared(rows)
        held_out = None
        if held:  # its loss in the unit of the training's, or the two could not be set side by side
            held_out = dataclasses.replace(self.examples(held, begun, learning=False), unit=examples.unit)
        told = _Telling(task, on_epoch)
        what = "Training" if stage == "train" else f"Training {stage.replace('-', ' ')}"
        with (
            self.site.progress.bar(what, self.recipe.train.chosen_epochs(len(rows))) as bar,
            threads_for(self.net, self.recipe.train.batch),
            self.site.watching(),
        ):
            told.bar, told.say = bar, self.site.progress.say
            hooks = [*begun.hooks, told, self._checkpoints(stage, rows, held)]
            world = self.site.processes.world or ALONE
            reports = fit(learner, examples, self.recipe, held_out=held_out, hooks=hooks, rates=rates, world=world)
        if isinstance(learner, InUnits):
            assert isinstance(begun.net.head, nn.Linear)  # or there were no learner in units
            learner.fold(begun.net.head)
        return self._model(begun, task), [_row(report, task) for report in reports]

    def prepared(self, rows: list[int]) -> tuple[Beginning, nn.Module, Examples, Rates | None]:
        """What training begins with; the module, the images of `rows` and the rates as the loop takes them."""
        torch.manual_seed(self.recipe.seed)
        begun = self.begin(self, rows)
        if torch.cuda.is_available():
            begun.net.to("cuda")
        return begun, *_in_units(begun, self.examples(rows, begun))

    def examples(self, rows: list[int], begun: Beginning, *, learning: bool = True) -> Examples:
        """The images of `rows` as the loop takes them, with weights and chances where they are for `learning`."""
        task, mean_image = self.lots.audit.task, begun.mean_image
        mean = begun.pixels.mean if mean_image is None else torch.from_numpy(mean_image).permute(2, 0, 1).contiguous()
        plain = Examples(
            self.images.learnt_from() if learning else self.images.watched(),
            torch.from_numpy(self.lots.targets(rows)),
            mean,
            begun.pixels.std,
            task=task.kind,
            size=(self.pixels.height, self.pixels.width),
            fraction=self._fraction if learning else 1.0,
            among=self.images.among(rows),
        )
        if not learning:
            return plain
        sampling, entries = self.recipe.data.balance == "sampling", self.lots.entries(rows)
        weights = weights_of(task, entries, "none" if sampling else self.recipe.data.balance)
        chances = weights_of(task, entries, "sampling", own=False) if sampling else None
        return dataclasses.replace(
            plain, weights=None if weights is None else torch.from_numpy(weights), chances=chances
        )

    def views(self, row: int) -> Images:
        """An image as prediction sees it, then as the first epochs vary it: uint8 [1 + VIEWS, H, W, C]."""
        chosen = dataclasses.replace(Augmentation.of(self.recipe.augment), mixup=0.0)
        image = self.images.learnt_from()[self.images.among([row])]
        seed, size = self.recipe.seed, (self.pixels.height, self.pixels.width)
        drawn = [
            augment(image, np.array([row]), chosen, seed=seed, epoch=epoch, size=size, fraction=self._fraction)
            for epoch in range(VIEWS)
        ]
        varied = torch.cat(drawn).permute(0, 2, 3, 1).numpy()
        return np.concatenate([self.images.exact([row]), varied])

    def classifier(self, model: Model) -> Classifier:
        """The model, to answer in the recipe's engine and precision: float32, where that is left open."""
        precision = "float32" if self.recipe.inference.precision == "auto" else self.recipe.inference.precision
        return Classifier(model, engine=self.recipe.inference.engine, precision=precision)

    @property
    def _fraction(self) -> float:
        """The share of the side of the images learnt from that prediction sees of them: they may show more around."""
        return self.pixels.fraction if self.images.roomy else 1.0

    def _checkpoints(self, stage: str, rows: list[int], held: list[int]) -> Checkpoints:
        recipe = self.recipe
        return Checkpoints(
            self.site.checkpoints(stage),
            seconds=recipe.checkpoint.seconds,
            steps=recipe.checkpoint.steps,
            keep=recipe.checkpoint.keep,
            identity={**recipe.choices(), "net": self.net, "data": self._digest([rows, held])},
            stop=self.site.stop,
            advice=self.site.advice,
        )

    def _digest(self, parts: list[list[int]]) -> str:
        """Of the images learnt from and watched: how many, and a hash of them, their order, targets and pixels."""
        digest = hashlib.sha256(repr(self.pixels).encode())
        for rows in parts:
            digest.update(b"part\n")
            for entry_ in self.lots.entries(rows):
                digest.update(entry_.record.digest.encode())
            digest.update(np.ascontiguousarray(self.lots.targets(rows)).tobytes())
        learnt, watched = map(len, parts)
        return f"{learnt:,} images and {watched:,} held out, hash {digest.hexdigest()[:16]}"

    def _model(self, begun: Beginning, task: Task) -> Model:
        net = begun.net
        tensors, aliases = arrays_of(net)
        return Model(
            self.net,
            net.options,
            task,
            begun.pixels,
            tensors,
            head="head" if isinstance(net.head, nn.Linear) else "",
            extras={} if begun.mean_image is None else {"mean_image": begun.mean_image},
            aliases=aliases,
            memory_format="channels_last",  # as the loop leaves it
            strategy=self.recipe.strategy,
        )


class _Telling(Hook):
    """Tells of the run as it goes: a row an epoch, the bar, and the loop's own lines."""

    bar: Step

    def __init__(self, task: Task, on_epoch: Callable[[Row], None]) -> None:
        self.task, self.on_epoch = task, on_epoch
        self.say: Callable[[str], Any] = lambda line: None
        self.shown = 0

    def epoch_begins(self, run: Run) -> None:
        self.bar.advance(run.epoch - self.shown)  # a resumed run has epochs behind it
        self.shown = run.epoch

    def epoch_done(self, run: Run) -> None:
        report = run.reports[-1]
        self.on_epoch(_row(report, self.task))
        self.bar.note(_note(report, self.task))
        self.bar.advance()
        self.shown = run.epoch

    def note(self, run: Run, line: str) -> None:
        self.say(line)


def _in_units(begun: Beginning, examples: Examples) -> tuple[nn.Module, Examples, Rates | None]:
    """For a number, the net with its answers in the target's units, so that it starts from their mean and spread."""
    net, rates = begun.net, begun.rates
    if examples.task != "number":
        return net, examples, rates
    head = net.head
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise RequestError("a number is learnt by a net that ends in a linear layer; choose another net")
    targets = examples.targets
    unit = unit_of(targets)
    learner = InUnits(net, origin=float(targets.mean()), unit=unit)
    if begun.fitted:
        learner.unfold(head)
    inner = None if rates is None else lambda name: rates(name.removeprefix("net."))
    return learner, dataclasses.replace(examples, unit=unit), inner


def unit_of(numbers: Tensor) -> float:
    """What the loss of numbers counts errors in: the deviation of those that are learnt."""
    return float(numbers.std(correction=0)) or 1.0


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


def small_step(net: str, batch: int) -> bool:
    """Whether a step is so small that neither threads nor another arithmetic make it faster."""
    return entry(net).madds * batch < SMALL_STEP


def weightless(net: str, task: Task, pixels: Pixels) -> Net:
    """The net of that name on torch's meta device: no weights are drawn to ask it what it is made of."""
    with torch.device("meta"):
        size = (pixels.height, pixels.width)
        return create(net, classes=task.outputs, in_channels=pixels.channels, input_size=size)


@contextmanager
def threads_for(net: str, batch: int) -> Iterator[None]:
    """One thread for steps so small that threads would spend their time waiting for each other; else all.

    By size and not by a trial, because the number of threads decides the last bits of the weights.
    """
    before = torch.get_num_threads()
    if small_step(net, batch):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
