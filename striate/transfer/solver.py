"""Linear heads over the same features, minimised together by preconditioned L-BFGS.

A head's loss plus L2 penalty is convex. Three things make it fast, for many classes and for many heads (one a fold):
- The preconditioner is the Hessian with each output's mean curvature in place of the images' own. It is diagonal in
  the basis of the features' principal components, and L-BFGS then needs tens of steps rather than thousands.
- The logits are linear in the head, so that a line search costs no product with the features.
- The heads of all folds share each product with the features.

Source of L-BFGS: Nocedal and Wright, Numerical Optimization, 2nd edition, section 7.2.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.tasks import Loss, Targets

Array = NDArray[Any]

MEMORY = 10  # pairs of steps and gradient changes that L-BFGS keeps
STEPS = 500  # at most
EXACT = 2**20  # numbers in the features: up to here the arithmetic is in float64, which costs little
STRIP = 2**20  # logits whose losses are computed at a time
TOGETHER = 2**28  # bytes of state: heads beyond that are fitted one after the other
ARMIJO = 1e-4  # the share of the expected decrease that a step must reach
SHORTENINGS = 20  # of one step, at most


@dataclass(frozen=True, eq=False)
class Solution:
    """A head: weight [outputs, D] over the basis of its `Design`, and bias [outputs]."""

    weight: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class Design:
    """Features prepared for fitting heads: centred (on the fly), and their principal components known.

    x [N, R]: the features, or, if there are few images, their coordinates in the principal components.
    centre [D]: their mean. axes [D, R]: the principal components. variances [R]: the sum of squares along each.
    rotated: whether x is in the coordinates of the components.
    """

    x: Array
    centre: Array
    axes: Array
    variances: Array
    rotated: bool

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Design:
        """The design of features [N, D]. A copy is only made of few images."""
        count, width = features.shape
        mean = features.mean(axis=0, dtype=np.float64)
        if count >= 2 * width:
            products = (features.T @ features).astype(np.float64) - count * np.outer(mean, mean)
            variances, axes = np.linalg.eigh(products)
            dtype = np.float64 if features.size <= EXACT else np.float32
            return cls(
                features.astype(dtype, copy=False), mean.astype(dtype), axes.astype(dtype),
                np.maximum(variances, 0).astype(dtype), rotated=False,
            )  # fmt: skip
        x = features - mean  # in float64
        if count <= width:
            # Fewer images than features: N coordinates rather than D change neither fit nor penalty.
            variances, left = np.linalg.eigh(x @ x.T)
            kept = variances > 1e-12 * max(float(variances[-1]), 1e-300)
            lengths = np.sqrt(variances[kept])
            axes, x = x.T @ (left[:, kept] / lengths), left[:, kept] * lengths
            variances = variances[kept]
        else:
            variances, axes = np.linalg.eigh(x.T @ x)
            x = x @ axes
        dtype = np.float64 if x.size <= EXACT else np.float32
        return cls(x.astype(dtype), mean, axes, np.maximum(variances, 0).astype(dtype), rotated=True)

    def zero(self, outputs: int) -> Solution:
        """A head of zeros."""
        return Solution(np.zeros((outputs, self.x.shape[1]), self.x.dtype), np.zeros(outputs, self.x.dtype))

    def logits(self, head: Solution, rows: Array | slice = slice(None)) -> Array:
        """Logits [rows, outputs] of a head on some of the images."""
        return np.asarray(self._products(head.weight, self.x[rows]) + head.bias)

    def original(self, head: Solution) -> tuple[Array, Array]:
        """Weight [outputs, D] and bias [outputs] in float64 over the features as they were given."""
        weight = np.asarray(head.weight, np.float64)
        if self.rotated:
            weight = weight @ self.axes.T
        return weight, head.bias - weight @ self.centre

    def _products(self, weight: Array, x: Array | None = None) -> Array:
        """[N, outputs]: the centred features times weights [outputs, R]."""
        products = (self.x if x is None else x) @ weight.T
        return products if self.rotated else products - weight @ self.centre

    def _gradient(self, slopes: Array) -> Array:
        """[outputs, R]: slopes [N, outputs] times the centred features."""
        gradient = slopes.T @ self.x
        return gradient if self.rotated else gradient - np.outer(slopes.sum(axis=0), self.centre)

    def _divided(self, weight: Array, curvature: Array, penalty: float) -> Array:
        """Weights [outputs, R] times the inverse of the Hessian whose curvature is that of each output."""
        divisor = self.variances * curvature[:, None] + penalty
        return weight / divisor if self.rotated else ((weight @ self.axes) / divisor) @ self.axes.T


def minimise(
    design: Design,
    targets: Targets,
    weights: Array,
    loss: Loss,
    c: float,
    starts: Sequence[Solution],
    tolerances: Sequence[float],
) -> list[Solution]:
    """The heads that minimise the weighted sum of losses plus |W|^2 / (2 C), one a row of `weights` [heads, N].

    starts: where each begins. tolerances: a head is finished when it is expected to be nearer to the minimum than this
    fraction of its value. With a loss that is the mean over independent outputs the penalty is a mean too, so that C
    means the same for one output as for many.
    """
    outputs = len(starts[0].bias)
    penalty = 1 / (c * outputs) if loss.averages_outputs else 1 / c
    heads = [
        _Descent(design, targets, weight, loss, penalty, start, tolerance)
        for weight, start, tolerance in zip(weights, starts, tolerances, strict=True)
    ]
    count, width = design.x.shape
    state = design.x.itemsize * outputs * (6 * count + (2 * MEMORY + 6) * width)
    cores = min(len(heads), os.cpu_count() or 1) if design.x.size > EXACT else 1
    together = max(1, TOGETHER // state // cores)
    groups = max(cores, -(-len(heads) // together))
    # A thread for each group, rather than all threads on one product: these would wait for each other at every step,
    # and for long if other work uses a core.
    with _threads_each(cores), ThreadPoolExecutor(cores) as pool:
        list(pool.map(lambda number: _descend(design, heads[number::groups]), range(groups)))
    return [Solution(head.weight, head.bias) for head in heads]


@contextmanager
def _threads_each(groups: int) -> Iterator[None]:
    """Limit the threads of each product to the cores of a group."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(max(1, (os.cpu_count() or 1) // groups) if groups > 1 else 1, user_api="blas"):
        yield


def _descend(design: Design, heads: Sequence[_Descent]) -> None:
    """Step all heads until each is at its minimum; products with the features are made for all at once."""
    logits = design._products(np.concatenate([head.weight for head in heads]))
    slopes = [head.begin(part) for head, part in zip(heads, np.split(logits, len(heads), axis=1), strict=True)]
    moving = _turned(design, heads, slopes)
    for _ in range(STEPS):
        if not moving:
            break
        products = design._products(np.concatenate([head.direction.weight for head in moving]))
        slopes = [head.step(part) for head, part in zip(moving, np.split(products, len(moving), axis=1), strict=True)]
        moving = _turned(design, moving, slopes)
    for head in heads:
        head.finish()


def _turned(design: Design, heads: Sequence[_Descent], slopes: Sequence[Array]) -> list[_Descent]:
    """Turn each head to its next direction; returns those that are not at their minimum yet."""
    gradients = np.split(design._gradient(np.concatenate(slopes, axis=1)), len(heads))
    return [
        head
        for head, slope, gradient in zip(heads, slopes, gradients, strict=True)
        if head.turn(gradient, slope.sum(axis=0))
    ]


class _Descent:
    """One head on its way to the minimum."""

    def __init__(
        self,
        design: Design,
        targets: Targets,
        weights: Array,
        loss: Loss,
        penalty: float,
        start: Solution,
        tolerance: float,
    ) -> None:
        self.design, self.targets, self.loss, self.penalty, self.tolerance = design, targets, loss, penalty, tolerance
        self.weights = np.asarray(weights, np.float64)
        self.total = float(self.weights.sum())
        self.weight, self.bias = start.weight, start.bias
        self.pairs: deque[tuple[Solution, Solution, float]] = deque(maxlen=MEMORY)
        self.direction = self.gradient = start
        self.moved: Solution | None = None

    def begin(self, products: Array) -> Array:
        """Take the products of the features with the first weights; return the slopes [N, outputs]."""
        self.logits = products + self.bias
        self.value, slopes = self._evaluate(self.logits, self.weight)
        parts = [self.weights[rows] @ self._curvature(rows) for rows in _strips(self.logits)]
        curvature = np.sum(parts, axis=0) / self.total
        floor = 1e-3 * max(float(curvature.max()), 1e-30)  # an output that is hardly used would make endless steps
        self.curvature = np.maximum(curvature, floor).astype(self.logits.dtype)
        return slopes

    def step(self, products: Array) -> Array:
        """Step along the direction, given its products with the features; return the slopes [N, outputs] there."""
        along = products + self.direction.bias
        own, mixed, other = (
            _dot(self.weight, self.weight),
            _dot(self.weight, self.direction.weight),
            _dot(self.direction.weight, self.direction.weight),
        )
        size, noise = 1.0, 1e-7 * abs(self.value)  # rounding in float32 may hide the last decreases
        for _ in range(SHORTENINGS):
            logits = self.logits + np.asarray(size, along.dtype) * along
            value, slopes = self._evaluate(logits)
            value += 0.5 * self.penalty * (own + 2 * size * mixed + size * size * other)
            if value <= self.value - ARMIJO * size * self.decrease + noise:
                break
            excess = value - self.value + size * self.decrease
            size = min(max(0.5 * size * size * self.decrease / excess, 0.1 * size), 0.5 * size)
        scale = np.asarray(size, along.dtype)
        self.moved = Solution(self.direction.weight * scale, self.direction.bias * scale)
        self.weight, self.bias = self.weight + self.moved.weight, self.bias + self.moved.bias
        self.logits, self.value = logits, value
        return slopes

    def turn(self, gradient: Array, bias: Array) -> bool:
        """Take the gradient of the losses and choose the next direction; False at the minimum."""
        now = Solution(gradient + np.asarray(self.penalty, gradient.dtype) * self.weight, bias)
        if self.moved is not None:
            change = Solution(now.weight - self.gradient.weight, now.bias - self.gradient.bias)
            product = _inner(self.moved, change)
            if product > 0:
                self.pairs.append((self.moved, change, 1 / product))
        self.gradient = now
        self.direction = self._direction()
        self.decrease = -_inner(self.direction, now)
        return self.decrease > 2 * self.tolerance * abs(self.value)

    def _evaluate(self, logits: Array, weight: Array | None = None) -> tuple[float, Array]:
        """The weighted sum of losses, with the penalty of `weight`, and the weighted slopes."""
        losses, slopes = np.empty(len(logits)), np.empty_like(logits)
        for rows in _strips(logits):  # so that what a loss needs beside its results stays small, and in the cache
            losses[rows], slope = self.loss.numpy(logits[rows], self.targets[rows])
            weights = self.weights[rows].astype(logits.dtype)[:, None]
            np.multiply(slope.astype(logits.dtype, copy=False), weights, out=slopes[rows])
        value = float(losses @ self.weights)
        if weight is not None:
            value += 0.5 * self.penalty * _dot(weight, weight)
        return value, slopes

    def _curvature(self, rows: slice) -> Array:
        return self.loss.curvature(self.logits[rows], self.targets[rows])

    def finish(self) -> None:
        """Drop what only the next step would need."""
        del self.logits
        self.pairs.clear()

    def _direction(self) -> Solution:
        """The two-loop recursion."""
        weight, bias = self.gradient.weight, self.gradient.bias
        shares = []
        for moved, change, scale in reversed(self.pairs):
            share = scale * (_dot(moved.weight, weight) + _dot(moved.bias, bias))
            shares.append(share)
            weight, bias = weight - _like(share, weight) * change.weight, bias - _like(share, bias) * change.bias
        images = self.total / len(self.weights)  # the variances are those of all images, each of weight 1
        weight = self.design._divided(weight, images * self.curvature, self.penalty)
        bias = bias / (self.total * self.curvature)
        for (moved, change, scale), share in zip(self.pairs, reversed(shares), strict=True):
            rest = share - scale * (_dot(change.weight, weight) + _dot(change.bias, bias))
            weight, bias = weight + _like(rest, weight) * moved.weight, bias + _like(rest, bias) * moved.bias
        return Solution(-weight, -bias)


def _strips(logits: Array) -> list[slice]:
    """Slices of rows of a bounded number of logits."""
    rows = max(1, STRIP // logits.shape[1])
    return [slice(start, start + rows) for start in range(0, len(logits), rows)]


def _dot(one: Array, other: Array) -> float:
    return float(np.vdot(one, other))


def _inner(one: Solution, other: Solution) -> float:
    return _dot(one.weight, other.weight) + _dot(one.bias, other.bias)


def _like(number: float, array: Array) -> Array:
    """The number in the array's precision: a product with a plain float64 would be in float64."""
    return np.asarray(number, array.dtype)
