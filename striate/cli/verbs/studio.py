"""`striate studio`."""

from __future__ import annotations

import argparse
import dataclasses

from striate.cli.answer import Answer, add_certificate, certificate_of, progress_of

HELP = "open the local web page: make data, audit, train, compare, try and ship"
EXAMPLE = "striate studio work/ --root photos/"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "folder", nargs="?", default=".", metavar="FOLDER", help="where data/ and runs/ are or will be (default: here)"
    )
    parser.add_argument(
        "--root", metavar="FOLDER", help="below which existing folders may be opened as data (default: FOLDER)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on (default 127.0.0.1); one that other machines reach needs a token and a certificate",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="port (default 8080); 0: any free one")
    parser.add_argument(
        "--token-file", metavar="FILE", help="file with a token for programs (or set STRIATE_TOKEN); browsers get one "
        "of their own, printed at the start",
    )  # fmt: skip
    add_certificate(parser)
    parser.add_argument(
        "--name", metavar="HOST", action="append", default=[], help="a host name by which browsers call it; repeatable"
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.studio.server import Address, studio

    address = Address(chosen.host, chosen.port, chosen.name, chosen.token_file, certificate_of(chosen))
    closed = studio(chosen.folder, root=chosen.root, address=address, progress=progress_of(chosen))
    return Answer("Stopped; jobs that were running go on.", dataclasses.asdict(closed))
