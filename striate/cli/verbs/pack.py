"""`striate pack`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, terminal_progress
from striate.errors import printable

HELP = "decode all images once into one file that opens at once"
EXAMPLE = "striate pack photos/ --out photos.pack"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("data", help=SOURCES)
    parser.add_argument("--out", metavar="FILE", help="the .pack file to write (default: NAME.pack beside the data)")
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="sides of the packed images (default: 256, or their own if smaller)"
    )
    parser.add_argument(
        "--rule",
        choices=["crop", "squash", "centre"],
        help="crop: the centred square (default); squash: all of the image; centre: shrunk to fit, never enlarged",
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.pack import pack as job

    done = job(chosen.data, out=chosen.out, size=chosen.size, rule=chosen.rule, progress=terminal_progress())
    return Answer(f"{printable(done.words())}\n{done.audit.last_line()}", done.as_dict())
