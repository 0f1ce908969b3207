"""`striate fetch`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer, terminal_progress

HELP = "download a named data set; no other verb downloads"
EXAMPLE = "striate fetch fashion-mnist"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "name", metavar="SET", help="mnist, fashion-mnist, cifar10, cifar100, hymenoptera or imagenette"
    )
    parser.add_argument(
        "--from", dest="source", default="", metavar="FOLDER_OR_URL", help="folder or mirror to take the files from"
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.fetch import fetch as job

    found = job(chosen.name, source=chosen.source, progress=terminal_progress())
    text = (
        f"{found.images:,} images of {found.name}, {found.bytes / 1e6:.1f} MB, are in {found.folder}\n"
        f"Next: striate train {found.name}"
    )
    return Answer(text, found.as_dict())
