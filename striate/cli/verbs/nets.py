"""`striate nets`."""

from __future__ import annotations

import argparse
import re

from striate.cli.answer import Answer, progress_of
from striate.errors import RequestError, printable
from striate.nets.catalog import KINDS, Entry
from striate.progress import Progress

HELP = "list the networks"
EXAMPLE = "striate nets 'resnet*' --max-parameters 1M --sort madds"

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("pattern", nargs="?", default="*", metavar="GLOB", help="only matching names")
    parser.add_argument("--kind", choices=list(KINDS), help="only nets of this kind; default: all")
    parser.add_argument(
        "--technique",
        action="append",
        default=[],
        metavar="NAME",
        help="only nets that use it, such as maxout; given again: that use both; an unknown name is answered with all",
    )
    parser.add_argument(
        "--sort", choices=["year", "parameters", "madds", "error", "name"], help="ascending order; default: by paper"
    )
    parser.add_argument("--year", metavar="FROM..TO", help="year of the paper: 2015, 2015..2017, 2015..")
    parser.add_argument("--max-parameters", metavar="N", help="maximum number of parameters: 5M, 300k, 1000000")
    parser.add_argument("--max-madds", metavar="N", help="maximum number of multiply-adds: 600M, 1.5G")
    parser.add_argument(
        "--weights", action="store_true", help="list the published weights instead, and which of them are here"
    )
    parser.add_argument(
        "--by-year", metavar="FILE.html", help="write a page: error, depth and cost by year, as the papers have them"
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    import dataclasses

    from striate.jobs.catalogue import error
    from striate.jobs.catalogue import list_nets as job

    found = job(
        chosen.pattern,
        kind=chosen.kind,
        techniques=chosen.technique,
        sort=chosen.sort,
        year=_years(chosen.year),
        max_parameters=_count("--max-parameters", chosen.max_parameters),
        max_madds=_count("--max-madds", chosen.max_madds),
    )
    if chosen.weights:
        return _weights([entry.name for entry in found])
    if not found:
        return Answer("no net matches these filters", {"nets": []})
    if chosen.by_year:
        return _by_year(found, chosen.by_year, progress_of(chosen))
    width = max(len(entry.name) for entry in found)
    by_error = chosen.sort == "error"
    across = max(len(str(entry.published.get("data", "-"))) for entry in found)
    apart = max(len(entry.kind) for entry in found) if {entry.kind for entry in found} != {"classifier"} else 0
    more = (f"  error %  {'on':{across}}" if by_error else "") + (f"  {'kind':{apart}}" if apart else "")
    lines = [f"{'name':{width}}  year  {'input':>11}  {'parameters':>12}  {'multiply-adds':>14}{more}  weights"]
    for entry in found:
        shape = "x".join(str(side) for side in (entry.in_channels, *entry.input_size))
        more = f"  {error(entry):7g}  {entry.published.get('data', '-')!s:{across}}" if by_error else ""
        more += f"  {entry.kind:{apart}}" if apart else ""
        lines.append(
            f"{entry.name:{width}}  {entry.year}  {shape:>11}  {entry.parameters:>12,}  {entry.madds:>14,}{more}  "
            f"{entry.weights or '-'}"
        )
    return Answer("\n".join(lines), {"nets": [dataclasses.asdict(entry) for entry in found]})


def _by_year(nets: list[Entry], page: str, progress: Progress) -> Answer:
    """The page of these networks by year."""
    import dataclasses

    from striate.jobs.by_year import by_year

    rows = by_year(nets, page, progress=progress)
    facts = {"page": page, "nets": [dataclasses.asdict(row) for row in rows]}
    return Answer(f"{len(rows)} nets with a published error on ImageNet\nPage {printable(page)}", facts)


def _weights(nets: list[str]) -> Answer:
    """The published weights of these networks, a line each."""
    from striate.jobs.catalogue import published_weights

    rows = published_weights(nets)
    if not rows:
        return Answer("no weights of these nets are published in a form that can be read", {"weights": []})
    columns = ("net", "from", "name", "pixels", "top-1 %", "licence", "")
    cells = [
        (row.net, row.library, row.name, str(row.size), f"{row.top1:.2f}" if row.top1 else "-", row.licence, row.state)
        for row in rows
    ]
    widths = [max(len(line[place]) for line in (columns, *cells)) for place in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (columns, *cells)
    ]
    told = "here: in the cache; fetch: by 'striate fetch NET --from LIBRARY'; file: download it, then 'striate import'"
    return Answer("\n".join([*(line.rstrip() for line in lines), told]), {"weights": [row.as_dict() for row in rows]})


def _years(given: str | None) -> tuple[int, int] | None:
    if given is None:
        return None
    read = re.fullmatch(r"(\d{4})?(\.\.)?(\d{4})?", given)
    if read is None or not (read[1] or read[3]) or bool(read[1] and read[3]) > bool(read[2]):
        raise RequestError(f"--year takes 2015, 2015..2017, 2015.. or ..2017, not {given!r}")
    first = int(read[1] or 0)
    last = int(read[3] or (9999 if read[2] else first))
    if first > last:
        raise RequestError(f"--year takes the earlier year first, not {given!r}")
    return first, last


def _count(option: str, given: str | None) -> int | None:
    if given is None:
        return None
    read = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d\d?)?)([kmgb]?)", given.lower().replace(",", "").replace("_", ""))
    if read is None:
        raise RequestError(f"{option} takes a count such as 5M, 300k or 1000000, not {given!r}")
    return round(float(read[1]) * _UNITS[read[2]])
