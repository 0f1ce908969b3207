"""Search: the photographs of an index that are nearest to images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from striate.data.opening import Data, open_source
from striate.data.threads import in_order
from striate.errors import RequestError
from striate.inference.engine import in_batches
from striate.inference.predictor import Predictor
from striate.jobs.index import PathLike, opened, photo_source
from striate.jobs.outputs import require_file, same_file
from striate.learning.extraction import extract, feature_extractor
from striate.pixels import Images
from striate.progress import Progress
from striate.reading import given_path
from striate.retrieval.embedding import Floats, centred, mean_of, unit_vectors, whole_picture
from striate.retrieval.evaluation import RetrievalScores, retrieval_scores
from striate.retrieval.found import TOP, Found, Search, neighbours
from striate.retrieval.index import ImageIndex, read_index
from striate.retrieval.nearest import Searcher
from striate.retrieval.queries import Query, Region, open_query, parse_region
from striate.storage import write_text
from striate.weights.models import DEFAULT_BACKBONE

FEW = 4  # queries, for which an engine is opened that divides each image among the cores


def search(
    index: PathLike | ImageIndex,
    queries: PathLike | Sequence[PathLike],
    *,
    top: int = TOP,
    region: str | Region | None = None,
    net: PathLike | None = None,
    html: PathLike | None = None,
    backend: str = "numpy",
    progress: Progress | None = None,
) -> Search:
    """The photographs of an index (`striate.index`) that are nearest to each query: files, or folders of them.

    A query that is itself in the index is not among its neighbours, unless a region of it is searched for.

    top: neighbours of each query. region: "x,y,w,h", or these four: searches for this part of one query, in pixels of
    the upright picture. net: the model that made the index, if it has moved. html: a page to write: each query, and
    beside it its neighbours. backend: "numpy", which is exact, or "faiss" (see `striate.retrieval.nearest`).
    Raises RequestError for a query that cannot be read, and if the index was made by another model.
    """
    progress = progress or Progress()
    if top < 1:
        raise RequestError(f"top must be at least 1, not {top}")
    page = None if html is None else given_path(html, "the page")
    part = parse_region(region) if isinstance(region, str) else region
    given = [queries] if isinstance(queries, (str, os.PathLike)) else list(queries)
    if not given:
        raise RequestError("no query was given; name image files or folders of them")
    paths = [item.key for item in photo_source(given).items]
    if part and len(paths) != 1:
        raise RequestError(f"a region is of one query, and {len(paths)} were given")
    within = index if isinstance(index, ImageIndex) else read_index(given_path(index, "the index"))
    if page:
        _require_apart(page, [*paths, *([] if isinstance(index, ImageIndex) else [os.fspath(index)])])
    asked, vectors = _embedded(paths, _predictor(within, index, net, len(paths)), part, progress)
    distances, places = Searcher(within.vectors, backend).nearest(vectors, top + 1)
    found = []
    for query, far, row in zip(asked, distances.tolist(), places.tolist(), strict=True):
        photos = [(within.photos[place], distance) for place, distance in zip(row, far, strict=True)]
        found.append(Found(query.path, neighbours(query.print, photos, top, "" if part else query.path)))
    done = Search(tuple(found), within, part)
    if page:
        from striate.jobs.search_page import page as rendered

        write_text(page, rendered(done))
    return done


def near_duplicates(index: PathLike | ImageIndex, *, progress: Progress | None = None) -> list[list[str]]:
    """The groups of photographs of an index that are copies of one another, as paths.

    The same file, or the same picture resized, cropped, re-encoded, mirrored or made lighter, as `striate audit` finds
    them. Pictures under 64 pixels are only compared as files.
    """
    within = index if isinstance(index, ImageIndex) else read_index(given_path(index, "the index"))
    with (progress or Progress()).bar("Comparing the photographs", 2 * len(within)) as bar:
        return [[photo.path for photo in group] for group in within.near_duplicates(bar.advance)]


def evaluate_search(
    data: Data, *, net: PathLike | None = None, engine: str = "auto", progress: Progress | None = None
) -> RetrievalScores:
    """How good a search by image is on labelled images: each is searched for among all others.

    data: as for `striate.train`, of classes. net: as for `striate.index`. Raises RequestError for other targets than
    classes.
    """
    progress = progress or Progress()
    source = open_source(data)
    if not source.task.one_class:
        raise RequestError(f"a search is evaluated on images with one class each, not on {source.task.kind}")
    model, _ = opened(net or DEFAULT_BACKBONE)
    pairs, cache = extract(
        source, feature_extractor(whole_picture(model), engine, "float32", len(source.items)), progress
    )
    usable = [(item, record) for item, record in pairs if not record.problem]
    vectors = unit_vectors(cache.matrix(record.digest for _, record in usable))
    targets = np.array([item.target for item, _ in usable], np.int64)
    with progress.bar("Searching", len(usable)) as bar:
        return retrieval_scores(centred(vectors, mean_of(vectors)), targets, bar.advance)


def _require_apart(page: Path, inputs: Sequence[str]) -> None:
    require_file(page)
    if any(same_file(page, Path(one)) for one in inputs):
        raise RequestError(f"{str(page)!r} is an input, and is not overwritten; name another file")


def _predictor(within: ImageIndex, index: PathLike | ImageIndex, net: PathLike | None, queries: int) -> Predictor:
    model, source = opened(net or within.made_by.source)
    within.made_by.require(model, source, "in memory" if isinstance(index, ImageIndex) else os.fspath(index))
    return Predictor(whole_picture(model), precision="float32", many=queries > FEW)


def _embedded(
    paths: Sequence[str], predictor: Predictor, region: Region | None, progress: Progress
) -> tuple[list[Query], Floats]:
    """The queries, read on several threads, and their unit vectors [Q, D]."""
    with progress.bar("Reading the queries", len(paths)) as bar:

        def read() -> Iterator[tuple[Query, Images]]:
            for query, crop in in_order(lambda path: open_query(path, predictor.view, region), paths):
                bar.advance()
                yield query, crop

        pairs = list(in_batches(predictor.engine.run, read()))
    return [query for query, _ in pairs], unit_vectors(np.stack([row for _, row in pairs]))
