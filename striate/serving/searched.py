"""Search by image: the photographs of an index that are nearest to an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from striate.errors import RequestError
from striate.inference.predictor import Predictor
from striate.pixels import Images, decode
from striate.retrieval import found as search
from striate.retrieval.embedding import unit_vectors, whole_picture
from striate.retrieval.found import Neighbour
from striate.retrieval.index import ImageIndex, read_index
from striate.retrieval.nearest import Searcher
from striate.retrieval.queries import seen as printed_and_cropped
from striate.serving.answers import Answers, Seen
from striate.serving.asked import Asked
from striate.serving.predicted import measured_batch
from striate.serving.protocol import Output, Values
from striate.serving.schemas import MOST_NEIGHBOURS
from striate.web.refusals import Refused
from striate.weights.models import pretrained


class Query(NamedTuple):
    """An image to search for: its print, the network's input, and how many neighbours are wanted."""

    print: bytes
    crop: Images
    top: int


class Searched(Answers):
    """An index and the network that made it. name: the index's, for errors.

    Raises RequestError for an index without photographs, and where the model of the index is gone or has changed.
    """

    answers_to = frozenset[str]()

    def __init__(self, index: ImageIndex, name: str) -> None:
        if not len(index):
            raise RequestError(f"the index {name!r} has no photographs to find; add some: striate index --add")
        source = index.made_by.source
        model = pretrained(source)
        index.made_by.require(model, source, name, "put that model back, or index again")
        self.index = index
        self._predictor = Predictor(whole_picture(model), precision="float32")
        self._searcher = Searcher(index.vectors)
        self.engine_name, self.precision = self._predictor.engine_name, self._predictor.precision

    @classmethod
    def of_file(cls, path: str) -> Searched:
        """Of the file of an index. Raises RequestError."""
        return cls(read_index(Path(path)), path)

    @property
    def kind(self) -> str:
        """A search."""
        return "search"

    @property
    def callers(self) -> int:
        """Those of the engine."""
        return self._predictor.callers

    def measured_batch(self) -> int:
        """As of predictions."""
        return measured_batch(self._predictor.engine.run, self._predictor.view.shape, self.callers)

    def forget_weights(self) -> None:
        """Those that the engine has."""
        self._predictor.forget_weights()

    def require(self, asked: Asked) -> None:
        """As of others; and not too many neighbours."""
        super().require(asked)
        if asked.top is not None and asked.top > MOST_NEIGHBOURS:
            raise Refused(400, f"top is from 1 to {MOST_NEIGHBOURS} of a search, not {asked.top:,}")

    def opened(self, content: bytes, asked: Asked) -> tuple[Query, tuple[int, int]]:
        """A query."""
        view = self._predictor.view
        decoded = decode(content, at_least=view.at_least)
        return Query(*printed_and_cropped(decoded, view), asked.top or search.TOP), decoded.upright_size

    def rows(self, images: Sequence[Query]) -> list[tuple[Neighbour, ...]]:
        """The neighbours of each query, the nearest first."""
        vectors = unit_vectors(self._predictor.engine.run(np.stack([one.crop for one in images])))
        distances, places = self._searcher.nearest(vectors, max(one.top for one in images))
        found = []
        for query, far, row in zip(images, distances.tolist(), places.tolist(), strict=True):
            photos = [(self.index.photos[place], distance) for place, distance in zip(row, far, strict=True)]
            found.append(search.neighbours(query.print, photos[: query.top], query.top))
        return found

    def answer(self, seen: Seen, asked: Asked) -> dict[str, Any]:
        """The neighbours; paths are told below the folder that all photographs are in: the rest is the server's."""
        rows = [
            {"path": self._shown(near.path), "distance": near.distance, "near_duplicate": near.near_duplicate}
            for near in seen.row
        ]
        return {"label": rows[0]["path"], "neighbours": rows}

    def outputs(self) -> list[Output]:
        """The nearest few; `label` is the nearest."""
        few = min(search.TOP, len(self.index))
        shapes = {"neighbours": "BYTES", "distances": "FP32", "near_duplicates": "UINT8"}
        return [*(Output(name, kind, (few,)) for name, kind in shapes.items()), Output("label", "BYTES", ())]

    def values(self, seen: Sequence[Seen]) -> Mapping[str, Values]:
        """As arrays [N, K]."""
        rows: list[tuple[Neighbour, ...]] = [one.row for one in seen]
        paths = [[self._shown(near.path) for near in row] for row in rows]
        return {
            "neighbours": np.array(paths, object),
            "distances": np.array([[near.distance for near in row] for row in rows], np.float32),
            "near_duplicates": np.array([[near.near_duplicate for near in row] for row in rows], np.uint8),
            "label": [row[0] for row in paths],
        }

    def parameters(self) -> dict[str, Any]:
        """The network, and how many photographs are searched."""
        return {"net": self.index.made_by.net, "photographs": len(self.index)}

    def _shown(self, path: str) -> str:
        """Without the folder; text that is no UTF-8 is replaced."""
        return path.removeprefix(self.index.folder).encode("utf-8", "replace").decode("utf-8", "replace")
