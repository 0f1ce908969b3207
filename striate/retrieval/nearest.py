"""The nearest vectors: exactly, by matrix products, or with faiss, which visits a part of the vectors only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, unknown
from striate.retrieval.embedding import Floats

BACKENDS = ("numpy", "faiss")
AT_ONCE = 64  # queries in one product: their similarities to 50,000 images take 13 MB
FAISS_FROM = 4096  # vectors, below which faiss would have too few for its cells, and all are visited
PROBED = 16  # cells of vectors that faiss visits for a query

Places = NDArray[np.int64]


def nearest(vectors: Floats, queries: Floats, top: int) -> tuple[Floats, Places]:
    """The `top` nearest of the unit vectors [N, D] to each of the unit queries [Q, D]: distances and places [Q, K].

    K is `top`, or N where there are fewer. Exact: Euclidean distances from 0 to 2, ascending; of equal ones the first
    vector comes first.
    """
    count = min(top, len(vectors))
    places = np.empty((len(queries), count), np.int64)
    if not count:
        return np.empty((len(queries), 0), np.float32), places
    for start in range(0, len(queries), AT_ONCE):
        some = queries[start : start + AT_ONCE]
        # One product with a vector is the fastest: it reads the index once, without a copy.
        rows = (vectors @ some[0])[None] if len(some) == 1 else some @ vectors.T
        for row, similar in enumerate(rows):
            places[start + row] = np.argpartition(similar, len(vectors) - count)[len(vectors) - count :]
    return _ordered(vectors, queries, places)


def _ordered(vectors: Floats, queries: Floats, places: Places) -> tuple[Floats, Places]:
    """The distances of the found places, and both in order. From differences: equal vectors are at exactly zero."""
    found = np.stack(
        [np.linalg.norm(vectors[row] - query, axis=1) for row, query in zip(places, queries, strict=True)]
    ) if len(queries) else np.empty(places.shape, np.float32)  # fmt: skip
    order = np.lexsort((places, found), axis=1)
    return np.take_along_axis(found, order, 1).astype(np.float32), np.take_along_axis(places, order, 1)


class Searcher:
    """The vectors of an index, ready for many searches.

    backend: "numpy" is exact. "faiss" groups them into cells by k-means, visits the 16 cells nearest to a query, and
    may miss some: for many searches of a large index from Python. Of fewer than 4,096 vectors it visits all.
    Raises RequestError for another backend, and where faiss is not installed.
    """

    def __init__(self, vectors: Floats, backend: str = "numpy") -> None:
        if backend not in BACKENDS:
            raise unknown("backend", backend, BACKENDS)
        self.vectors = vectors
        self._cells: Any = _faiss_cells(vectors) if backend == "faiss" else None

    def nearest(self, queries: Floats, top: int) -> tuple[Floats, Places]:
        """As the function `nearest`."""
        if self._cells is None:
            return nearest(self.vectors, queries, top)
        _, places = self._cells.search(np.ascontiguousarray(queries), min(top, len(self.vectors)))
        if (places < 0).any():  # the visited cells hold too few
            return nearest(self.vectors, queries, top)
        return _ordered(self.vectors, queries, places)


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
