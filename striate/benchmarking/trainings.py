"""The trainings of a net on one seed: each learning rate by validation, then the chosen one once on the test images."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.anatomy.summary import madds
from striate.benchmarking.bench_data import Rows
from striate.benchmarking.budget import RATES, TRAINING, EpochCost
from striate.benchmarking.contenders import Contender
from striate.benchmarking.energy import EnergyMeter
from striate.errors import RequestError, WorkError
from striate.inference.predictor import Predictor
from striate.learning.clock import Clock
from striate.learning.context import RunContext
from striate.learning.run_folder import FollowerFolder
from striate.learning.strategies.scratch import random_weights
from striate.learning.trainer import InitialState, Trainer
from striate.model import Model
from striate.model import read as read_model
from striate.model import write as write_model
from striate.nets.base import Net
from striate.progress import Progress
from striate.reading import TABLE, read_file
from striate.storage import json_text, write_text
from striate.tasks import Task
from striate.tasks.values import or_none
from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.weights.create import IMAGENET, create

PROBED = 512  # training images of a probe
PROBE_EPOCHS = 2  # the first one warms up


@dataclass(frozen=True)
class Try:
    """A training with one learning rate. score: the last one on validation images, None where the training failed.

    curve: (seconds since the start, score on validation images) after each epoch. joules: None where not readable.
    """

    lr: float
    epochs: int
    score: float | None
    seconds: float
    curve: tuple[tuple[float, float], ...] = ()
    error: str = ""
    joules: float | None = None

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Try:
        """From JSON values."""
        curve = tuple((float(seconds), float(score)) for seconds, score in facts["curve"])
        return cls(**{**facts, "curve": curve})


@dataclass(frozen=True)
class SeedResult:
    """A net on one seed. chosen: the place of the best try; None where all failed.

    score, interval: of the chosen one on the test images; image_scores: of each of them, in the order of the parts.
    """

    seed: int
    tries: tuple[Try, ...]
    chosen: int | None = None
    score: float | None = None
    interval: tuple[float, float] | None = None
    image_scores: tuple[float, ...] = ()

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> SeedResult:
        """From JSON values."""
        interval = facts["interval"]
        return cls(
            facts["seed"],
            tuple(map(Try.from_dict, facts["tries"])),
            facts["chosen"],
            facts["score"],
            None if interval is None else (interval[0], interval[1]),
            tuple(facts["image_scores"]),
        )

    @property
    def seconds(self) -> float:
        """Of all its trainings."""
        return sum(one.seconds for one in self.tries)

    @property
    def joules(self) -> float | None:
        """Of all its trainings; None where one is not known."""
        known = [one.joules for one in self.tries if one.joules is not None]
        return sum(known) if len(known) == len(self.tries) else None


def published_weights(trainer: Trainer, rows: list[int]) -> InitialState:
    """The net with its published weights and new output layers, and the preprocessing of these weights."""
    return InitialState(starting_net(trainer.net, trainer.task.outputs), trainer.data.pixels)


def starting_net(net: str, outputs: int) -> Net:
    """The net with its published weights, and new layers for so many outputs."""
    found = create(net, weights=IMAGENET, classes=outputs)
    assert isinstance(found, Net)
    return found


class Trainings:
    """Trains one net on one seed, in a folder of its own. What is finished there is read instead."""

    def __init__(self, contender: Contender, rows: Rows, folder: Path, context: RunContext) -> None:
        self.contender, self.rows, self.folder, self.context = contender, rows, folder, context

    @property
    def task(self) -> Task:
        """The task of the data."""
        return self.rows.prepared.split.audit.task

    def run(self, seed: int, epochs: int, told: Callable[[], None]) -> SeedResult:
        """The result of a seed, each learning rate trained for so many epochs. told: called after each of them."""
        folder = self.folder / f"seed-{seed}"
        done = _read(folder / "result.json")
        if done is not None:
            for _ in RATES:
                told()
            return SeedResult.from_dict(done)
        peak, trained = self.contender.recipe.optimizer.peak, list[Try]()
        for place, times in enumerate(RATES):
            trained.append(self._try(folder / f"rate-{place + 1}", seed, epochs, times * peak))
            told()
        tries = tuple(trained)
        chosen = best_try(tries, self.task)
        found = SeedResult(seed, tries)
        if chosen is not None:
            kept = folder / f"rate-{chosen + 1}" / "model.safetensors"
            found = self._scored(read_model(kept), dataclasses.replace(found, chosen=chosen))
        write_text(folder / "result.json", json_text(dataclasses.asdict(found)))
        for place in range(len(tries)):
            if place != chosen:
                (folder / f"rate-{place + 1}" / "model.safetensors").unlink(missing_ok=True)
        return found

    def model_path(self, found: SeedResult) -> Path:
        """The file of the model that was scored."""
        assert found.chosen is not None
        return self.folder / f"seed-{found.seed}" / f"rate-{found.chosen + 1}" / "model.safetensors"

    def probe(self) -> EpochCost:
        """Multiply-adds and seconds of an epoch, from two epochs on a part of the images; the second is timed."""
        rows, task = self.rows, self.task
        batch = self.contender.recipe.train.batch
        most = max(2 * batch, min(PROBED, len(rows.train)))
        some = rows.train[:: max(1, len(rows.train) // most)][:most]
        held_out = rows.val[: max(1, round(len(rows.val) * len(some) / len(rows.train)))]
        watch = _Watch()
        with tempfile.TemporaryDirectory() as folder:
            trainer = self._trainer(Path(folder), 0, PROBE_EPOCHS, 1e-6, watch)
            trainer.fit(some, held_out, lambda row: None)
        seconds = (watch.times[-1] - watch.times[-2]) * len(rows.train) / len(some)
        net, pixels = self.contender.on_meta(task), self.contender.pixels
        each = madds(net, (pixels.height, pixels.width))
        return EpochCost(float(TRAINING * each * len(rows.train)), seconds)

    def _try(self, folder: Path, seed: int, epochs: int, lr: float) -> Try:
        done = _read(folder / "try.json")
        if done is not None:
            return Try.from_dict(done)
        self.context.progress.say(f"{self.contender.label}, seed {seed}: learning rate {lr:.3g}, {epochs:,} epochs")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # of one that was stopped: its seconds are not known
        watch, curve = _Watch(), list[tuple[float, float]]()
        key = self.task.metric.curve_key
        started = time.perf_counter()
        meter = EnergyMeter()
        try:
            fitted = self._trainer(folder, seed, epochs, lr, watch).fit(
                self.rows.train,
                self.rows.val,
                lambda row: curve.append((time.perf_counter() - started, float(row[key]))),
            )
        except WorkError as error:  # such as a loss that is not finite: this learning rate is no candidate
            found = Try(lr, epochs, None, time.perf_counter() - started, tuple(curve), str(error))
        else:
            seconds, joules = time.perf_counter() - started, meter.joules()
            write_model(folder / "model.safetensors", fitted.model)
            found = Try(lr, epochs, or_none(curve[-1][1]), seconds, tuple(curve), "", joules)
        write_text(folder / "try.json", json_text(dataclasses.asdict(found)))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return found

    def _trainer(self, folder: Path, seed: int, epochs: int, lr: float, hook: Hook) -> Trainer:
        recipe = self.rows.prepared.recipe.updated(
            {
                "seed": seed,
                "train.epochs": epochs,
                "optimizer.lr": lr,
                "net.options": self.contender.options,
                "checkpoint.seconds": None,
            }
        )
        prepared = dataclasses.replace(self.rows.prepared, recipe=recipe)
        progress = _WithoutBars(self.context.progress)
        context = BenchmarkContext(FollowerFolder(folder), Clock(), progress, stop=self.context.stop)
        initial = published_weights if self.contender.pretrained else random_weights
        return Trainer(self.contender.net, prepared, context, initial, hooks=(hook,))

    def _scored(self, model: Model, found: SeedResult) -> SeedResult:
        """The result with the model's score on the test images."""
        images = self.rows.prepared.images
        assert images is not None
        predictor = Predictor(model, engine="torch", precision="float32")
        predictions = predictor.predictions(images.exact(self.rows.test))
        evaluation = self.task.evaluate("test", predictions, self.rows.prepared.split.targets(self.rows.test))
        scores = evaluation.image_scores
        if scores is None:
            raise RequestError(f"a benchmark compares nets image by image, and the {self.task.metric.name} is no mean "
                               "over images")  # fmt: skip
        return dataclasses.replace(
            found,
            score=or_none(evaluation.score),
            interval=evaluation.interval if all(map(math.isfinite, evaluation.interval)) else None,
            image_scores=tuple(scores.tolist()),
        )


class _WithoutBars(Progress):
    """Says what another one says; the benchmark has the bar."""

    def __init__(self, progress: Progress) -> None:
        self.say = progress.say  # type: ignore[method-assign]


class BenchmarkContext(RunContext):
    """The context of a benchmark, and of each of its trainings."""

    @property
    def advice(self) -> str:
        """How it goes on after a stop."""
        return "; the same command goes on with the benchmark, from what is finished"


class _Watch(Hook):
    """The time at the end of each epoch, with its validation."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def epoch_done(self, loop: LoopState) -> None:
        self.times.append(time.perf_counter())


def best_try(tries: tuple[Try, ...], task: Task) -> int | None:
    """The place of the try with the best score on validation images, the lower learning rate of equal ones."""
    best = None
    for place, one in enumerate(tries):
        if one.score is not None:
            known = None if best is None else tries[best].score
            if known is None or task.metric.better(one.score, known):
                best = place
    return best


def _read(path: Path) -> Mapping[str, Any] | None:
    """The facts of a finished file; None if there is none, or if it is damaged and must be made again."""
    try:
        found = json.loads(read_file(path, TABLE))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
