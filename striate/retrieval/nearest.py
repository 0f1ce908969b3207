"""The nearest vectors: exactly, by matrix products, or with faiss, which visits a part of the vectors only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, unknown
from striate.retrieval.embedding import Floats, centred, mean_of

BACKENDS = ("numpy", "faiss")
AT_ONCE = 64  # queries in one product: their similarities to 50,000 images take 13 MB
FAISS_FROM = 4096  # vectors, below which faiss would have too few for its cells, and all are visited
ROUNDING = 1e-6  # of a similarity, in float32
MOST_EQUAL = 256  # that are compared exactly, the first in the index
PROBED = 16  # cells of vectors that faiss visits for a query

Places = NDArray[np.int64]


class Searcher:
    """The unit vectors [N, D] of an index, ready for many searches by their distances around their mean.

    backend: "numpy" is exact. "faiss" groups them into cells by k-means, visits the 16 cells nearest to a query, and
    may miss some: for many searches of a large index from Python. Of fewer than 4,096 vectors it visits all.
    Raises RequestError for another backend, and where faiss is not installed.
    """

    def __init__(self, vectors: Floats, backend: str = "numpy") -> None:
        if backend not in BACKENDS:
            raise unknown("backend", backend, BACKENDS)
        self.vectors, self.mean = vectors, mean_of(vectors)
        squares = np.einsum("nd,nd->n", vectors, vectors) - 2 * (vectors @ self.mean) + self.mean @ self.mean
        self._norms = np.sqrt(np.maximum(squares, 1e-12))  # of the centred vectors, which are not stored
        self._cells: Any = _faiss_cells(centred(vectors, self.mean)) if backend == "faiss" and len(vectors) else None

    def nearest(self, queries: Floats, top: int) -> tuple[Floats, Places]:
        """The `top` nearest vectors to each of the unit queries [Q, D]: distances and places [Q, K].

        K is `top`, or N where there are fewer. Euclidean distances of centred unit vectors, from 0 to 2, ascending; of
        equal ones the first vector comes first.
        """
        count = min(top, len(self.vectors))
        asked = centred(queries, self.mean)
        if self._cells is not None:
            _, places = self._cells.search(asked, count)
            if (places >= 0).all():  # otherwise the visited cells hold too few
                return self._ordered(asked, places)
        found, places = np.empty((len(asked), count), np.float32), np.empty((len(asked), count), np.int64)
        for start in range(0, len(asked) if count else 0, AT_ONCE):
            some = asked[start : start + AT_ONCE]
            # One product with a vector is the fastest: it reads the index once, without a copy.
            products = (self.vectors @ some[0])[None] if len(some) == 1 else some @ self.vectors.T
            similar = (products - (some @ self.mean)[:, None]) / self._norms
            for row, one in enumerate(similar, start):
                distances, order = self._ordered(asked[row][None], _candidates(one, count)[None])
                found[row], places[row] = distances[0, :count], order[0, :count]
        return found, places

    def _ordered(self, asked: Floats, places: Places) -> tuple[Floats, Places]:
        """The distances of the found places, in order. From differences, so that equal vectors are at zero."""
        found = np.empty(places.shape, np.float32)
        for row, query in enumerate(asked):
            found[row] = np.linalg.norm(centred(self.vectors[places[row]], self.mean) - query, axis=1)
        order = np.lexsort((places, found), axis=1)
        return np.take_along_axis(found, order, 1), np.take_along_axis(places, order, 1)


def _candidates(similar: Floats, count: int) -> Places:
    """The places of the `count` most similar, and of some more that are as similar as the last of them: which of these
    comes first is known from their exact distances alone."""
    least = np.partition(similar, len(similar) - count)[len(similar) - count]
    surely = np.flatnonzero(similar > least + ROUNDING)
    equal = np.flatnonzero(np.abs(similar - least) <= ROUNDING)
    return np.concatenate([surely, equal[: max(MOST_EQUAL, count)]])


def _faiss_cells(vectors: Floats) -> Any:
    try:
        import faiss
    except ImportError:
        raise RequestError(
            "the backend 'faiss' needs faiss-cpu: pip install 'striate[faiss]'; or use 'numpy', which is exact"
        ) from None
    width = vectors.shape[1]
    every = faiss.IndexFlatIP(width)
    if len(vectors) < FAISS_FROM:
        every.add(np.ascontiguousarray(vectors))
        return every
    cells = faiss.IndexIVFFlat(every, width, int(len(vectors) ** 0.5), faiss.METRIC_INNER_PRODUCT)
    cells.nprobe = PROBED
    cells.cp.min_points_per_centroid = 1
    cells.train(np.ascontiguousarray(vectors))
    cells.add(np.ascontiguousarray(vectors))
    return cells
