"""`striate audit`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, terminal_progress
from striate.errors import printable

HELP = "look at every image and say what is wrong"
EXAMPLE = "striate audit photos/"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("data", help=SOURCES)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.audit import audit as job

    found = job(chosen.data, progress=terminal_progress())
    lines = [f"{len(found.usable):,} usable images in {len(found.classes)} classes"]
    for name, counts in found.counts().items():
        lines.append(
            f"  {printable(name)}: " + ", ".join(f"{count:,} {part}" for part, count in sorted(counts.items()))
        )
    lines.append(printable(found.balance()))
    lines += [finding.line() for finding in found.findings]
    return Answer("\n".join([*lines, found.last_line()]), found.as_dict())
