"""Names, shares, counts and durations as HTML that reads well and believes nothing it is given."""

from __future__ import annotations

import html
import itertools
import math
import unicodedata
from collections.abc import Iterable, Sequence

LONGEST_LIST = 500
LIST_ROOM = 150_000  # letters of HTML in one list
LONGEST_TEXT = 400  # letters of a name: a longer one loses its middle
LONGEST_LINES = 60_000  # letters of a recipe


def text(value: str, lines: bool = False) -> str:
    """`value` safe inside HTML, attributes included, with what cannot be seen made visible: `\\n`, `\\xff`, `\\u202e`.

    File names are bytes in disguise: a lone surrogate would make the page impossible to write, and a control or
    direction character would let a name pretend to be another. With `lines`, line breaks and tabs are kept.
    """
    longest = LONGEST_LINES if lines else LONGEST_TEXT
    return html.escape("".join(_visible(letter, lines) for letter in clipped(value, longest)))


def clipped(name: str, longest: int) -> str:
    """A name without its middle where it is longer than `longest`: names of species often differ in their ends."""
    return name if len(name) <= longest else f"{name[: longest // 2]}\u2026{name[-(longest // 2 - 1) :]}"


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


def sentence(said: str) -> str:
    """Words as a sentence of their own, safe inside HTML."""
    return text(said[:1].upper() + said[1:]) + "."


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal, in HTML; never 100.0 % or 0.0 % unless exactly so."""
    if share is None or not math.isfinite(share):
        return "&ndash;"
    if 0.9995 <= share < 1 - 1e-9:
        return "&gt;&nbsp;99.9&nbsp;%"
    if 1e-9 < share < 0.0005:
        return "&lt;&nbsp;0.1&nbsp;%"
    return f"{100 * share:.1f}&nbsp;%"


def number(count: int) -> str:
    """A count with its thousands apart: 12 345, the gap unbreakable."""
    return f"{count:,}".replace(",", "&#8239;")


def quantity(value: float | None, digits: int = 3) -> str:
    """A measured number to three digits, the way one would write it: 0.0123, 4.57, 12 300; a dash for none."""
    if value is None or not math.isfinite(value):
        return "&ndash;"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}".replace("-", "&minus;")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{round(value, digits - 1 - math.floor(math.log10(abs(value)))):,.{decimals}f}".replace(
        ",", "&#8239;"
    ).replace("-", "&minus;")


def plain(value: float) -> str:
    """A number a person wrote, such as a true age: 63, 1.5, without digits that say nothing."""
    return f"{value:.6g}".replace("-", "&minus;") if math.isfinite(value) else "&ndash;"


def images(count: int) -> str:
    """`1 image`, `12 images`."""
    return counted(count, "image")


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 file`, `12 files`, `3 classes`."""
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def seconds(duration: float) -> str:
    """A duration the way one would say it: 0.04 s, 1.6 s, 42 s, 2 min 05 s, 1 h 20 min."""
    if duration < 9.95:
        return f"{duration:.2f}&nbsp;s" if duration < 0.1 else f"{duration:.1f}&nbsp;s"
    whole = round(duration)
    if whole < 60:
        return f"{whole}&nbsp;s"
    if whole < 3600:
        return f"{whole // 60}&nbsp;min {whole % 60:02d}&nbsp;s"
    return f"{whole // 3600}&nbsp;h {whole % 3600 // 60:02d}&nbsp;min"


def first_names(names: Sequence[str], room: int = 48) -> str:
    """The first names that fit into `room` letters, at least one, and how many more there are."""
    lengths = list(itertools.accumulate(len(name) + 2 for name in names))
    fits = max(1, sum(length <= room for length in lengths))
    said = ", ".join(text(name) for name in names[:fits])
    return said + (f" and {number(len(names) - fits)} more" if len(names) > fits else "")


def fitting(rows: Iterable[str], most: int, room: int = LIST_ROOM) -> list[str]:
    """The first rows of HTML, at most `most` of them and at most `room` letters: a page stays small whatever comes."""
    kept: list[str] = []
    for row in itertools.islice(rows, most):
        room -= len(row)
        if room < 0:
            break
        kept.append(row)
    return kept


def folded_list(title: str, rows: Sequence[str], most: int = LONGEST_LIST, room: int = LIST_ROOM) -> str:
    """A folded list; past `most` rows or `room` letters it says how many it leaves out: the page stays small."""
    kept = fitting(rows, most, room)
    items = "".join(f"<li>{row}</li>" for row in kept)
    more = f"<li>and {number(len(rows) - len(kept))} more</li>" if len(rows) > len(kept) else ""
    return f"<details><summary>{title}</summary><ul>{items}{more}</ul></details>"
