"""`striate compose`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, progress_of
from striate.errors import printable

HELP = "compose lines of digits from single ones, to train a reader and to read"
EXAMPLE = "striate compose mnist-5k --out zip-codes"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("data", help=f"labelled digits, bright on dark: {SOURCES}")
    parser.add_argument(
        "--out", metavar="FOLDER", required=True, help="new folder: windows.npz to train on, lines/ and lines.csv"
    )
    parser.add_argument("--lines", type=int, default=200, metavar="N", help="pictures of lines (default: 200)")
    parser.add_argument("--length", type=int, default=5, metavar="N", help="digits in each (default: 5, a zip code)")
    parser.add_argument(
        "--windows-of", type=int, default=3000, metavar="N", help="lines that windows are cut from (default: 3000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.compose import compose as job

    done = job(
        chosen.data,
        out=chosen.out,
        lines=chosen.lines,
        length=chosen.length,
        windows_of=chosen.windows_of,
        seed=chosen.seed,
        progress=progress_of(chosen),
    )
    folder = printable(str(done.folder))
    text = (
        f"{done.windows:,} windows to train on  {folder}/windows.npz\n"
        f"{done.lines:,} lines to read  {folder}/lines, and what they say in {folder}/lines.csv"
    )
    return Answer(text, done.as_dict())
