"""What verbs share: their output, and common arguments."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

from striate.progress import Progress

SOURCES = (
    "folder of class folders, folder with images/ and masks/ or boxes, manifest (.csv, .jsonl, .json), .npz or .pack "
    "file, IDX or CIFAR files, or named set (faces, digits, ...)"
)
LAYOUTS = ("auto", "parts", "classes")
LAYOUT_HELP = "how a folder is read: parts such as train/ and val/, or every folder a class (default: by their names)"
OWN_NET = "FILE.py:CLASS"
EVENTS = "jsonl"  # of --progress
MODEL = "model file (an ensemble's, too), run folder, or a net with published weights"


@dataclass(frozen=True)
class Answer:
    """The output of a verb: text for people, JSON for programs, and the exit code.

    after: lines on standard error, below the text: what may be read, while the text is what was asked for.
    """

    text: str
    json: dict[str, Any]
    code: int = 0
    after: tuple[str, ...] = ()


def progress_of(chosen: argparse.Namespace) -> Progress:
    """Lines and bars on standard error; with `--progress jsonl`, events."""
    if chosen.progress == EVENTS:
        from striate.cli.events import EventProgress

        return EventProgress(sys.stderr)
    from striate.cli.terminal import TerminalProgress

    return TerminalProgress(sys.stderr)


def net_with_weights(chosen: argparse.Namespace) -> str:
    """The path of the model file with a library's weights of --net."""
    from striate.errors import RequestError
    from striate.weights.peers import library_weights

    if not chosen.net:
        raise RequestError("--weights needs --net, the network whose weights they are: see 'striate nets --weights'")
    return str(library_weights(chosen.net, chosen.weights))


def own_net_option(parser: argparse.ArgumentParser) -> None:
    """--net, for a model of a user-defined net: the command line imports it before the verb runs."""
    parser.add_argument("--net", metavar=OWN_NET, help="where the user-defined net of the model is, to be imported")


def views_option(parser: argparse.ArgumentParser) -> None:
    """--views, and what `ten-crop` and the others are."""
    parser.add_argument(
        "--views",
        choices=["flip", "ten-crop", "scales"],
        default="",
        help="average the predictions over views of each image: with the mirror image; ten crops; three sizes, for "
        "networks that take any (2, 10 and 3 times the compute)",
    )


def engine_options(parser: argparse.ArgumentParser) -> None:
    """--engine, --precision and --calibrate."""
    parser.add_argument("--engine", choices=["auto", "openvino", "torch"], default="auto", help="inference engine")
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16", "int8"],
        default="auto",
        help="auto: as the model was evaluated; int8: calibrated and checked on labelled images first",
    )
    parser.add_argument(
        "--calibrate", metavar="DATA", help="with int8: labelled images (default: the training data, once)"
    )


def add_certificate(parser: argparse.ArgumentParser) -> None:
    """The certificate of a verb that serves."""
    parser.add_argument("--certfile", metavar="FILE", help="serve HTTPS with this certificate (PEM)")
    parser.add_argument("--keyfile", metavar="FILE", help="the certificate's key, if it is not in the same file")


def certificate_of(chosen: argparse.Namespace) -> tuple[str, str] | None:
    """Certificate and key as files, "" for a key in the certificate's; None for none. Raises RequestError."""
    from striate.errors import RequestError

    if chosen.keyfile and not chosen.certfile:
        raise RequestError("--keyfile is the key of a certificate: give that, too (--certfile)")
    return (chosen.certfile, chosen.keyfile or "") if chosen.certfile else None
