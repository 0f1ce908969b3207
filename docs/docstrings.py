"""The package's docstrings for Sphinx: they are plain text, with `name: what it is` a line for each argument.

Lines that explain an argument become items of a list, indented examples become literal blocks; the rest stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

ARGUMENT = re.compile(r"(?P<names>\*?[a-z_][\w.]*(?:, \*?[a-z_][\w.]*)*(?: \([^)]*\)| \[[^\]]*\])?) ?: (?P<what>\S.*)")
UNDERLINE = re.compile(r"-{4,}")


def setup(app: Any) -> None:
    """Sphinx calls this for an extension."""
    app.connect("autodoc-process-docstring", lambda app, what, name, thing, options, lines: _rewrite(lines))
    app.connect("autodoc-skip-member", _skip)


def _skip(app: Any, what: str, name: str, thing: object, skip: bool, options: object) -> bool | None:
    """Methods that scikit-learn adds to every estimator are described in its own documentation."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def _rewrite(lines: list[str]) -> None:
    lines[:] = list(_rewritten(lines))


def _rewritten(lines: list[str]) -> Iterator[str]:
    """Plain text as reStructuredText."""
    in_item = literal = False
    before = ""
    for number, line in enumerate(lines):
        text, after = line.strip(), lines[number + 1] if number + 1 < len(lines) else ""
        if not text:
            in_item = literal = False
        elif UNDERLINE.fullmatch(after):
            text = f"**{text}**"
        elif UNDERLINE.fullmatch(text):
            text = ""
        elif literal or (line.startswith("    ") and not before and not in_item):
            yield from () if literal else (".. code-block:: text", "")
            literal, text = True, line
        elif found := ARGUMENT.fullmatch(text):
            yield from () if in_item else ("",)
            in_item, text = True, f"- ``{found['names']}``: {_escaped(found['what'])}"
        elif in_item and not (text[0].isupper() and before.endswith(".") and not line.startswith(" ")):
            text = f"  {_escaped(text)}"
        else:
            yield from ("",) if in_item else ()
            in_item, text = False, _escaped(text)
        yield text
        before = text


def _escaped(text: str) -> str:
    """A name that ends in an underscore would be a link."""
    return re.sub(r"(?<![`\w.])(\w+_)(?![`\w])", r"``\1``", text).replace("**", r"\*\*")
