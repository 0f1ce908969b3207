"""Classifiers on the features of a pretrained network, fitted and scored by the seed of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.base import Source
from striate.studies.study import TEST_ERROR, Result

if TYPE_CHECKING:  # it imports torch
    from striate.tasks import Task

NET, HELD_OUT = "efficientnet_lite0", 5  # one of so many images judges


@dataclass(frozen=True, eq=False)
class Features:
    """Of usable images: features [N, D], classes [N], and their names."""

    matrix: NDArray[np.float32]
    targets: NDArray[np.int64]
    names: tuple[str, ...]
    task: Task


def features(source: Source, layer: str = "") -> Features:
    """Of the pretrained network, kept in the cache. layer: the stage whose mean they are; "" for the embedding."""
    from striate.learning.extraction import FeatureExtractor, extract, feature_extractor
    from striate.progress import Progress
    from striate.weights.models import pretrained

    backbone = pretrained(NET)
    by = feature_extractor(backbone, "auto", "float32", len(source.items))
    if layer:
        by = FeatureExtractor(backbone, "torch", "float32", layer=layer)
    pairs, cache = extract(source, by, Progress())
    known = [(item, record) for item, record in pairs if record.digest in cache]
    matrix = cache.matrix(record.digest for _, record in known)
    targets = np.array([item.target for item, _ in known], np.int64)
    return Features(matrix, targets, tuple(item.key for item, _ in known), source.task)


def scored(found: Features, seed: int, *, kind: str = "logistic", share: float = 1.0) -> Result:
    """The test error of a classifier on a fifth of the images, drawn by seed within each class.

    kind: as the recipe key head.kind. share: of the other images, on which it is fitted; its hyperparameter is chosen
    by five folds of them.
    """
    from striate.transfer.classifiers import fit_kind
    from striate.transfer.head import HeadData, fold_of

    part = fold_of(found.targets, HELD_OUT, seed)
    train, test = np.flatnonzero(part > 0), np.flatnonzero(part == 0)
    if share < 1:
        # Of each class the same share, at least two: nested, so that a larger share holds a smaller one.
        order = np.random.default_rng(seed).permutation(train)
        own = [order[found.targets[order] == one] for one in np.unique(found.targets)]
        train = np.concatenate([rows[: max(2, round(share * len(rows)))] for rows in own])
    data = HeadData(found.matrix[train], found.targets[train], found.task)
    folds = min(5, int(np.bincount(data.targets)[np.unique(data.targets)].min()))
    head: Any = fit_kind(kind, data, fold_of(data.targets, folds, seed), seed).head
    wrong = head.logits(found.matrix[test]).argmax(1) != found.targets[test]
    by_image = {found.names[row]: float(one) for row, one in zip(test, wrong, strict=True)}
    return Result({TEST_ERROR: 100 * float(wrong.mean())}, by_image)
