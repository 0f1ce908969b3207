"""The page of a search: each query, and beside it the nearest photographs, as in AlexNet's Figure 4."""

from __future__ import annotations

from pathlib import PurePath

from striate.errors import RequestError
from striate.pixels import Images
from striate.report.page import render
from striate.retrieval.found import Found, Neighbour, Search
from striate.retrieval.queries import Region, picture
from striate.sections import Fact, Headline, Neighbours, Picture, Report, Section, Step, Strong, Text
from striate.sections.wording import counted, number

_ROOM = 240  # pictures, of the 250 that a page takes: more queries are left out
_STEPS = 3


def page(done: Search) -> str:
    """The page, one HTML file that loads nothing."""
    common = done.index.folder
    shown: list[Neighbours] = []
    pictures = 0
    for one in done.found:
        pictures += 1 + len(one.neighbours)
        if shown and pictures > _ROOM:
            break
        shown.append(_row(one, common, done.region))
    left = len(done.found) - len(shown)
    more = (Text(f"{counted(left, 'more query', 'more queries')} not shown.", "quiet"),) if left else ()
    section = Section(
        "neighbours",
        "Queries and their nearest photographs",
        (*shown, *more),
        "The query comes first, in a frame; the photographs follow in order of their distance, which is 0 for the same "
        "picture and 2 at most.",
    )
    made_by = done.index.made_by
    return render(
        Report(
            "Search by image",
            f"{counted(len(done.found), 'query', 'queries')} among {counted(len(done.index), 'photograph')}",
            Headline(
                "Photographs searched",
                number(len(done.index)),
                (Text("All of them are compared with each query, by the features below the network's head."),),
            ),
            _steps(done, common),
            (
                Fact("Network", made_by.net),
                Fact("Features", number(done.index.vectors.shape[1])),
                Fact("Distance", "Euclidean", "of unit vectors: square roots of the features, minus the mean of all"),
                *((Fact("Region", "x {}, y {}, {} x {} pixels".format(*done.region)),) if done.region else ()),
            ),
            (section,),
        )
    )


def _steps(done: Search, common: str) -> tuple[Step, ...]:
    """What was found for the first queries; those with a copy in the index first."""
    return tuple(_step(one, common) for one in done.found[:_STEPS])


def _step(one: Found, common: str) -> Step:
    copies = [near for near in one.neighbours if near.near_duplicate]
    if copies:
        why = f"A copy of it is in the index: {_shown(copies[0].path, common)}."
    elif one.neighbours:
        why = f"Nearest: {_shown(one.neighbours[0].path, common)}, at {one.neighbours[0].distance:.2f}."
    else:
        why = "Nothing else is in the index."
    return Step("neighbours", PurePath(one.query).name, why, urgent=bool(copies))


def _row(one: Found, common: str, region: Region | None) -> Neighbours:
    query = Picture(_seen(one.query, region), (Strong("Query"),), PurePath(one.query).name)
    return Neighbours(query, tuple(_found(near, common) for near in one.neighbours))


def _found(near: Neighbour, common: str) -> Picture:
    copy = ", near-duplicate" if near.near_duplicate else ""
    image = _seen(near.path, None)
    gone = "; the file is no longer there" if image is None else ""
    return Picture(image, f"{near.distance:.2f}{copy}{gone}", _shown(near.path, common))


def _seen(path: str, region: Region | None) -> Images | None:
    """The picture; None for a photograph that was removed or damaged since it was indexed."""
    try:
        return picture(path, region)
    except RequestError:
        return None


def _shown(path: str, common: str) -> str:
    return path.removeprefix(common)
