"""Plain text as HTML: escaped, what cannot be seen made visible, and lists kept short. No name is trusted."""

from __future__ import annotations

import html
import itertools
import unicodedata
from collections.abc import Iterable, Sequence

from striate.sections import Code, Link, Strong, Words, wording
from striate.sections.wording import LONGEST_NAME, clipped

LONGEST_LIST = 500
LIST_ROOM = 150_000  # letters of HTML in one list
LONGEST_SENTENCE = 1200  # letters of one piece of plain text
LONGEST_LINES = 60_000  # letters of a recipe


def text(value: str, lines: bool = False, longest: int = LONGEST_NAME) -> str:
    """`value` safe inside HTML, attributes included, with what cannot be seen made visible: `\\n`, `\\xff`, `\\u202e`.

    File names may hold any bytes: a lone surrogate would make the page impossible to write, and a control or
    direction character would let a name pretend to be another. With `lines`, line breaks and tabs stay.
    """
    return html.escape(
        "".join(_visible(letter, lines) for letter in clipped(value, LONGEST_LINES if lines else longest))
    )


def words(value: Words) -> str:
    """Words as HTML, with their emphasis and links."""
    if isinstance(value, str):
        return text(value, longest=LONGEST_SENTENCE)
    return "".join(_piece(one) for one in value)


def _piece(piece: str | Strong | Code | Link) -> str:
    if isinstance(piece, Link):
        return f'<a href="{text(piece.page)}">{text(piece.text)}</a>'
    if isinstance(piece, Strong):
        return f"<b>{text(piece.text)}</b>"
    return f"<code>{text(piece.text)}</code>" if isinstance(piece, Code) else text(piece, longest=LONGEST_SENTENCE)


def _visible(letter: str, lines: bool) -> str:
    if lines and letter in "\n\t":
        return letter
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # Zero-width joiners are honest parts of Persian words and of emoji.
    if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and code not in {0x200C, 0x200D}:
        return letter.encode("unicode_escape").decode("ascii")
    return letter


def percent(share: float | None) -> str:
    """`striate.sections.wording.percent` as HTML."""
    return text(wording.percent(share))


def fitting(rows: Iterable[str], most: int, room: int = LIST_ROOM) -> list[str]:
    """The first rows of HTML, at most `most` of them and at most `room` letters: a page stays small."""
    kept: list[str] = []
    for row in itertools.islice(rows, most):
        room -= len(row)
        if room < 0:
            break
        kept.append(row)
    return kept


def folded_list(title: str, rows: Sequence[str], most: int = LONGEST_LIST, room: int = LIST_ROOM) -> str:
    """A folded list of HTML; past `most` rows or `room` letters it says how many it leaves out."""
    kept = fitting(rows, most, room)
    items = "".join(f"<li>{row}</li>" for row in kept)
    more = f"<li>and {wording.number(len(rows) - len(kept))} more</li>" if len(rows) > len(kept) else ""
    return f"<details><summary>{title}</summary><ul>{items}{more}</ul></details>"
