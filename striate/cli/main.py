"""`striate`: the parser of all verbs, exit codes, and one clear line for an error."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import types
from collections.abc import Sequence
from typing import Any, NoReturn

from striate.errors import RequestError, StriateError, nearest, unknown
from striate.storage import json_text
from striate.torchrun import place

VERBS = (
    "train",
    "predict",
    "evaluate",
    "audit",
    "augment",
    "recipe",
    "pack",
    "compare",
    "export",
    "fetch",
    "import",
    "nets",
    "show",
)

_EXAMPLES = """examples:
  striate train photos/ --out run        train on a folder with one subfolder per class
  striate predict run new.jpg            predict the class of an image
  striate audit photos/ --html a.html    check the data; write an interactive page
  striate nets 'resnet*'                 list the networks whose name starts with resnet

`striate VERB --help` shows a verb's options and an example. STRIATE_CACHE sets the cache folder.
Exit codes: 0 success, 1 failure, 2 invalid request.
"""


class _Parser(argparse.ArgumentParser):
    """argparse with one line for an error, and the nearest valid verb or option."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse does, but an unknown option is reported here, where the options of the verb are known."""
        chosen, left = super().parse_known_args(args, namespace)
        if left:
            wrong = next((word for word in left if word.startswith("-")), "")
            if not wrong:
                self.error(f"unexpected arguments: {' '.join(left)}")
            raise unknown("option", wrong.partition("=")[0], self._option_string_actions)
        return chosen, left

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message} (see '{self.prog} --help')")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            near = nearest(str(value), choices)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"
            what = "verb" if action.dest == "verb" else "/".join(action.option_strings) or action.dest
            raise RequestError(f"unknown {what} {str(value)!r}; {hint}")


def _verb(verbs: argparse._SubParsersAction[_Parser], name: str, what: str, example: str) -> _Parser:
    parser = verbs.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=f"example:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on standard output, progress on standard error"
    )
    return parser


def _module(verb: str) -> types.ModuleType:
    """The module of a verb; `import` is a reserved word of Python."""
    return importlib.import_module(f"striate.cli.verbs.{'import_weights' if verb == 'import' else verb}")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = _Parser(
        prog="striate",
        description="A workbench for convolutional networks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="store_true", help="print the version")
    verbs = top.add_subparsers(dest="verb", metavar="VERB")

    for name in VERBS:
        verb = _module(name)
        verb.arguments(_verb(verbs, name, verb.HELP, verb.EXAMPLE))
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    as_json = "--json" in given
    try:
        chosen = parser().parse_args(given)
        if chosen.version:
            import striate

            print(f"striate {striate.__version__}")
            return 0
        if chosen.verb is None:
            parser().print_help()
            return 0
        if ":" in (getattr(chosen, "net", None) or ""):  # the user's own net: FILE.py:CLASS or PACKAGE.MODULE:CLASS
            from striate.nets.own import import_net

            chosen.net = import_net(chosen.net)
        answer = _module(chosen.verb).run(chosen)
        text = json_text(answer.json) if chosen.json else answer.text
        encoding = sys.stdout.encoding or "utf-8"
        # A path may not be valid text, and the terminal's encoding may lack a character.
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
        for line in answer.after:
            print(line.encode("utf-8", "backslashreplace").decode(), file=sys.stderr, flush=True)
        return int(answer.code)
    except StriateError as error:
        line = " ".join(str(error).split())
        mine = place()
        if line:  # of several processes that stop, one reports; an error of another process names its rank
            print(f"striate{f' ({mine})' if mine.rank else ''}: {line}", file=sys.stderr)
        if as_json and not mine.rank:
            print(json_text({"error": line}))
        return error.exit_code
    except KeyboardInterrupt:
        print("striate: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
