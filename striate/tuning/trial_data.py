"""The data of trials: the training part alone, prepared once a process for each network, and its validation parts.

Trials get a copy of the audit, features and images without the held-out ones: what is not there cannot leak.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from striate.data.audit.audit import Audit
from striate.data.sources.base import Source
from striate.data.splits import folds_of, possible_folds
from striate.errors import RequestError
from striate.learning.context import RunContext
from striate.learning.planning import DataSummary, Plan, scratch_pixels
from striate.learning.prepare import Prepared, prepare_features, prepare_images, with_images
from striate.learning.split import Split
from striate.recipe import Recipe
from striate.tasks import Task


@dataclass(frozen=True)
class Parts:
    """Keys of images: those trained on, and those that judge."""

    train: tuple[str, ...]
    judged: tuple[str, ...]


class TrialData:
    """Prepared data by network, made when first needed and shared by all trials of the process.

    plan: the strategy and the network that is not searched.
    """

    def __init__(self, source: Source, summary: DataSummary, plan: Plan, recipe: Recipe, context: RunContext) -> None:
        self.source, self.summary, self.plan, self.recipe, self.context = source, summary, plan, recipe, context
        self._prepared: dict[tuple[str, bool], Prepared] = {}
        self._inner: dict[tuple[str, bool, Parts], Prepared] = {}

    @property
    def strategy(self) -> str:
        """How trials train."""
        return self.plan.strategy

    @property
    def task(self) -> Task:
        """The task of the data."""
        return self.source.task

    @property
    def split(self) -> Split:
        """The whole split, held-out images too."""
        return self.prepared(self.plan.net).split

    def prepared(self, net: str, larger: bool = False) -> Prepared:
        """All images, prepared for a network. larger: decoded with a margin, for augmentation that zooms or moves."""
        larger = larger and self.strategy != "features"
        if (net, larger) not in self._prepared:
            self._prepared[net, larger] = self._prepare(net, larger)
        return self._prepared[net, larger]

    def _prepare(self, net: str, larger: bool) -> Prepared:
        if self.strategy == "scratch":
            pixels = scratch_pixels(net, self.summary, self.recipe.net.options)
            return prepare_images(self.source, pixels, self.recipe, self.context, larger=larger)
        bare = self._prepared.get((net, False)) or prepare_features(self.source, net, self.recipe, self.context)
        if self.strategy == "features":
            return bare
        return with_images(bare, self.context, larger=larger)

    def inner(self, net: str, larger: bool, parts: Parts) -> Prepared:
        """The images of `parts` alone: those trained on as "train", those that judge as "val"."""
        key = (net, larger and self.strategy != "features", parts)
        if key not in self._inner:
            self._inner[key] = _only(self.prepared(net, larger), parts)
        return self._inner[key]

    def digest(self) -> str:
        """Identifies the images, their targets and their parts: the same on every machine."""
        split, found = self.split, hashlib.sha256()
        for entry, part in zip(split.audit.usable, split.parts, strict=True):
            found.update(f"{entry.record.digest} {self.task.text(entry.item.target)} {part}\n".encode())
        return found.hexdigest()[:16]


def _only(prepared: Prepared, parts: Parts) -> Prepared:
    """Prepared data of some images alone."""
    split = prepared.split
    names = {**dict.fromkeys(parts.train, "train"), **dict.fromkeys(parts.judged, "val")}
    rows = [row for row, entry in enumerate(split.audit.usable) if entry.item.key in names]
    place = {row: number for number, row in enumerate(rows)}
    near = [[place[row] for row in group if row in place] for group in split.audit.near]
    usable = [split.audit.usable[row] for row in rows]
    audit = dataclasses.replace(
        split.audit, usable=usable, near=[group for group in near if len(group) > 1], findings=[], set_aside=[]
    )
    features, images = prepared.features, prepared.images
    return dataclasses.replace(
        prepared,
        split=Split(audit, [names[entry.item.key] for entry in usable]),
        features=None if features is None else dataclasses.replace(features, matrix=features.matrix[rows]),
        images=None if images is None else dataclasses.replace(images, places=images.places[rows]),
    )


def training_keys(split: Split) -> tuple[str, ...]:
    """The images that a run of `striate train` trains on."""
    return _keys(split.audit, split.rows("train"))


def validation_parts(split: Split, within: Iterable[str], recipe: Recipe, folds: int | None) -> tuple[Parts, ...]:
    """How trials are judged on images of `within`, keys of training images: on each of `folds`, or on one part.

    Data with parts "val" and "test" have a validation part already; else it is as large a share as is held out.
    Raises RequestError for images that cannot be divided.
    """
    chosen = set(within)
    rows = [row for row, entry in enumerate(split.audit.usable) if entry.item.key in chosen]
    if folds is None and split.held_out_part == "test" and split.rows("val") and chosen == set(training_keys(split)):
        return (Parts(_keys(split.audit, rows), _keys(split.audit, split.rows("val"))),)
    return tuple(parts_of(split, rows, recipe, folds or max(2, round(1 / recipe.data.held_out)))[: folds or 1])


def parts_of(split: Split, rows: list[int], recipe: Recipe, folds: int) -> list[Parts]:
    """Images in folds, as stratified as a split; each fold judges what is trained on the others."""
    if possible_folds(split.audit, folds, rows) < folds:
        raise RequestError(
            f"the {len(rows)} training images form too few groups of images that belong together for {folds} folds"
        )
    fold = folds_of(split.audit, folds, recipe.seed, rows)
    found = []
    for number in range(folds):
        inside = [row for row in rows if fold[row] == number]
        others = [row for row in rows if fold[row] != number]
        found.append(Parts(_keys(split.audit, others), _keys(split.audit, inside)))
    return found


def _keys(audit: Audit, rows: Iterable[int]) -> tuple[str, ...]:
    return tuple(audit.usable[row].item.key for row in rows)


def rows_of(prepared: Prepared) -> tuple[list[int], list[int]]:
    """The rows trained on, and those that judge, of inner data."""
    return prepared.split.rows("train"), prepared.split.rows("val")
