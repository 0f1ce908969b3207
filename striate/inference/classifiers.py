"""Classifiers that are no linear layer, as plain arrays in the model file: k nearest neighbours, trees, forests.

They take the embedding and are evaluated by NumPy alone; `striate.transfer.classifiers` fits them, trees and forests
with scikit-learn. Their votes are shares such as 0 and 1; one factor, fitted to out-of-fold votes, makes them
probabilities, as the temperature does for the scores of linear heads (Guo et al. 2017, arXiv:1706.04599).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.model import Model

NEIGHBOURS = 5
FLOOR = 1e-2  # added to each class's share before the logarithm, so that a share of 0 is improbable, not impossible
AT_ONCE = 256  # images; a forest of 200 trees and 100 classes takes 20 MB for them
_PREFIX, _FACTOR = "classifier.", "factor"

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]


class Classifier(Protocol):
    """A fitted classifier of embeddings as arrays by name."""

    kind: ClassVar[str]

    def shares(self, embeddings: Floats) -> Doubles:
        """Embeddings [N, D] -> the classes' shares of the votes [N, classes], which sum to 1."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays, as `read` of its class takes them."""
        ...

    @classmethod
    def read(cls, arrays: Arrays, width: int, classes: int) -> Classifier:
        """The inverse of `arrays`, for embeddings of `width` numbers. Raises ValueError or KeyError for others."""
        ...


@dataclass(frozen=True, eq=False)
class NearestNeighbours:
    """The vote of the 5 nearest training images, by the cosine of the angle between embeddings (Cover, Hart 1967).

    bank: float32 [M, D], embeddings of length 1. labels [M]: their classes' places. classes: how many there are.
    """

    kind: ClassVar[str] = "knn"
    bank: Floats
    labels: NDArray[np.int32]
    classes: int

    @classmethod
    def fit(cls, embeddings: Floats, labels: NDArray[Any], classes: int) -> NearestNeighbours:
        """Of training images: embeddings [M, D] and their classes' places [M]."""
        return cls(_unit(embeddings).astype(np.float32), labels.astype(np.int32), classes)

    def shares(self, embeddings: Floats) -> Doubles:
        """See `Classifier`. In double precision, or neighbours at almost the same distance would be mixed up."""
        bank, count = self.bank.astype(np.float64), min(NEIGHBOURS, len(self.bank))
        found = np.zeros((len(embeddings), self.classes))
        for start in range(0, len(embeddings), AT_ONCE):
            near = _unit(embeddings[start : start + AT_ONCE]).astype(np.float32).astype(np.float64) @ bank.T
            places = np.argpartition(-near, count - 1, axis=1)[:, :count]
            rows = np.arange(start, start + len(near))[:, None]
            np.add.at(found, (rows, self.labels[places]), 1 / count)
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Classifier`."""
        return {"bank": self.bank, "labels": self.labels}

    @classmethod
    def read(cls, arrays: Arrays, width: int, classes: int) -> NearestNeighbours:
        """See `Classifier`."""
        bank, labels = arrays["bank"], arrays["labels"]
        fits = bank.dtype == np.float32 and bank.ndim == 2 and bank.shape[1] == width and len(bank) > 0
        fits = fits and labels.dtype == np.int32 and labels.shape == (len(bank),)
        if not fits or labels.min() < 0 or labels.max() >= classes or not np.isfinite(bank).all():
            raise ValueError
        return cls(bank, labels, classes)


@dataclass(frozen=True, eq=False)
class Trees:
    """Decision trees whose leaves' class shares are averaged: one tree, or a random forest (Breiman 2001).

    The nodes of all trees in one row, each tree's root first and every child after its parent. feature [nodes]: of the
    embedding, -1 for a leaf. threshold [nodes]: an image goes left if its feature is at most this. left, right [nodes]:
    places of the children. value [nodes, classes]: the classes' shares in a node. roots [trees].
    """

    kind: ClassVar[str] = "forest"
    feature: NDArray[np.int32]
    threshold: Doubles
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Floats
    roots: NDArray[np.int32]

    def shares(self, embeddings: Floats) -> Doubles:
        """See `Classifier`."""
        found = np.zeros((len(embeddings), self.value.shape[1]))
        for start in range(0, len(embeddings), AT_ONCE):
            leaves = self._leaves(np.asarray(embeddings[start : start + AT_ONCE], np.float32))
            found[start : start + len(leaves)] = self.value[leaves].mean(axis=1, dtype=np.float64)
        return found

    def _leaves(self, embeddings: Floats) -> NDArray[np.int32]:
        """The leaf [N, trees] of each image in each tree: one step down in all trees at a time."""
        rows = np.arange(len(embeddings))[:, None]
        nodes = np.broadcast_to(self.roots, (len(embeddings), len(self.roots)))
        while (inner := self.feature[nodes] >= 0).any():
            smaller = embeddings[rows, self.feature[nodes]] <= self.threshold[nodes]
            nodes = np.where(inner, np.where(smaller, self.left[nodes], self.right[nodes]), nodes)
        return nodes

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `Classifier`."""
        return {name: getattr(self, name) for name in ("feature", "threshold", "left", "right", "value", "roots")}

    @classmethod
    def read(cls, arrays: Arrays, width: int, classes: int) -> Trees:
        """See `Classifier`."""
        trees = cls(**{name: arrays[name] for name in ("feature", "threshold", "left", "right", "value", "roots")})
        nodes = len(trees.feature)
        rows = (trees.feature, trees.left, trees.right)
        fits = all(one.dtype == np.int32 and one.shape == (nodes,) for one in rows) and nodes > 0
        fits = fits and trees.threshold.dtype == np.float64 and trees.threshold.shape == (nodes,)
        fits = fits and trees.value.dtype == np.float32 and trees.value.shape == (nodes, classes)
        fits = fits and trees.roots.dtype == np.int32 and trees.roots.ndim == 1 and len(trees.roots) > 0
        fits = (
            fits
            and bool(np.isfinite(trees.threshold).all())
            and bool(((trees.value >= 0) & (trees.value < 1.01)).all())
        )
        if not fits or not -1 <= trees.feature.min() <= trees.feature.max() < width:
            raise ValueError
        inner = np.flatnonzero(trees.feature >= 0)
        # Every child comes after its parent, or a way down might never end.
        down = all((inner < side[inner]).all() and (side[inner] < nodes).all() for side in (trees.left, trees.right))
        if not down or trees.roots.min() < 0 or trees.roots.max() >= nodes:
            raise ValueError
        return trees


@dataclass(frozen=True, eq=False)
class Tree(Trees):
    """One decision tree."""

    kind: ClassVar[str] = "tree"


KINDS: dict[str, type[NearestNeighbours] | type[Trees]] = {kind.kind: kind for kind in (NearestNeighbours, Tree, Trees)}
IN_WORDS = {"knn": "the nearest neighbours", "tree": "a decision tree", "forest": "a random forest"}


@dataclass(frozen=True, eq=False)
class ClassifierHead:
    """A classifier and the factor that its scores are multiplied by, so that probabilities are calibrated."""

    classifier: Classifier
    factor: float = 1.0

    @classmethod
    def of(cls, model: Model) -> ClassifierHead | None:
        """The model's; None for one with a linear head. Raises RequestError if its arrays do not fit the model."""
        if not model.classifier:
            return None
        if model.classifier not in KINDS:
            raise RequestError(f"the model's head is {model.classifier!r}, which this Striate does not have")
        arrays = {name.removeprefix(_PREFIX): array for name, array in model.extras.items() if name.startswith(_PREFIX)}
        width = model.tensors[f"{model.head}.weight"].shape[1] if model.head else 0
        try:
            classifier = KINDS[model.classifier].read(arrays, width, len(model.classes))
            factor = float(arrays[_FACTOR].reshape(1)[0])
            if not 0 <= factor < math.inf:
                raise ValueError
        except (KeyError, ValueError) as error:
            raise RequestError(
                f"the model's head ({IN_WORDS[model.classifier]}) is damaged: its arrays do not fit the model"
            ) from error
        return cls(classifier, factor)

    @property
    def C(self) -> None:  # noqa: N802  (as of a linear head)
        """None: it has no such hyperparameter."""
        return None

    @property
    def scores(self) -> tuple[tuple[float, float], ...]:
        """None were compared."""
        return ()

    def logits(self, embeddings: Floats) -> Floats:
        """Embeddings [N, D] -> logits [N, classes], whose softmax are the probabilities."""
        return np.asarray(self.factor * log_shares(self.classifier.shares(embeddings)), np.float32)

    def extras(self) -> dict[str, NDArray[Any]]:
        """As tensors for the model file."""
        arrays = {**self.classifier.arrays(), _FACTOR: np.array([self.factor], np.float64)}
        return {_PREFIX + name: array for name, array in arrays.items()}


def with_classifier(model: Model, head: ClassifierHead) -> Model:
    """The model with this head in place of its linear layer."""
    return dataclasses.replace(model, classifier=head.classifier.kind, extras={**model.extras, **head.extras()})


def log_shares(shares: Doubles) -> Doubles:
    """The logarithm of shares [N, classes], each with FLOOR added: the scores that a factor calibrates."""
    scores: Doubles = np.log((shares + FLOOR) / (1 + FLOOR * shares.shape[1]))
    return scores


def _unit(embeddings: Floats) -> NDArray[Any]:
    """As scikit-learn's Normalizer."""
    lengths = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings))[:, None]
    return np.asarray(embeddings / np.where(lengths > 0, lengths, 1))
