"""How good a search is: every image of a labelled set is searched for among all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.retrieval.embedding import Floats

_AT_ONCE = 256  # queries whose similarities are ordered together


@dataclass(frozen=True)
class RetrievalScores:
    """Leave-one-out scores. images: those that have another image of their class, each searched for once.

    mean_average_precision: over these images, of the average precision of all other images in order of their distance.
    recall_at_1: the share whose nearest image is of their class.
    """

    images: int
    mean_average_precision: float
    recall_at_1: float

    def words(self) -> str:
        """The scores, in one line."""
        return (
            f"mean average precision {self.mean_average_precision:.3f}, recall@1 {self.recall_at_1:.3f}, "
            f"each of {self.images:,} images searched for among the others"
        )


def retrieval_scores(
    vectors: Floats, targets: NDArray[np.int64], advance: Callable[[int], None] = lambda done: None
) -> RetrievalScores:
    """Scores of unit vectors [N, D] with class indices [N].

    Average precision is the mean, over the images of the query's class, of the precision at the place of each.
    advance: called with the number of further images searched for. Raises RequestError if no class has two images.
    """
    same = np.bincount(targets, minlength=1)[targets] - 1
    precisions: list[float] = []
    first = 0
    for start in range(0, len(vectors), _AT_ONCE):
        similar = vectors[start : start + _AT_ONCE] @ vectors.T
        for row, similarities in enumerate(similar):
            query = start + row
            if not same[query]:
                continue
            similarities[query] = -np.inf
            order = np.argsort(-similarities, kind="stable")[:-1]  # without the image itself
            places = np.flatnonzero(targets[order] == targets[query])
            precisions.append(float(np.mean(np.arange(1, len(places) + 1) / (places + 1))))
            first += int(places[0] == 0)
        advance(len(similar))
    if not precisions:
        raise RequestError("no class has two images, so there is nothing to find; give labelled images")
    return RetrievalScores(len(precisions), float(np.mean(precisions)), first / len(precisions))
