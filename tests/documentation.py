"""The code blocks of the documentation, and how they are run.

A block of commands or Python stands behind a comment: `<!-- run -->`, or `<!-- not run: the reason -->`. The blocks of
a page are run in order, in one folder and one Python namespace. In a block of commands every line is a command; where
lines begin with `$ `, those are, and the others are exactly what is printed. In Python a comment behind `print(...)`
is a line that is printed. `<!-- file: NAME -->` stands above a block that is saved as a file.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]
CODE = {"", "bash", "console", "pycon", "python", "sh", "shell"}  # a fence without a language may hold commands
FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)

Cli = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Block:
    """A fenced block: its page and line, its language, its text, and the mark above it ("" without)."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.mark == "run" or bool(self.file)

    @property
    def file(self) -> str:
        """The name under which it is saved, not run; "" for others."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else ""

    @property
    def is_explained(self) -> bool:
        return self.mark.startswith("not run: ") and len(self.mark) > 20


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page that may hold commands or Python, in order."""
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        saved = (found["mark"] or "").startswith("file: ")
        if saved or found["language"].strip() in CODE:
            line = text.count("\n", 0, found.start("language")) + 1
            yield Block(page, line, found["language"].strip(), found["text"], found["mark"] or "")


def run(block: Block, cli: Cli, namespace: dict[str, Any]) -> None:
    """Run a block in the current folder. Raises AssertionError, or what the Python raises."""
    if block.file:
        Path(block.file).write_text(block.text, "utf-8")
        return
    if block.language == "python":
        _run_python(block, namespace)
        return
    lines = block.text.rstrip("\n").splitlines()
    shown = any(line.startswith("$ ") for line in lines)
    printed: list[str] = []
    apart: list[list[str]] = []
    for line in lines:
        if shown and not line.startswith("$ "):
            continue
        command, *arguments = shlex.split(line.removeprefix("$ "), comments=True)
        assert command == "striate", f"{block.where}: only striate is run here, not {command}"
        code, out, err = cli(*arguments)
        assert code == 0, f"{block.where}: {line}\n{err}"
        assert out.strip(), f"{block.where}: {line} printed nothing"
        printed += [line, *(err + out).strip().splitlines()]
        apart += [[_steady(one) for one in stream.strip().splitlines()] for stream in (err, out)]
    if shown:
        wanted, given = ([_steady(line) for line in text] for text in (lines, printed))
        # A terminal shows both streams as they come; here each is known by itself, and must be in its order.
        if sorted(wanted) == sorted(given) and all(_in_order(stream, wanted) for stream in apart):
            return
        difference = "\n".join(difflib.unified_diff(wanted, given, block.where, "what is printed", lineterm=""))
        raise AssertionError(difference or f"{block.where}: the lines are in another order")


def _in_order(some: list[str], lines: list[str]) -> bool:
    """Whether `some` lines are among `lines` in this order."""
    rest = iter(lines)
    return all(line in rest for line in some)


def _run_python(block: Block, namespace: dict[str, Any]) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block.text, block.where, "exec", dont_inherit=True), namespace)
    for shown in re.findall(r"^print\(.*\)  # (.*)$", block.text, flags=re.MULTILINE):
        assert shown in out.getvalue().splitlines(), f"{block.where}: {shown!r} was not printed"


def _steady(line: str) -> str:
    """A line without what differs from machine to machine: seconds, and the version of the engine."""
    return re.sub(r"Engine .*", "Engine", line.rstrip())
