"""A linear head fitted to convergence, its strength chosen by cross-validation; and answers to images it never saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.task import Targets, Task
from striate.transfer.objective import Floats, Loss, binary_cross_entropy, cross_entropy, huber, minimum, squared

Folds = NDArray[np.int64]

STRENGTHS = tuple(float(10.0**power) for power in np.arange(-4.0, 1.01, 0.5))  # C: the inverse of the L2 penalty
SEARCH_LIMIT = 4000  # images the search for C looks at: beyond, the choice hardly moves and the time does
# The losses each kind of task may have; the first is its own.
LOSSES = {"class": ("cross-entropy",), "labels": ("binary-cross-entropy",), "number": ("mse", "huber")}


@dataclass(frozen=True)
class Head:
    """weight [outputs, D] and bias [outputs], float32. strength: the C chosen. scores: (C, loss) for each C tried."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    strength: float
    scores: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Lesson:
    """What a head learns from.

    features [N, D]. targets: as the task has them. weights [N]: how much each image counts; None: all alike.
    loss: of a number, "mse", which None is, too, or "huber"; other tasks have one loss.
    """

    features: NDArray[np.float32]
    targets: Targets
    task: Task
    weights: NDArray[np.float64] | None = None
    loss: str | None = None

    def __post_init__(self) -> None:
        check_loss(self.task, self.loss)


def check_loss(task: Task, loss: str | None) -> None:
    """Raise RequestError for a loss that does not go with the task."""
    if loss is not None and loss not in LOSSES[task.kind]:
        known = " or ".join(map(repr, LOSSES[task.kind]))
        raise RequestError(f"a task of kind {task.kind!r} is not trained with the loss {loss!r}, but with {known}")


def fit_head(lesson: Lesson, *, folds: int = 5, seed: int = 0, fold: Folds | None = None) -> Head:
    """Fit the head.

    Minimises the summed loss plus |W|^2 / (2 C), biases free. C has the least loss over the folds, which are given by
    `fold` [N] or drawn: of classes it is the log loss, because on few images accuracy moves in steps and is alike over
    decades of C, where log loss has one smooth minimum.
    """
    with _few_threads(lesson):
        problem = _Problem(lesson)
        fold = fold_of(lesson.targets, folds, seed) if fold is None else fold
        strength, scores = _choose(problem, fold, seed)
        return problem.head(*problem.fit(strength), strength, scores)


def out_of_fold(lesson: Lesson, fold: Folds, strength: float) -> NDArray[np.float32]:
    """Answers [N, outputs] to each image by a head fitted without its fold; NaN for images of fold -1."""
    answers = np.full((len(lesson.features), lesson.task.outputs), np.nan, np.float32)
    with _few_threads(lesson):
        problem = _Problem(lesson)
        start = problem.fit(strength)
        for held in range(int(fold.max(initial=-1)) + 1):
            outside = fold == held
            head = problem.head(*problem.fit(strength, fold != held, start), strength, ())
            answers[outside] = lesson.task.answers(lesson.features[outside] @ head.weight.T + head.bias)
    return answers


def fold_of(targets: Targets, folds: int, seed: int) -> Folds:
    """A fold for each sample, stratified over whole-number targets: within a class fold sizes differ by at most one."""
    generator = np.random.default_rng(seed)
    labels = targets if targets.dtype.kind in "iu" else np.zeros(len(targets), np.int64)
    fold = np.empty(len(labels), np.int64)
    offset = 0
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        fold[members] = (np.arange(len(members)) + offset) % folds
        offset += len(members)  # so that small classes do not all fill the first folds
    return fold


class _Problem:
    """A lesson as numbers to minimise over: features centred and turned small, targets as columns, both reversible."""

    def __init__(self, lesson: Lesson) -> None:
        self.centre = lesson.features.mean(axis=0, dtype=np.float64)
        x = lesson.features - self.centre
        self.basis: Floats | None = None
        if len(x) < x.shape[1]:
            # Fewer images than features: rotated into the span of the images, which changes neither fit nor penalty,
            # the problem has N unknowns an output instead of D.
            _, _, self.basis = np.linalg.svd(x.astype(np.float64), full_matrices=False)
            x = x @ self.basis.T
        self.x: Floats = x.astype(np.float64)
        self.weights = np.ones(len(x)) if lesson.weights is None else np.asarray(lesson.weights, np.float64)
        self.loss: Loss = {"class": cross_entropy, "labels": binary_cross_entropy, "number": squared}[lesson.task.kind]
        self.shift, self.scale = 0.0, 1.0
        if lesson.task.kind == "class":
            self.truth = np.eye(lesson.task.outputs)[lesson.targets]
        elif lesson.task.kind == "labels":
            self.truth = lesson.targets.astype(np.float64)
        else:
            self._standardise(lesson)

    def _standardise(self, lesson: Lesson) -> None:
        """A number in its own deviations, so that one range of strengths serves metres and millimetres."""
        values = lesson.targets.astype(np.float64)
        self.shift, self.scale = float(values.mean()), float(values.std()) or 1.0
        if lesson.loss == "huber":
            self.loss = huber
            self.shift = float(np.median(values))
            self.scale = 1.4826 * float(np.median(np.abs(values - self.shift))) or self.scale
        self.truth = ((values - self.shift) / self.scale)[:, None]

    def fit(
        self, strength: float, rows: NDArray[np.bool_] | None = None, start: tuple[Floats, Floats] | None = None
    ) -> tuple[Floats, Floats]:
        """Weight and bias over the turned features, from the chosen rows."""
        if rows is None:
            return minimum(self.x, self.truth, self.weights, self.loss, strength, start)
        return minimum(self.x[rows], self.truth[rows], self.weights[rows], self.loss, strength, start)

    def head(self, weight: Floats, bias: Floats, strength: float, scores: tuple[tuple[float, float], ...]) -> Head:
        """Weight and bias as they stand over the features themselves, in the target's own units."""
        full = (weight if self.basis is None else weight @ self.basis) * self.scale
        offset = bias * self.scale + self.shift - full @ self.centre
        return Head(full.astype(np.float32), offset.astype(np.float32), strength, scores)


def _choose(problem: _Problem, fold: Folds, seed: int) -> tuple[float, tuple[tuple[float, float], ...]]:
    chosen = np.flatnonzero(fold >= 0)
    if len(chosen) > SEARCH_LIMIT:
        chosen = np.random.default_rng(seed).permutation(chosen)[:SEARCH_LIMIT]
    among = np.zeros(len(fold), bool)
    among[chosen] = True
    folds = [(among & (fold != held), among & (fold == held)) for held in np.unique(fold[among])]
    folds = [(inside, outside) for inside, outside in folds if inside.any()]
    starts: list[tuple[Floats, Floats] | None] = [None] * len(folds)
    mean: list[float] = []
    for strength in STRENGTHS:  # from strong to weak: each fit starts at the one before
        total = 0.0
        for place, (inside, outside) in enumerate(folds):
            weight, bias = starts[place] = problem.fit(strength, inside, starts[place])
            losses, _ = problem.loss(problem.x[outside] @ weight.T + bias, problem.truth[outside])
            total += float(losses @ problem.weights[outside])
        mean.append(total / float(problem.weights[among].sum()))
        if len(mean) > 2 and mean[-1] > mean[-2] > mean[-3]:
            break  # past the one minimum there is; and the weaker the penalty, the longer a fit takes
    return _least(mean), tuple(zip(STRENGTHS, mean, strict=False))


def _least(loss: Sequence[float]) -> float:
    """The strength of the least loss, by the parabola through the least one tried and its two neighbours.

    Without it two folds of chance decide between strengths a factor of three apart.
    """
    place = int(np.argmin(loss))
    if not 0 < place < len(loss) - 1:
        return STRENGTHS[place]
    before, here, after = loss[place - 1 : place + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    step = np.log10(STRENGTHS[1] / STRENGTHS[0])
    return float(STRENGTHS[place] * 10 ** (shift * step))


@contextmanager
def _few_threads(lesson: Lesson) -> Iterator[None]:
    # Imported here, where a head is fitted, because it takes a third of a second; and before the limit, which only
    # reaches libraries that are loaded: SciPy brings a BLAS of its own.
    import scipy.optimize  # noqa: F401
    from threadpoolctl import threadpool_limits

    # Products this small run slower on several threads, and many times slower when other work holds a core.
    with threadpool_limits(1 if lesson.features.size < 2**24 else None, user_api="blas"):
        yield
