"""Two checks before a run: the loss before training against chance level, and whether a small batch can be overfitted.

Both are tried on copies of the network, which stays as it was, as does the random state.
"""

from __future__ import annotations

import copy
import dataclasses
import math
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
from striate.training.learner import LossFunction
from striate.training.loop import fit
from striate.training.loop_state import LoopState
from striate.training.optimizers import Rates
from striate.training.view import View

STEPS = 300  # until the batch is overfitted, at most
OFF = 1.5  # times chance level, or its part, from which on a first loss is strange


@dataclass(frozen=True)
class FirstLoss:
    """The loss before training, and that of chance level: ln(classes), or ln 2 a label; None: no such."""

    loss: float
    expected: float | None
    words: str = ""

    @property
    def strange(self) -> bool:
        """Whether the two are far apart."""
        return self.expected is not None and not self.expected / OFF <= self.loss <= self.expected * OFF

    def line(self) -> str:
        """Both, for the user."""
        if self.expected is None:
            return f"First loss {self.loss:.3g}"
        line = f"First loss {self.loss:.3g}; chance level is {self.words} = {self.expected:.3g}"
        if not self.strange:
            return line
        why = "the first weights are too large, or the images not normalised" if self.loss > self.expected else (
            "the net knows the labels already: from the images' files, or from weights that have seen them"
        )  # fmt: skip
        return f"{line}, which is far off: {why}"


@dataclass(frozen=True)
class Overfitted:
    """A batch of so many images was overfitted, in so many steps."""

    images: int
    steps: int

    def line(self) -> str:
        """The same, for the user."""
        return f"Overfitted a batch of {self.images} images in {self.steps} steps"


def first_loss(net: nn.Module, examples: Examples, recipe: Recipe) -> FirstLoss:
    """The mean loss of the images of a first batch, without augmentation or smoothing, before training.

    Normalisation goes by the batch, as in the first step: running averages have seen nothing yet.
    """
    rows = torch.from_numpy(permutation(recipe.seed, 0, len(examples))[: recipe.train.batch])
    trial = copy.deepcopy(net).train()
    view = View(examples, next(trial.parameters()).device)
    with torch.random.fork_rng(devices=[view.device] if view.device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(recipe.seed)
        logits = trial(view.plain(rows)).float()
    each = examples.loss(recipe, smoothed=False)
    loss = float(each(logits, view.targets[rows.to(view.device)]).mean())
    expected = each.untrained(logits.shape[1])
    return FirstLoss(loss, None) if expected is None else FirstLoss(loss, *expected)


def overfit_batch(
    net: nn.Module, examples: Examples, recipe: Recipe, *, images: int = 16, rates: Rates | None = None
) -> Overfitted:
    """Overfit a copy of `net` on a few images of several classes to 100 %, without augmentation, smoothing or decay.

    A net, a loss and a learning rate that cannot do that will not fit many images either. `rates`: as in `fit`.
    Raises WorkError where it does not within STEPS steps: with what was reached, and the likely causes.
    """
    few = _few(examples, max(images, min_batch_of(net)), recipe.seed)
    trial = copy.deepcopy(net)
    plain = recipe.for_trial().updated({
        "train": {"epochs": STEPS, "batch": max(len(few), recipe.train.accumulate), "compile": "no"},
        "schedule": {"name": "constant", "warmup_epochs": 0.0},
        "optimizer.weight_decay": 0.0, "loss.label_smoothing": 0.0, "augment": NO_AUGMENTATION,
    })  # fmt: skip
    loss = examples.loss(plain)  # in the scale of all targets, and not of the few
    known = _Known(few, examples, loss)
    try:
        fit(trial, few, plain, hooks=[known], rates=rates, loss=loss)
    except NotFinite as error:
        raise WorkError(f"the check by {len(few)} images failed: {error}") from error
    if not known.reached:
        raise WorkError(known.failure(recipe))
    return Overfitted(len(few), known.steps)


class _Known(Hook):
    """Ends the run when every image is answered right."""

    def __init__(self, few: Examples, every: Examples, loss: LossFunction) -> None:
        self.few, self.every, self.loss = few, every, loss
        self.reached, self.steps = False, 0
        self.first = self.last = math.nan
        self.best = Validation(math.nan, math.inf)
        self.silent: list[str] = []

    def start(self, loop: LoopState) -> None:
        self.view = View(self.few, loop.device)

    def gradients_ready(self, loop: LoopState) -> None:
        trained = [(name, one) for name, one in loop.net.named_parameters() if one.requires_grad and one.ndim > 1]
        self.silent = [name for name, one in trained if one.grad is None or not one.grad.any()]

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
        """What was reached, and why no more."""
        metric, count = self.few.task.metric, len(self.few)
        reached = f"the {metric.name} was {metric.text(self.best.score)}"
        moved = f"the loss went from {self.first:.3g} to {self.last:.3g}"
        failed = f"not even a batch of {count} images was overfitted"
        return f"{failed}: after {self.steps} steps {reached}, {moved}; {self._cause(recipe)}"

    def _cause(self, recipe: Recipe) -> str:
        rate, fell = recipe.optimizer.peak, (self.first - self.last) / max(abs(self.first), 1e-9)
        if _contradicting(self.few):
            return "likely cause: labels, as the same image is there twice with different ones"
        if fell < -0.05:
            return f"likely cause: a learning rate of {rate:g} that is too high"
        if self.silent:
            dead = f"a dead net, as no gradient reaches {self.silent[-1]!r}"
            return f"likely cause: {dead}: badly begun, or killed by a learning rate of {rate:g}"
        if fell < 0.05:
            return f"likely cause: a learning rate of {rate:g} that is too low"
        return (
            f"likely causes: a learning rate of {rate:g} that is too low or too high, labels that contradict each "
            "other, or a net that is too small"
        )


def _few(examples: Examples, images: int, seed: int) -> Examples:
    """Some of the examples, all alike in weight: class by class in turn, where there are classes."""
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
    """Whether the same image is there with different targets."""
    seen: dict[bytes, bytes] = {}
    for image, target in zip(few.images, few.targets, strict=True):
        told = target.cpu().numpy().tobytes()
        if seen.setdefault(image.cpu().numpy().tobytes(), told) != told:
            return True
    return False
