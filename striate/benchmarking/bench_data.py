"""The data of a benchmark: decoded once for each input size, one split for all nets, seeds and learning rates."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

from striate.benchmarking.contenders import Contender
from striate.data.audit.findings import Usable
from striate.data.augment.augmentation import Augmentation
from striate.data.sources.base import Source
from striate.data.splits import folds_of, possible_folds
from striate.errors import RequestError
from striate.learning.context import RunContext
from striate.learning.mirroring import with_tested_flip
from striate.learning.planning import DataSummary
from striate.learning.prepare import Prepared, prepare_images
from striate.learning.split import Split
from striate.pixels import Pixels
from striate.recipe import Recipe
from striate.recipe.augment import Augment
from striate.tasks import Task

FEWEST = 5  # test images: fewer cannot tell nets apart


@dataclass(frozen=True)
class Parts:
    """Keys of images. train: trained on. val: choose the learning rate. test: score each net once, in this order."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Rows:
    """The images of each part, as indices into `prepared.split.audit.usable`."""

    prepared: Prepared
    train: list[int]
    val: list[int]
    test: list[int]


class BenchmarkData:
    """Prepared data by preprocessing, made when first needed. recipe: the split is made by its seed and `[data]`."""

    def __init__(self, source: Source, summary: DataSummary, recipe: Recipe, context: RunContext) -> None:
        self.source, self.summary, self.recipe, self.context = source, summary, recipe, context
        self._prepared: dict[tuple[Pixels, bool], Prepared] = {}
        self._augments: dict[str, Augment] = {}  # the test of mirroring is made once for each
        self._parts: Parts | None = None

    @property
    def task(self) -> Task:
        """The task of the data."""
        return self.source.task

    def rows(self, contender: Contender, given: Augment) -> Rows:
        """The data for a net. given: the user's table [augment]; whether mirroring suits the images is tested, unless
        it sets a flip."""
        pixels, recipe = contender.pixels, contender.recipe
        larger = Augmentation.of(recipe.augment).zooms and self.summary.side > pixels.height
        if (pixels, larger) not in self._prepared:
            self._prepared[pixels, larger] = prepare_images(
                self.source, pixels, self.recipe, self.context, larger=larger
            )
        prepared = self._prepared[pixels, larger]
        parts = self._of(prepared.split)
        place = {entry.item.key: row for row, entry in enumerate(prepared.split.audit.usable)}
        rows = [[place[key] for key in keys if key in place] for keys in (parts.train, parts.val, parts.test)]
        if len(rows[2]) != len(parts.test):
            missing = len(parts.test) - len(rows[2])
            raise RequestError(f"{contender.net} cannot read {missing} of the test images that score all nets")
        key = f"{pixels} {recipe.augment} {recipe.seed}"
        if key not in self._augments:
            tested, _ = with_tested_flip(dataclasses.replace(prepared, recipe=recipe), given)
            self._augments[key] = tested.recipe.augment
        recipe = recipe.updated({"augment": self._augments[key]})
        return Rows(dataclasses.replace(prepared, recipe=recipe), *rows)

    def _of(self, split: Split) -> Parts:
        """The parts, made from the first split: the same for every input size."""
        if self._parts is None:
            self._parts = parts_of(split, self.recipe)
        return self._parts

    def digest(self) -> str:
        """Identifies images, targets and parts; after `rows`."""
        prepared = next(iter(self._prepared.values()))
        parts, found = self._of(prepared.split), hashlib.sha256()
        entries: dict[str, Usable] = {entry.item.key: entry for entry in prepared.split.audit.usable}
        for name, keys in dataclasses.asdict(parts).items():
            for key in keys:
                entry = entries[key]
                found.update(f"{name} {entry.record.digest} {self.task.text(entry.item.target)}\n".encode())
        return found.hexdigest()[:16]


def parts_of(split: Split, recipe: Recipe) -> Parts:
    """The test part is the held-out one; validation images are "val" beside a "test", or else taken from "train".

    Raises RequestError for data of which nothing is held out, or too little.
    """
    test, train = split.held_out_rows, split.rows("train")
    val = split.rows("val") if split.held_out_part == "test" else []
    if len(test) < FEWEST:
        raise RequestError(
            f"a benchmark scores nets on held-out images, and there are {len(test)}; at least {FEWEST} are needed"
        )
    if not val:
        folds = possible_folds(split.audit, max(2, round(1 / recipe.data.held_out)), train)
        if folds < 2:
            raise RequestError(f"no validation part can be taken from {len(train)} training images, all of one group")
        fold = folds_of(split.audit, folds, recipe.seed, train)
        val, train = [row for row in train if fold[row] == 0], [row for row in train if fold[row] != 0]
    usable = split.audit.usable
    keys = (tuple(usable[row].item.key for row in rows) for rows in (train, val, test))
    return Parts(*keys)
