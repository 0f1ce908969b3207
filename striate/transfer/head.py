"""A linear head fitted to convergence, its C chosen by cross-validation; and out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from striate.inference.classifiers import ClassifierHead
from striate.tasks import Loss, Targets, Task
from striate.transfer.solver import EXACT, Design, Solution, minimise

Folds = NDArray[np.int64]

CS = tuple(float(10.0**power) for power in np.arange(-4.0, 3.01, 0.5))  # C: the inverse of the L2 penalty
START = 6  # where the search in CS begins
SEARCH_LIMIT = 5000  # held-out images that choose C: further folds hardly change the choice, but take their time
# Distance to the minimum, as a fraction of the loss. With many images it is far below what the images leave open.
SMALL, FINAL, BY_FOLD = 1e-7, 1e-5, 5e-4


@dataclass(frozen=True)
class Head:
    """weight [outputs, D] and bias [outputs], float32.

    C: as chosen; None for a head without. scores: (C, loss) for each C tried.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    C: float | None
    scores: tuple[tuple[float, float], ...]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features [N, D] -> logits [N, outputs]."""
        logits: NDArray[np.float32] = features @ self.weight.T + self.bias
        return logits


AnyHead = Head | ClassifierHead
SomeHead = TypeVar("SomeHead", bound=AnyHead, covariant=True)


@dataclass(frozen=True, eq=False)
class FittedHead(Generic[SomeHead]):
    """A head, and predictions [N, outputs] of its images by heads fitted without their fold; NaN without a fold."""

    head: SomeHead
    out_of_fold: NDArray[np.float32]


@dataclass(frozen=True)
class HeadData:
    """What a head is fitted to.

    features [N, D]. targets: as the task collates them. weights [N]: of the images; None: all equal; images of weight 0
    have no part in the head.
    loss: one of the task's; None: its default. Raises RequestError for another one.
    """

    features: NDArray[np.float32]
    targets: Targets
    task: Task
    weights: NDArray[np.float64] | None = None
    loss: str | None = None

    def __post_init__(self) -> None:
        self.task.loss_name(self.loss)


def fit_head(data: HeadData, *, folds: int = 5, seed: int = 0, fold: Folds | None = None) -> Head:
    """The fitted head alone: see `fit_with_folds`."""
    return fit_with_folds(data, folds=folds, seed=seed, fold=fold, predict=False).head


def fit_with_folds(
    data: HeadData,
    *,
    folds: int = 5,
    seed: int = 0,
    fold: Folds | None = None,
    predict: bool = True,
    on_try: Callable[[float], object] = lambda c: None,
) -> FittedHead[Head]:
    """Fit the head, and, unless `predict` is off, predict each image by a head that was fitted without its fold.

    Minimises the summed loss plus |W|^2 / (2 C), biases unpenalised. C minimises the loss over the folds, which are
    given by `fold` [N] or drawn at random: for classification the log loss, because on few images accuracy changes in
    steps and is equal over decades of C, while log loss has one smooth minimum. on_try: called with each C that is
    tried, and with the chosen one before the last fits.
    """
    fold = fold_of(data.targets, folds, seed) if fold is None else fold
    problem = _Problem.of(data)
    search = _search(problem, fold, on_try)
    c, fitted = search.c, search.nearest()
    on_try(c)
    held = [number for number in range(int(fold.max(initial=-1)) + 1) if (fold != number).any()] if predict else []
    # Each begins at a head that has not seen its fold either: what is learnt is not quite unlearnt.
    starts = [next(iter(fitted.values()), problem.zero), *(fitted.get(number, problem.zero) for number in held)]
    inside = [np.ones(len(fold), bool), *(fold != number for number in held)]
    head, *others = problem.fit(c, inside, starts, [FINAL, *[BY_FOLD] * len(held)])
    out_of_fold = np.full((len(fold), data.task.outputs), np.nan, np.float32)
    for number, other in zip(held, others, strict=True):
        rows, (weight, bias) = fold == number, problem.in_units(other)
        out_of_fold[rows] = data.task.predictions(data.features[rows] @ weight.T + bias)
    return FittedHead(Head(*problem.in_units(head), c, search.scores), out_of_fold)


def fold_of(targets: Targets, folds: int, seed: int) -> Folds:
    """A fold for each sample, stratified over whole-number targets: within a class fold sizes differ by at most one."""
    generator = np.random.default_rng(seed)
    labels = targets if targets.dtype.kind in "iu" else np.zeros(len(targets), np.int64)
    fold = np.empty(len(labels), np.int64)
    offset = 0
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        fold[members] = (np.arange(len(members)) + offset) % folds
        offset += len(members)  # so that small classes are not all in the first folds
    return fold


@dataclass(frozen=True, eq=False)
class _Problem:
    """The optimisation problem: features with their principal components, targets standardised, both reversible."""

    design: Design
    targets: Targets
    weights: NDArray[np.float64]
    loss: Loss
    outputs: int
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, data: HeadData) -> _Problem:
        weights = np.ones(len(data.features)) if data.weights is None else np.asarray(data.weights, np.float64)
        task, targets, centre, scale = data.task, data.targets, np.zeros(1), np.ones(1)
        # In standard deviations, so that one range of C fits metres and millimetres.
        if standard := task.standardisation(targets[weights > 0], data.loss):
            targets = standard.apply(targets)
            centre, scale = np.array(standard.centre), np.array(standard.scale)
        return cls(Design.of(data.features), targets, weights, task.loss(data.loss), task.outputs, centre, scale)

    @property
    def zero(self) -> Solution:
        """A head of zeros."""
        return self.design.zero(self.outputs)

    def fit(
        self, c: float, inside: Sequence[NDArray[np.bool_]], starts: Sequence[Solution], tolerances: Sequence[float]
    ) -> list[Solution]:
        """A head for each of `inside`, fitted to the images [N] that are True there. tolerances: for many images."""
        weights = np.stack([rows * self.weights for rows in inside])
        if self.design.x.size <= EXACT:  # the exact minimum costs little
            tolerances = [SMALL] * len(starts)
        return minimise(self.design, self.targets, weights, self.loss, c, starts, tolerances)

    def loss_of(self, head: Solution, rows: NDArray[np.bool_]) -> float:
        """The weighted sum of a head's losses on some of the images."""
        losses, _ = self.loss.numpy(self.design.logits(head, rows), self.targets[rows])
        return float(losses @ self.weights[rows])

    def in_units(self, head: Solution) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight and bias for the original features, in the targets' units, float32."""
        weight, bias = self.design.original(head)
        weight, bias = weight * self.scale[:, None], bias * self.scale + self.centre
        return weight.astype(np.float32), bias.astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Search:
    """The search for C. tried: by position in CS, the loss over the folds and the head of each fold by its number."""

    tried: Mapping[int, tuple[float, Mapping[int, Solution]]]

    @property
    def scores(self) -> tuple[tuple[float, float], ...]:
        """(C, mean loss) for each C tried, from strong to weak regularisation."""
        return tuple((CS[place], self.tried[place][0]) for place in sorted(self.tried))

    @property
    def c(self) -> float:
        """The C of the least loss."""
        return _least(self.scores) if self.tried else CS[START]

    def nearest(self) -> Mapping[int, Solution]:
        """The heads for the tried C that is nearest to the chosen one."""
        distances = {abs(np.log(CS[place] / self.c)): heads for place, (_, heads) in self.tried.items()}
        return distances[min(distances)] if distances else {}


def _search(problem: _Problem, fold: Folds, on_try: Callable[[float], object]) -> _Search:
    """Try values of C, downhill from START until the loss over the folds has risen on both sides."""
    sizes = np.bincount(fold[fold >= 0])
    enough = int(np.searchsorted(np.cumsum(sizes), SEARCH_LIMIT)) + 1
    held = {number: fold == number for number in range(len(sizes))[:enough]}
    held = {number: rows for number, rows in held.items() if rows.any() and not rows.all()}
    weight = sum(float(problem.weights[rows].sum()) for rows in held.values())
    tried: dict[int, tuple[float, Mapping[int, Solution]]] = {}

    def loss_at(place: int) -> float:
        if place not in tried:
            on_try(CS[place])
            near = min(tried, key=lambda other: abs(other - place), default=None)
            starts = [problem.zero if near is None else tried[near][1][number] for number in held]
            inside = [~rows for rows in held.values()]
            heads = dict(zip(held, problem.fit(CS[place], inside, starts, [BY_FOLD] * len(held)), strict=True))
            losses = [problem.loss_of(heads[number], rows) for number, rows in held.items()]
            tried[place] = sum(losses) / weight, heads
        return tried[place][0]

    best = START
    for step in (-1, 1) if held else ():
        while 0 <= best + step < len(CS) and loss_at(best + step) < loss_at(best):
            best += step
    return _Search(tried)


def _least(scores: Sequence[tuple[float, float]]) -> float:
    """The C of the least loss, by a parabola through the best one tried and its two neighbours.

    Without it, noise between folds would decide between values a factor of three apart.
    """
    loss = [value for _, value in scores]
    place = int(np.argmin(loss))
    if not 0 < place < len(loss) - 1:
        return scores[place][0]
    before, here, after = loss[place - 1 : place + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    step = np.log10(CS[1] / CS[0])
    return float(scores[place][0] * 10 ** (shift * step))
