"""`striate augment`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, terminal_progress
from striate.errors import printable

HELP = "show a sheet of what the network will see"
EXAMPLE = "striate augment photos/ --out sheet.png --augment flip=0.5 rotate=10"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("data", help=SOURCES)
    parser.add_argument("--out", metavar="FILE", default="augment.png", help="the PNG file (default: augment.png)")
    parser.add_argument(
        "--augment",
        nargs="+",
        metavar="KEY=VALUE",
        help="keys of a recipe's [augment], or a preset before them (default: every transform there is)",
    )
    parser.add_argument("--size", type=int, default=0, help="pixels a side that the network sees (default: chosen)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw (default: 0)")


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
        progress=terminal_progress(),
    )
    lines = [f"Sheet  {printable(str(done.path))}: {done.size[0]} x {done.size[1]} pixels seen, a row each for"]
    return Answer("\n".join([*lines, *(f"  {row}" for row in done.rows)]), done.as_dict())
