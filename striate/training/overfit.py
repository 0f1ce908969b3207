"""Two checks before a run: the initial loss against chance level, and overfitting a small batch.

Both run on copies of the network; the network and the random state do not change.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from striate.data.augment.keyed import permutation
from striate.errors import WorkError
from striate.recipe import Recipe
from striate.recipe.augment import NO_AUGMENTATION
from striate.training.batches import min_batch_of
from striate.training.evaluation import Validation, validate
from striate.training.examples import Examples
from striate.training.failure import NotFinite
from striate.training.hooks import Hook
from striate.training.loop import fit
from striate.training.loop_state import LoopState
from striate.training.optimizers import Rates
from striate.training.training_module import LossFunction
from striate.training.view import View

STEPS = 300  # maximum, to overfit the batch
_LATEST = 16  # steps without a gradient after which a parameter counts as dead: some nets leave parts out at random
OFF = 1.5  # factor above or below chance level from which an initial loss is suspicious


@dataclass(frozen=True)
class FirstLoss:
    """The loss before training, and that of chance level: ln(classes), or ln 2 per label; None for regression."""

    loss: float
    expected: float | None
    words: str = ""

    @property
    def suspicious(self) -> bool:
        """Whether the two differ by more than the factor OFF."""
        return self.expected is not None and not self.expected / OFF <= self.loss <= self.expected * OFF

    def line(self) -> str:
        """Both, as a line for the user."""
        if self.expected is None:
            return f"First loss {self.loss:.3g}"
        line = f"First loss {self.loss:.3g}; chance level is {self.words} = {self.expected:.3g}"
        if not self.suspicious:
            return line
        why = "the initial weights are too large, or the images are not normalised" if self.loss > self.expected else (
            "the net predicts the labels already: a leak in the image files, or weights trained on these images"
        )  # fmt: skip
        return f"{line}, which is far off: {why}"


@dataclass(frozen=True)
class Overfitted:
    """A batch of `images` images was overfitted in `steps` steps."""

    images: int
    steps: int

    def line(self) -> str:
        """As a line for the user."""
        return f"Overfitted a batch of {self.images} images in {self.steps} steps"


def first_loss(net: nn.Module, examples: Examples, recipe: Recipe) -> FirstLoss:
    """The mean loss on a first batch before training, without augmentation or label smoothing.

    Batch normalisation uses the batch's statistics, as in the first step: the running averages hold nothing yet.
    """
    rows = torch.from_numpy(permutation(recipe.seed, 0, len(examples))[: recipe.train.batch])
    trial = copy.deepcopy(net).train()
    view = View(examples, next(trial.parameters()).device)
    with torch.random.fork_rng(devices=[view.device] if view.device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(recipe.seed)
        logits = trial(view.plain(rows)).float()
    each = examples.loss(recipe, smoothed=False)
    loss = float(each(logits, view.targets(rows)).mean())
    expected = each.untrained(logits.shape[1])
    return FirstLoss(loss, None) if expected is None else FirstLoss(loss, *expected)


def overfit_batch(
    net: nn.Module, examples: Examples, recipe: Recipe, *, images: int = 16, rates: Rates | None = None
) -> Overfitted:
    """Overfit a copy of `net` on a few images of several classes to 100 %, without augmentation, label smoothing or
    weight decay.

    A net, a loss and a learning rate that cannot do this will not fit many images either. `rates`: as in `fit`.
    Raises WorkError if it fails within STEPS steps, with the score reached and the likely causes.
    """
    few = _few(examples, max(images, min_batch_of(net)), recipe.seed)
    trial = copy.deepcopy(net)
    plain = recipe.for_trial().updated({
        "train": {"epochs": STEPS, "batch": max(len(few), recipe.train.accumulate), "compile": "no"},
        "schedule": {"name": "constant", "warmup_epochs": 0.0},
        "optimizer.weight_decay": 0.0, "loss.label_smoothing": 0.0, "augment": NO_AUGMENTATION,
    })  # fmt: skip
    loss = examples.loss(plain)  # in the scale of all targets, not of these few
    known = _StopWhenFitted(few, examples, loss)
    try:
        fit(trial, few, plain, hooks=[known], rates=rates, loss=loss)
    except NotFinite as error:
        raise WorkError(f"the check on {len(few)} images failed: {error}") from error
    if not known.reached:
        raise WorkError(known.failure(recipe))
    return Overfitted(len(few), known.steps)


class _StopWhenFitted(Hook):
    """Ends the run once every image is predicted correctly."""

    def __init__(self, few: Examples, every: Examples, loss: LossFunction) -> None:
        self.few, self.every, self.loss = few, every, loss
        self.reached, self.steps = False, 0
        self.first = self.last = math.nan
        self.best = Validation(math.nan, math.inf)
        self.silent: list[str] = []  # no gradient reached them in any of the latest steps
        self._latest: deque[set[str]] = deque(maxlen=_LATEST)

    def start(self, loop: LoopState) -> None:
        self.view = View(self.few, loop.device)

    def gradients_ready(self, loop: LoopState) -> None:
        trained = [(name, one) for name, one in loop.net.named_parameters() if one.requires_grad and one.ndim > 1]
        self._latest.append({name for name, one in trained if one.grad is None or not one.grad.any()})
        self.silent = [name for name, _ in trained if all(name in silent for silent in self._latest)]

    def epoch_done(self, loop: LoopState) -> None:
        self.steps = loop.epoch
        if loop.epoch == 1:
            self.first = loop.reports[0].loss
        found = validate(loop.net, self.view, self.loss, precision=loop.recipe.train.precision)
        self.last = loop.reports[-1].loss
        if found.loss < self.best.loss:
            self.best = found
        self.reached = loop.over = self.few.task.fitted(found.score, self.every.targets.cpu().numpy())

    def failure(self, recipe: Recipe) -> str:
        """The score reached, and the likely cause."""
        metric, count = self.few.task.metric, len(self.few)
        reached = f"the {metric.name} was {metric.text(self.best.score)}"
        moved = f"the loss went from {self.first:.3g} to {self.last:.3g}"
        failed = f"not even a batch of {count} images was overfitted"
        return f"{failed}: after {self.steps} steps {reached}, {moved}; {self._cause(recipe)}"

    def _cause(self, recipe: Recipe) -> str:
        rate, fell = recipe.optimizer.peak, (self.first - self.last) / max(abs(self.first), 1e-9)
        if _contradicting(self.few):
            return "likely cause: contradicting labels: the same image occurs twice with different labels"
        if fell < -0.05:
            return f"likely cause: a learning rate of {rate:g} that is too high"
        if self.silent:
            dead = f"a dead net, as no gradient reaches {self.silent[-1]!r}"
            return f"likely cause: {dead}: badly initialised, or destroyed by a learning rate of {rate:g}"
        if fell < 0.05:
            return f"likely cause: a learning rate of {rate:g} that is too low"
        return (
            f"likely causes: a learning rate of {rate:g} that is too low or too high, labels that contradict each "
            "other, or a net that is too small"
        )


def _few(examples: Examples, images: int, seed: int) -> Examples:
    """A few examples of equal weight, taken from the classes in turn if there are classes."""
    order = permutation(seed, 0, len(examples))
    if examples.task.one_class:
        labels = examples.targets.cpu().numpy()[order]
        turn = np.zeros(len(order), np.int64)
        for label in np.unique(labels):
            turn[labels == label] = np.arange((labels == label).sum())
        order = order[np.argsort(turn, kind="stable")]
    rows = torch.from_numpy(order[:images].copy())
    found = examples.images[rows if examples.among is None else examples.among[rows]]
    return dataclasses.replace(
        examples, images=found, targets=examples.targets[rows], among=None, sample_weights=None, sampling_weights=None
    )


def _contradicting(few: Examples) -> bool:
    """Whether the same image occurs with different targets."""
    seen: dict[bytes, bytes] = {}
    for image, target in zip(few.images, few.targets, strict=True):
        told = target.cpu().numpy().tobytes()
        if seen.setdefault(image.cpu().numpy().tobytes(), told) != told:
            return True
    return False
