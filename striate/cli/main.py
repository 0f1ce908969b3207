"""`striate`: the parser of all verbs, exit codes, and one clear line for an error."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
import types
from collections.abc import Sequence
from typing import Any, NoReturn

from striate.cli.answer import EVENTS
from striate.cli.events import event_line
from striate.cli.streams import flush, open_missing, say, say_result
from striate.errors import RequestError, StriateError, nearest, unknown
from striate.storage import json_text
from striate.torchrun import Place, place

VERBS = (
    "train",
    "predict",
    "serve",
    "studio",
    "evaluate",
    "audit",
    "augment",
    "recipe",
    "tune",
    "pack",
    "features",
    "index",
    "search",
    "compose",
    "read",
    "style",
    "grade",
    "compare",
    "benchmark",
    "ensemble",
    "export",
    "fetch",
    "import",
    "convert",
    "nets",
    "show",
    "scale",
    "inspect",
    "reproduce",
    "lesson",
)

TRACEBACK = "STRIATE_TRACEBACK"

_EXAMPLES = """examples:
  striate train photos/ --out run        train on a folder with one subfolder per class
  striate predict run new.jpg            predict the class of an image
  striate audit photos/ --html a.html    check the data; write an interactive page
  striate nets 'resnet*'                 list the networks whose name starts with resnet

`striate VERB --help` shows a verb's options and an example. STRIATE_CACHE sets the cache folder.
Exit codes: 0 success, 1 failure, 2 invalid request. STRIATE_TRACEBACK=1 shows where an unexpected error happened.
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
    parser.add_argument(
        "--progress",
        choices=["terminal", EVENTS],
        default="terminal",
        help="progress and errors on standard error: lines and bars, or one JSON object a line",
    )
    return parser


# The modules of verbs that no module can be named for.
MODULES = {"import": "import_weights"}


def _module(verb: str) -> types.ModuleType:
    """The module of a verb."""
    return importlib.import_module(f"striate.cli.verbs.{MODULES.get(verb, verb)}")


def parser(names: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """The parser of the command line, for these verbs: each is a module that is imported."""
    top = _Parser(
        prog="striate",
        description="A workbench for convolutional networks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="store_true", help="print the version")
    verbs = top.add_subparsers(dest="verb", metavar="VERB")

    for name in names:
        verb = _module(name)
        verb.arguments(_verb(verbs, name, verb.HELP, verb.EXAMPLE))
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Any error is one line."""
    open_missing()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _run(given)
    except StriateError as error:
        return _failed(str(error), error.exit_code, given)
    except KeyboardInterrupt:
        return _failed("stopped", 130, [word for word in given if word != "--json"])
    except Exception as error:  # one line whatever happens; the traceback is for those who can mend it
        if os.environ.get(TRACEBACK) == "1":
            traceback.print_exc()
        return _failed(_unforeseen(error), 1, given)
    finally:
        flush()


def _run(given: list[str]) -> int:
    """Run the verb and print its answer."""
    chosen = parser(given[:1] if given and given[0] in VERBS else VERBS).parse_args(given)
    if chosen.version:
        import striate

        return say_result(f"striate {striate.__version__}")
    if chosen.verb is None:
        parser().print_help()
        return 0
    if ":" in (getattr(chosen, "net", None) or ""):  # the user's own net: FILE.py:CLASS or PACKAGE.MODULE:CLASS
        from striate.nets.own import import_net

        chosen.net = import_net(chosen.net)
    answer = _module(chosen.verb).run(chosen)
    lost = say_result(json_text(answer.json) if chosen.json else answer.text)
    for line in answer.after:
        say(event_line("message", {"text": line}) if chosen.progress == EVENTS else line)
    return lost or int(answer.code)


def _failed(message: str, code: int, given: list[str]) -> int:
    """Tell an error, on one line, as the options ask for it: they may be what is wrong, and are not parsed.

    Of several processes that stop, one reports, and an error of another names it.
    """
    line = " ".join(message.split())
    try:
        mine = place()
    except StriateError:  # told already: it is the error
        mine = Place()
    if line and f"--progress {EVENTS}" in " ".join(given).replace("--progress=", "--progress "):
        say(event_line("failed", {"text": line, "code": code}))
    elif line:
        say(f"striate{f' ({mine})' if mine.rank else ''}: {line}")
    if "--json" in given and not mine.rank:
        say_result(json_text({"error": line}))
    return code


def _unforeseen(error: Exception) -> str:
    """An error that no code expected, on one line."""
    if isinstance(error, MemoryError):
        return f"memory is exhausted: free some, or give smaller data ({TRACEBACK}=1 shows where)"
    if isinstance(error, OSError) and error.strerror:
        where = f" {str(error.filename)!r}" if error.filename else ""
        return f"{error.strerror}{where} ({TRACEBACK}=1 shows where)"
    return f"unexpected {type(error).__name__}: {str(error)[:300]} ({TRACEBACK}=1 shows where)"
