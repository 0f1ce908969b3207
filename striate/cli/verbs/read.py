"""`striate read`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer, own_net_option, progress_of
from striate.errors import printable

HELP = "read lines of digits by a classifier slid over them"
EXAMPLE = "striate read run line.png --figure scores.png"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("model", help="model file or run folder, trained on the windows of 'striate compose'")
    parser.add_argument("images", nargs="*", metavar="image", help="pictures of one line each")
    parser.add_argument(
        "--expected", metavar="CSV", help="table of path and text: what the pictures say, to count the exact lines"
    )
    parser.add_argument("--figure", metavar="PNG", help="write a picture of the lines with the scores at each place")
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.read import read as job

    done = job(
        chosen.model, chosen.images, expected=chosen.expected, figure=chosen.figure, progress=progress_of(chosen)
    )
    lines = []
    if not (chosen.expected and not chosen.images):  # else a whole table, of which the count is wanted
        lines += [f"{printable(one.path)}: {printable(one.text) or '(no digits)'}" for one in done.readings]
    lines += [f"not read: {printable(path)}: {printable(why)}" for path, why in done.failed]
    right, of = done.exact
    if of:
        lines.append(f"{right:,} of {of:,} lines are read exactly ({100 * right / of:.1f} %)")
    if chosen.figure:
        lines.append(f"Figure  {printable(chosen.figure)}")
    return Answer("\n".join(lines), done.as_dict(), int(bool(done.failed)))
