"""What a search by image found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.retrieval.index import ImageIndex
from striate.retrieval.queries import Region


@dataclass(frozen=True)
class Neighbour:
    """A photograph that was found. distance: of centred unit vectors: 0 for the same picture, at most 2.
    near_duplicate: whether it is the query itself, resized, cropped, re-encoded, mirrored or made lighter."""

    path: str
    distance: float
    near_duplicate: bool = False


@dataclass(frozen=True)
class Found:
    """What is nearest to one query, the nearest first."""

    query: str
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, eq=False)
class Search:
    """The neighbours of each query, in order. index: what was searched. region: the part of the query."""

    found: tuple[Found, ...]
    index: ImageIndex
    region: Region | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [
            {
                "query": one.query,
                "neighbours": [
                    {"path": near.path, "distance": near.distance, "near_duplicate": near.near_duplicate}
                    for near in one.neighbours
                ],
            }
            for one in self.found
        ]
        facts = {"photographs": len(self.index), "net": self.index.made_by.net, "queries": rows}
        return facts | ({"region": list(self.region)} if self.region else {})
