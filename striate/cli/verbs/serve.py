"""`striate serve`."""

from __future__ import annotations

import argparse
import dataclasses

from striate.cli.answer import MODEL, Answer, add_certificate, certificate_of, progress_of

HELP = "serve models over HTTP: predictions, search by image, reading lines, style"
EXAMPLE = "striate serve run other=other-run photos.index candy.safetensors --read digits-run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help=f"{MODEL}; an index of photographs, which is searched; weights of a fast style net, which paints (these "
        "alone, and --read, need torch); NAME=MODEL gives it another name",
    )
    parser.add_argument(
        "--read",
        metavar="MODEL",
        action="append",
        default=[],
        help="a model that reads lines of digits, as of 'striate read'; repeatable",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (default 127.0.0.1); one that other machines reach needs a token and a certificate",
    )
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="port (default 8000); 0: any free one")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes behind the port (default 1)")
    parser.add_argument(
        "--token-file", metavar="FILE", help="file with the token that requests must have (or set STRIATE_TOKEN)"
    )
    add_certificate(parser)
    parser.add_argument(
        "--name", metavar="HOST", action="append", default=[], help="a host name by which clients call it; repeatable"
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.serve import serve as job
    from striate.jobs.serve_models import Lines

    done = job(
        [*chosen.models, *map(Lines, chosen.read)],
        host=chosen.host,
        port=chosen.port,
        workers=chosen.workers,
        token_file=chosen.token_file,
        tls=certificate_of(chosen),
        names=chosen.name,
        progress=progress_of(chosen),
    )
    return Answer(f"Stopped; {done.requests:,} requests were answered.", dataclasses.asdict(done))
