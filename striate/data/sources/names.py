"""Names as people read them: which ones look alike, how one is written, and the order in which people count.

A name comes from folders, tables, class lists and decisions. The same class may be spelled in two Unicode forms (macOS
writes e and an accent apart), in other letter case, with blanks around it, or with characters that show nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from striate.errors import printable

# Show nothing, and are left by editors and web pages: zero-width space, directional marks, word joiner, byte order
# mark, soft hyphen. The joiners U+200C and U+200D are letters' business in several scripts, and are only compared.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u2060\ufeff\u00ad"))
_COMPARED = _INVISIBLE | dict.fromkeys(map(ord, "\u200c\u200d\ufe0e\ufe0f"))
_NUMBER = re.compile(r"[-+]?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_DIGITS = re.compile(r"([0-9]+)")

Key = tuple[tuple[int, float, str], ...]


def natural(name: str) -> Key:
    """The key to sort names as people count: c1, c2, c10; -1, 0, 0.25, 0.5; 3, 10a."""
    if _NUMBER.fullmatch(name):
        return (0, float(name), ""), (-1, 0.0, name)
    found: list[tuple[int, float, str]] = []
    for piece in _DIGITS.split(name):
        if piece.isascii() and piece.isdigit():
            digits = piece.lstrip("0")
            # A float, infinite if need be, and the digits for what it cannot tell apart; an integer has a limit.
            found.append((0, float(piece), f"{len(digits):09}{digits}" if len(digits) > 15 else ""))
        elif piece:
            found.append((1, 0.0, piece))
    return (*found, (-1, 0.0, name))  # last the text itself, for 1 and 01


def clean(name: str) -> str:
    """The name as it is shown: in Unicode's composed form (NFC), without invisible characters and blanks around it.

    A name of nothing else stays as it is. What is no text, as in the name of a folder that is not UTF-8, is escaped.
    """
    if name.isascii():
        return name.strip() or name
    name = readable(name)
    return unicodedata.normalize("NFC", name).translate(_INVISIBLE).strip() or name


def readable(name: str) -> str:
    """The name with what is no text escaped: undecodable bytes of a file name, halves of a surrogate pair."""
    return name.encode("utf-8", "backslashreplace").decode()


def spelled(name: str) -> str:
    """What names have in common that cannot be told apart on a screen: Unicode form, blanks, invisible characters."""
    if name.isascii():
        return " ".join(name.split()) or name
    return " ".join(unicodedata.normalize("NFC", name).translate(_COMPARED).split()) or name


def look_alike(name: str) -> str:
    """What names have in common that differ in letter case, too. A single letter keeps its case: "a" is not "A"."""
    plain = spelled(name)
    return plain if len(plain) == 1 else unicodedata.normalize("NFC", plain.casefold())


@dataclass(frozen=True)
class Joined:
    """Names that look alike as one. name: as given -> as used. notes: lines for the user on what was joined."""

    name: Mapping[str, str]
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=())  # those that are used, as people count


def join_names(given: Mapping[str, int] | Iterable[str], what: str = "class") -> Joined:
    """Join names that look alike; the spelling that occurs most often is used. `given`: names with their counts."""
    counts = Counter(given)
    alike: dict[str, list[str]] = {}
    for name in counts:
        alike.setdefault(look_alike(name), []).append(name)
    used: dict[str, str] = {}
    notes = []
    for spellings in alike.values():
        spellings.sort(key=lambda name: (-counts[name], natural(name)))
        best = clean(spellings[0])
        used |= dict.fromkeys(spellings, best)
        if len(spellings) > 1:
            listed = " and ".join(_shown(name) for name in sorted(spellings, key=natural)[:4])
            notes.append(f"{listed} are read as one {what}, {printable(best)!r}: they differ only in {_how(spellings)}")
    if len(notes) > 3:
        notes = [*notes[:3], f"{len(notes) - 3} more {what} names are joined in the same way"]
    return Joined(used, tuple(notes), tuple(sorted(set(used.values()), key=natural)))


def _shown(name: str) -> str:
    """The name in quotes, with what cannot be seen written out."""
    return ascii(name) if not name.isascii() and clean(name) != name else repr(printable(name))


def _how(names: Iterable[str]) -> str:
    """In what these names differ."""
    every = list(names)
    ways = []
    if len({spelled(name) for name in every}) > 1:
        ways.append("letter case")
    if len({unicodedata.normalize("NFC", name) for name in every}) < len(every):
        ways.append("Unicode form")
    if len({name.strip() for name in every}) < len(every) or any(" ".join(n.split()) != n for n in every):
        ways.append("blanks")
    if any(name.translate(_COMPARED) != name for name in every):
        ways.append("invisible characters")
    return " and ".join(ways) or "spelling"
