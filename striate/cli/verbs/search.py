"""`striate search`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from striate.cli.answer import Answer, progress_of
from striate.errors import RequestError, printable

if TYPE_CHECKING:
    from striate.retrieval.found import Found

HELP = "find the photographs of an index that are nearest to an image"
EXAMPLE = "striate search photos.index new.jpg --html found.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("index", help="the index that 'striate index' made")
    parser.add_argument("queries", nargs="*", metavar="query", help="image files, or folders of them")
    parser.add_argument("--top", type=int, default=6, metavar="K", help="neighbours of each query (default: 6)")
    parser.add_argument(
        "--region", metavar="X,Y,W,H", help="search for this part of the query, in pixels from its upper left corner"
    )
    parser.add_argument("--duplicates", action="store_true", help="no query: the near-duplicates within the index")
    parser.add_argument("--html", metavar="FILE", help="write a page: each query, and beside it its neighbours")
    parser.add_argument("--net", help="the model that made the index, if it has moved")
    parser.add_argument(
        "--backend",
        choices=["numpy", "faiss"],
        default="numpy",
        help="numpy: exact (default); faiss: visits a part of a large index (needs the extra 'faiss')",
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    if chosen.duplicates:
        return _duplicates(chosen)
    from striate.jobs.search import search as job

    done = job(
        chosen.index,
        chosen.queries,
        top=chosen.top,
        region=chosen.region,
        net=chosen.net,
        html=chosen.html,
        backend=chosen.backend,
        progress=progress_of(chosen),
    )
    lines = [line for one in done.found for line in _lines(one)]
    if chosen.html:
        lines.append(f"Page  {printable(chosen.html)}")
    return Answer("\n".join(lines), done.as_dict() | ({"html": chosen.html} if chosen.html else {}))


def _lines(one: Found) -> list[str]:
    near = [
        f"  {each.distance:.3f}  {printable(each.path)}{'  (near-duplicate)' * each.near_duplicate}"
        for each in one.neighbours
    ]
    return [f"{printable(one.query)}:", *(near or ["  nothing else is in the index"])]


def _duplicates(chosen: argparse.Namespace) -> Answer:
    if chosen.queries or chosen.region or chosen.html:
        raise RequestError("--duplicates compares the photographs of the index; it takes no query, --region or --html")
    from striate.jobs.search import near_duplicates

    groups = near_duplicates(chosen.index, progress=progress_of(chosen))
    lines = [f"{len(groups):,} groups of near-duplicates" if groups else "no near-duplicates"]
    for group in groups:
        lines += ["", *map(printable, group)]
    return Answer("\n".join(lines), {"near_duplicates": groups})
