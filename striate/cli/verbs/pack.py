"""`striate pack`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, progress_of
from striate.errors import printable

HELP = "decode all images once into one file that opens immediately"
EXAMPLE = "striate pack photos/ --out photos.pack"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("data", help=SOURCES)
    parser.add_argument("--out", metavar="FILE", help="the .pack file to write (default: NAME.pack next to the data)")
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="size of the packed images (default: 256, or the original size if smaller)",
    )
    parser.add_argument(
        "--rule",
        choices=["crop", "squash", "centre"],
        help="crop: centre crop (default); squash: resize ignoring the aspect; centre: shrink to fit and pad",
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.pack import pack as job

    done = job(chosen.data, out=chosen.out, size=chosen.size, rule=chosen.rule, progress=progress_of(chosen))
    return Answer(f"{printable(done.words())}\n{done.audit.last_line()}", done.as_dict())
