"""A linear head fitted to convergence, its C chosen by cross-validation; and out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.tasks import Targets, Task
from striate.transfer.objective import Floats, minimum

Folds = NDArray[np.int64]

CS = tuple(float(10.0**power) for power in np.arange(-4.0, 1.01, 0.5))  # C: the inverse of the L2 penalty
SEARCH_LIMIT = 4000  # images used to search for C: with more, the choice hardly changes, but the time grows


@dataclass(frozen=True)
class Head:
    """weight [outputs, D] and bias [outputs], float32. C: as chosen. scores: (C, loss) for each C tried."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    C: float
    scores: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class HeadData:
    """What a head is fitted to.

    features [N, D]. targets: as the task collates them. weights [N]: of the images; None: all equal.
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
    """Fit the head.

    Minimises the summed loss plus |W|^2 / (2 C), biases unpenalised. C minimises the loss over the folds, which are
    given by `fold` [N] or drawn at random: for
    classification the log loss, because on few images accuracy changes in steps and is equal over decades of C, while
    log loss has one smooth minimum.
    """
    with _few_threads(data):
        problem = _Problem(data)
        fold = fold_of(data.targets, folds, seed) if fold is None else fold
        c, scores = _choose(problem, fold, seed)
        return problem.head(*problem.fit(c), c, scores)


def out_of_fold(data: HeadData, fold: Folds, c: float) -> NDArray[np.float32]:
    """Predictions [N, outputs] for each image by a head fitted without its fold; NaN for images of fold -1."""
    predictions = np.full((len(data.features), data.task.outputs), np.nan, np.float32)
    with _few_threads(data):
        problem = _Problem(data)
        start = problem.fit(c)
        for held in range(int(fold.max(initial=-1)) + 1):
            outside = fold == held
            head = problem.head(*problem.fit(c, fold != held, start), c, ())
            predictions[outside] = data.task.predictions(data.features[outside] @ head.weight.T + head.bias)
    return predictions


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


class _Problem:
    """The optimisation problem: features centred and rotated, targets standardised, both reversible."""

    def __init__(self, data: HeadData) -> None:
        self.centre = data.features.mean(axis=0, dtype=np.float64)
        x = data.features - self.centre
        self.basis: Floats | None = None
        if len(x) < x.shape[1]:
            # Fewer images than features: rotated into the span of the images, which changes neither fit nor penalty,
            # the problem has N unknowns per output instead of D.
            _, _, self.basis = np.linalg.svd(x.astype(np.float64), full_matrices=False)
            x = x @ self.basis.T
        self.x: Floats = x.astype(np.float64)
        self.weights = np.ones(len(x)) if data.weights is None else np.asarray(data.weights, np.float64)
        task = data.task
        self.loss, self.targets, self.outputs = task.loss(data.loss), data.targets, task.outputs
        self.shift: Floats | float = 0.0
        self.scale: Floats | float = 1.0
        # In standard deviations, so that one range of C fits metres and millimetres.
        if standard := task.standardisation(data.targets, data.loss):
            self.targets = standard.apply(data.targets)
            self.shift, self.scale = np.array(standard.centre), np.array(standard.scale)

    def fit(
        self, c: float, rows: NDArray[np.bool_] | None = None, start: tuple[Floats, Floats] | None = None
    ) -> tuple[Floats, Floats]:
        """Weight and bias over the rotated features, from the chosen rows."""
        start = start or (np.zeros((self.outputs, self.x.shape[1])), np.zeros(self.outputs))
        if rows is None:
            return minimum(self.x, self.targets, self.weights, self.loss, c, start)
        return minimum(self.x[rows], self.targets[rows], self.weights[rows], self.loss, c, start)

    def head(self, weight: Floats, bias: Floats, c: float, scores: tuple[tuple[float, float], ...]) -> Head:
        """Weight and bias for the original features, in the targets' units."""
        full = (weight if self.basis is None else weight @ self.basis) * np.reshape(self.scale, (-1, 1))
        offset = bias * self.scale + self.shift - full @ self.centre
        return Head(full.astype(np.float32), offset.astype(np.float32), c, scores)


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
    for c in CS:  # from strong to weak: each fit is warm-started from the one before
        total = 0.0
        for place, (inside, outside) in enumerate(folds):
            weight, bias = starts[place] = problem.fit(c, inside, starts[place])
            losses, _ = problem.loss.numpy(problem.x[outside] @ weight.T + bias, problem.targets[outside])
            total += float(losses @ problem.weights[outside])
        mean.append(total / float(problem.weights[among].sum()))
        if len(mean) > 2 and mean[-1] > mean[-2] > mean[-3]:
            break  # past the only minimum; and weaker penalties take longer to fit
    return _least(mean), tuple(zip(CS, mean, strict=False))


def _least(loss: Sequence[float]) -> float:
    """The C of the least loss, by a parabola through the best one tried and its two neighbours.

    Without it, noise between folds would decide between values a factor of three apart.
    """
    place = int(np.argmin(loss))
    if not 0 < place < len(loss) - 1:
        return CS[place]
    before, here, after = loss[place - 1 : place + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    step = np.log10(CS[1] / CS[0])
    return float(CS[place] * 10 ** (shift * step))


@contextmanager
def _few_threads(data: HeadData) -> Iterator[None]:
    # Imported here, where a head is fitted, because it takes a third of a second; and before the limit, which only
    # applies to loaded libraries: SciPy has its own BLAS.
    import scipy.optimize  # noqa: F401
    from threadpoolctl import threadpool_limits

    # Products this small run slower on several threads, and many times slower if other work uses a core.
    with threadpool_limits(1 if data.features.size < 2**24 else None, user_api="blas"):
        yield
