"""`striate augment`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, progress_of
from striate.errors import printable

HELP = "draw a sheet of augmented images as the network will see them"
EXAMPLE = "striate augment photos/ --out sheet.png --augment flip=0.5 rotate=10"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("data", help=SOURCES)
    parser.add_argument("--out", metavar="FILE", default="augment.png", help="the PNG file (default: augment.png)")
    parser.add_argument(
        "--augment",
        nargs="+",
        metavar="KEY=VALUE",
        help="keys of a recipe's [augment], optionally after a preset (default: every transform)",
    )
    parser.add_argument("--size", type=int, default=0, help="network input size in pixels (default: chosen)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.augment import augment as job
    from striate.recipe.changing import augment_keys

    done = job(
        chosen.data,
        out=chosen.out,
        augment=None if chosen.augment is None else augment_keys(chosen.augment),
        size=chosen.size,
        seed=chosen.seed,
        progress=progress_of(chosen),
    )
    lines = [f"Sheet  {printable(str(done.path))}: {done.size[0]} x {done.size[1]} pixels, one row for each of"]
    return Answer("\n".join([*lines, *(f"  {row}" for row in done.rows)]), done.as_dict())
