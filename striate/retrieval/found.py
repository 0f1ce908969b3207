"""What a search by image found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from striate.data.audit.likeness import near_groups
from striate.retrieval.index import ImageIndex, Photo
from striate.retrieval.queries import Region

TOP = 6  # neighbours, by default


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


def neighbours(
    printed: bytes, photos: Sequence[tuple[Photo, float]], top: int, itself: str = ""
) -> tuple[Neighbour, ...]:
    """The first `top` of the photographs that were found, each with its distance.

    printed: the query's print; b"" for a region. itself: the query's path, which is left out: with one photograph more
    than `top` all are there.
    """
    kept = [(photo, far) for photo, far in photos if photo.path != itself][:top]
    copies = _copies(printed, [photo for photo, _ in kept])
    return tuple(Neighbour(photo.path, far, photo.path in copies) for photo, far in kept)


def _copies(printed: bytes, photos: Sequence[Photo]) -> set[str]:
    """The paths of those that are near-duplicates of the query."""
    for group in near_groups([printed, *(photo.print for photo in photos)]):
        if group[0] == 0:
            return {photos[place - 1].path for place in group[1:]}
    return set()
