"""A trial: a network of the space, trained for a few epochs, and what that showed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from striate.errors import Diverged, RequestError, StriateError
from striate.layers.batch_statistics import batch_norms, recalibrate
from striate.nets.base import Net
from striate.nets.build import create_classifier
from striate.recipe import Recipe
from striate.training.evaluation import score
from striate.training.examples import Examples
from striate.training.loop import fit
from striate.training.view import View
from striate.tuning.architecture.objective import Objective, measured_latency, size_of
from striate.tuning.architecture.space import Point, Space


@dataclass(frozen=True)
class Trial:
    """A point that was tried. accuracy: on the validation images. latency and spread: None unless it is the cost.

    seconds: of training. failed: why there is no result; "" otherwise.
    """

    point: Point
    parameters: int = 0
    madds: int = 0
    latency: float | None = None
    spread: float | None = None
    accuracy: float = 0.0
    reward: float = 0.0
    seconds: float = 0.0
    failed: str = ""

    @property
    def cost(self) -> float:
        """What the objective weighs: the latency, where it was measured, else the multiply-adds."""
        return float(self.madds if self.latency is None else self.latency)

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return dataclasses.asdict(self) | {"point": list(self.point)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trial:
        """The trial that `as_dict` wrote. Raises RequestError for other values."""
        try:
            return cls(**{**values, "point": tuple(int(index) for index in values["point"])})
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError(f"not a trial of a search: {str(values)[:80]}") from error


@dataclass(frozen=True, eq=False)
class Judge:
    """Tries points of a space: trains each by `recipe`, from the same seed, on the same images."""

    space: Space
    objective: Objective
    training: Examples
    validation: Examples
    recipe: Recipe

    def __call__(self, point: Point) -> Trial:
        """The trial of a point; training that fails is a failed trial."""
        options = self.space.options_of(point)
        start = time.perf_counter()
        try:
            size = size_of(self.space.net, options, self.training.task.outputs, self.space.side)
            net, accuracy = trained(self.space.net, options, self.training, self.validation, self.recipe)
        except StriateError as error:
            return Trial(point, failed=str(error), seconds=time.perf_counter() - start)
        seconds = time.perf_counter() - start
        trial = Trial(point, *size, accuracy=accuracy, seconds=seconds)
        if self.objective.cost == "latency":
            latency = measured_latency(net, self.space.side)
            trial = dataclasses.replace(trial, latency=latency.seconds, spread=latency.spread)
        return dataclasses.replace(trial, reward=self.objective.reward(accuracy, trial.cost))


def trial_recipe(*, epochs: int, batch: int, seed: int) -> Recipe:
    """The short training of a trial: the recipe's defaults without augmentation."""
    return Recipe().updated(
        {
            "train.epochs": epochs,
            "train.batch": batch,
            "train.precision": "float32",
            "train.compile": "no",
            "augment": {"preset": "none"},
            "seed": seed,
        }
    )


def trained(
    net: str, options: Mapping[str, object], training: Examples, validation: Examples, recipe: Recipe
) -> tuple[Net, float]:
    """The network of these options, trained from random weights of the recipe's seed, and its validation accuracy.

    Its batch norms have the statistics of the training images: the running average of mobile networks forgets 1 % a
    step, so that after a trial's few steps it is still that of random weights, and all networks score as by chance.
    The caller's random state does not change. Raises RequestError or Diverged if it cannot be trained.
    """
    size = training.input_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        made = create_classifier(net, classes=training.task.outputs, input_size=size, options=options)
        fit(made, training, recipe)
    if any(norm.track_running_stats for norm in batch_norms(made)):
        view = View(training, next(made.parameters()).device)
        rows = torch.arange(len(training)).tensor_split(-(-len(training) // recipe.train.batch))
        recalibrate(made, (view.plain(some) for some in rows))
    found = score(made, validation)
    if not found == found:
        raise Diverged("the accuracy is not a number")
    return made, found
