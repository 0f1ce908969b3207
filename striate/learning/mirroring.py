"""Whether mirroring suits the data: a simple classifier is asked about held-out images, as they are and mirrored.

Photographs are as likely one way as the other, and it does as well on both. Of letters, digits and signs it knows less
when they are mirrored; a net trained on mirrored ones would learn what never comes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.learning.prepare import Prepared
from striate.recipe.augment import AUTO, Augment
from striate.tasks import Task

SIDE = 16  # pixels of the reduced grey images
MOST = 2000  # images: the time grows with the cube of their number; these take about a second
FEWEST = 40  # images: with fewer, nothing could be told
_CERTAIN = 4.0  # standard errors
_LOST = 0.25  # share of what the classifier knows beyond chance
# Measured (2,000 images at most): MNIST's digits lose 58 % of it, ten drawn letters 77 %; CIFAR-10's photographs, those
# of flowers17 (without copies) and of hymenoptera, and COIL-20's objects nothing beyond noise.
_RIDGE = 0.03  # on the diagonal of a kernel whose diagonal is 1
_CHUNK = 256

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MirrorTest:
    """What the classifier knows: a share of images, or of the targets' variance. chance: without looking.

    error: the standard error of the difference. unit: what the shares are of, in words; empty if nothing was measured.
    """

    plain: float = 0.0
    mirrored: float = 0.0
    chance: float = 0.0
    error: float = 0.0
    unit: str = ""

    @property
    def confuses(self) -> bool:
        """Whether mirrored images lose more than noise, and more than a quarter of what is known."""
        lost = self.plain - self.mirrored
        return bool(self.unit) and lost > _CERTAIN * self.error and lost > _LOST * (self.plain - self.chance) > 0

    def line(self) -> str:
        """The choice and its reason, in one line."""
        if not self.unit:
            return "Images are mirrored at random, as is usual: too few to test whether that confuses the classes."
        figures = f"{self.plain:.1%} of {self.unit} as they are, {self.mirrored:.1%} mirrored"
        if self.confuses:
            return f"Images are not mirrored: a simple classifier knows {figures}. Set augment.flip to mirror them."
        return f"Images are mirrored at random: a simple classifier knows {figures}, which is no clear loss."


def with_tested_flip(prepared: Prepared, given: Augment) -> tuple[Prepared, tuple[str, ...]]:
    """The data, without the flip in its recipe if mirroring confuses the classes, and a line on that for the report.

    given: the user's table [augment]; only a flip that is a default is tested.
    """
    recipe = prepared.recipe
    if given.preset != AUTO or given.flip is not None or not recipe.augment.flip or prepared.images is None:
        return prepared, ()
    copies = {place for group in prepared.split.audit.twins() for place in group[1:]}  # known as they are, not mirrored
    rows = [row for row in prepared.split.rows("train") if row not in copies]
    order = np.random.default_rng(recipe.seed).permutation(len(rows))[:MOST]
    rows = sorted(rows[place] for place in order)
    images = prepared.images
    grey = np.concatenate(
        [reduced(images.exact(rows[start : start + _CHUNK])) for start in range(0, len(rows), _CHUNK)]
        or [np.zeros((0, SIDE, SIDE))]
    )
    targets = [prepared.split.audit.usable[row].item.target for row in rows]
    found = mirror_test(grey, prepared.split.audit.task, targets)
    if found.confuses:
        recipe = recipe.updated({"augment": dataclasses.replace(recipe.augment, flip=None)})
    return dataclasses.replace(prepared, recipe=recipe), (found.line(),)


def reduced(images: NDArray[np.uint8]) -> Floats:
    """Images [N, H, W, C] as grey means over a grid [N, 16, 16]."""
    grey = images.mean(axis=3)
    down, across = (_means(length) for length in grey.shape[1:])
    return np.asarray(down @ grey @ across.T)


def _means(length: int) -> Floats:
    """[16, length]: averages over equal cells."""
    edges = np.arange(SIDE + 1) * length / SIDE
    pixels = np.arange(length)
    inside = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(inside.clip(0) * SIDE / length)


def mirror_test(grey: Floats, task: Task, targets: list[object]) -> MirrorTest:
    """The test on images [N, 16, 16] by two folds. Each image is left out of the half that predicts it."""
    if len(grey) < FEWEST:
        return MirrorTest()
    wanted = _columns(task, targets)
    half = np.random.default_rng(0).permutation(len(grey)) % 2 == 0
    plain, mirrored = np.zeros(len(grey)), np.zeros(len(grey))
    scores = _right if task.one_class else _explained
    for inside in (half, ~half):
        train, test = grey[~inside], grey[inside]
        width = _spread(_units(train))
        kernel = _kernel(_units(train), _units(train), width)
        mean = wanted[~inside].mean(axis=0)
        weights = np.linalg.solve(kernel + _RIDGE * np.eye(len(train)), wanted[~inside] - mean)
        for result, some in ((plain, test), (mirrored, test[:, :, ::-1])):
            predicted = _kernel(_units(some), _units(train), width) @ weights + mean
            result[inside] = scores(predicted, wanted[inside], mean)
    difference = plain - mirrored
    chance = float(wanted.mean(axis=0).max()) if task.one_class else 0.0
    return MirrorTest(
        float(plain.mean()),
        float(mirrored.mean()),
        chance,
        float(difference.std() / len(grey) ** 0.5),
        "the images" if task.one_class else f"the {task.wording.many}",
    )


def _columns(task: Task, targets: list[object]) -> Floats:
    """Targets as columns: a class or label each, or the standardised number."""
    if task.wording.names_listed:
        columns = np.zeros((len(targets), len(task.names)))
        for row, target in enumerate(targets):
            columns[row, list(task.indices(target))] = 1
        return columns
    numbers = np.array([[float(target)] for target in targets])  # type: ignore[arg-type]
    return np.asarray((numbers - numbers.mean()) / max(float(numbers.std()), 1e-9))


def _units(grey: Floats) -> Floats:
    """Flat vectors [N, 256] of mean 0 and length 1: neither brightness nor contrast counts."""
    flat = grey.reshape(len(grey), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


def _spread(vectors: Floats) -> float:
    """The median squared distance between vectors of length 1."""
    some = vectors[:200]
    return max(float(np.median(2 - 2 * some @ some.T)), 1e-3)


def _kernel(one: Floats, other: Floats, width: float) -> Floats:
    return np.asarray(np.exp(-(2 - 2 * one @ other.T) / width))


def _right(predicted: Floats, wanted: Floats, mean: Floats) -> Floats:
    return np.asarray(predicted.argmax(axis=1) == wanted.argmax(axis=1), np.float64)


def _explained(predicted: Floats, wanted: Floats, mean: Floats) -> Floats:
    total = max(float(((wanted - mean) ** 2).sum(axis=1).mean()), 1e-9)
    return np.asarray(1 - ((predicted - wanted) ** 2).sum(axis=1) / total)
