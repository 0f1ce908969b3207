"""What verbs share: the answer that one gives, and arguments that several take."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

from striate.progress import Progress

SOURCES = (
    "folder of class folders, manifest (.csv, .jsonl), .npz or .pack file, IDX or CIFAR files, "
    "or named set (faces, digits, ...)"
)
OWN_NET = "FILE.py:CLASS"
MODEL = "model file, run folder, or a net with published weights"


@dataclass(frozen=True)
class Answer:
    """What a verb shows: text for people, JSON for programs, and the exit code."""

    text: str
    json: dict[str, Any]
    code: int = 0


def terminal_progress() -> Progress:
    """Lines and bars on standard error."""
    from striate.cli.terminal import TerminalProgress

    return TerminalProgress(sys.stderr)


def own_net_option(parser: argparse.ArgumentParser) -> None:
    """--net, for a model whose net is the user's own: the command line imports it before the verb runs."""
    parser.add_argument("--net", metavar=OWN_NET, help="where the model's own net is defined, to be imported")


def engine_options(parser: argparse.ArgumentParser) -> None:
    """--engine and --precision."""
    parser.add_argument("--engine", choices=["auto", "openvino", "torch"], default="auto", help="what runs the net")
    parser.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="auto: as the model was measured"
    )
