"""`striate audit`."""

from __future__ import annotations

import argparse

from striate.cli.answer import LAYOUT_HELP, LAYOUTS, SOURCES, Answer, progress_of
from striate.errors import printable

HELP = "check every image and report problems"
EXAMPLE = "striate audit photos/ --html audit.html --fix-list decisions.csv"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("data", help=SOURCES)
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help=LAYOUT_HELP)
    parser.add_argument(
        "--labels", action="store_true", help="also search for label errors, by out-of-fold predictions"
    )
    parser.add_argument("--html", metavar="FILE", help="write an interactive page of thumbnails")
    parser.add_argument(
        "--fix-list", metavar="FILE", help="write suggested decisions, to be edited and passed to train --decisions"
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.audit import audit as job

    found = job(
        chosen.data,
        layout=chosen.layout,
        labels=chosen.labels,
        html=chosen.html,
        fix_list=chosen.fix_list,
        progress=progress_of(chosen),
    )
    lines = [f"{len(found.usable):,} usable images {found.task.describe()}"]
    for name, counts in found.counts().items():
        lines.append(
            f"  {printable(name)}: " + ", ".join(f"{count:,} {part}" for part, count in sorted(counts.items()))
        )
    lines += [found.balance(), *(finding.line() for finding in found.findings), found.last_line()]
    lines += [f"Page   {printable(chosen.html)}"] if chosen.html else []
    if chosen.fix_list:
        data, fixes = printable(chosen.data), printable(chosen.fix_list)
        lines.append(f"Decide {fixes}: edit it, then 'striate train {data} --decisions {fixes}'")
    return Answer("\n".join(lines), found.as_dict())
