"""Reading CSV tables, as any spreadsheet writes them, with one-line errors."""

from __future__ import annotations

import csv
import errno
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from striate.errors import RequestError, printable
from striate.reading import TABLE, read_file

DELIMITERS = (",", ";", "\t", "|")
_EXCEL = re.compile(r'"?sep=(.)"?\s*$')  # a first line by which Excel says the delimiter
_FORMULA = re.compile(r"(?:\./)*[=+\-@\t\r]")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # as Excel saves "Unicode text"


@dataclass(frozen=True)
class Table:
    """columns: the header's names, stripped. rows: (number of the line it begins on, fields), blank lines left out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]


def table_text(path: Path, what: str, errors: str = "strict") -> str:
    """The text of a table: UTF-8, with or without a byte order mark, or UTF-16 with one.

    Raises RequestError for anything else.
    """
    try:
        content = read_file(path, TABLE)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise RequestError(
                f"the {what} {str(path)!r} has more than {TABLE // 2**20} MiB, too large for a list of images"
            ) from error
        raise RequestError(f"cannot read the {what} {str(path)!r}: {error.strerror or error}") from error
    if content.startswith(_UTF_16):
        content = _from_utf_16(content, path, what)
    if content.startswith(b"PK\x03\x04"):
        raise RequestError(f"the {what} {str(path)!r} is a spreadsheet or an archive; save the sheet as CSV, UTF-8")
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise RequestError(f"the {what} {str(path)!r} is not text: a NUL byte in line {line}")
    try:
        text = content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RequestError(
            f"the {what} {str(path)!r} is not UTF-8: line {line} holds the byte 0x{content[error.start]:02x}; "
            "save it as UTF-8"
        ) from error
    if not text.strip():
        raise RequestError(f"the {what} {str(path)!r} is empty")
    return text


def read_table(path: Path, what: str, known: Iterable[str], errors: str = "strict") -> Table:
    """A CSV file parted by comma, semicolon or tab: whichever makes most of the header's names `known` ones.

    `what`: the name of the file in errors. Raises RequestError, with the line, for an invalid file. Rows may have
    another number of fields than the header.
    """
    text = table_text(path, what, errors)
    first, _, rest = text.partition("\n")
    said = _EXCEL.match(first)
    if said:
        text = f"\n{rest}"  # an empty line in its place, so that lines are counted as in the file
    delimiter = said[1] if said else _delimiter(text, {name.casefold() for name in known})
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = tuple(_numbered(reader))
    except csv.Error as error:
        raise RequestError(f"cannot read the {what} {str(path)!r}: line {max(1, reader.line_num)}: {error}") from error
    if not rows:
        raise RequestError(f"the {what} {str(path)!r} is empty")
    return Table(tuple(name.strip() for name in rows[0][1]), rows[1:])


def _from_utf_16(content: bytes, path: Path, what: str) -> bytes:
    try:
        return content.decode("utf-16").encode()
    except UnicodeError as error:
        raise RequestError(f"the {what} {str(path)!r} is damaged UTF-16; save it as UTF-8") from error


def _numbered(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line they begin on: a quoted field may go over several."""
    begins = 1
    for row in reader:
        if row:
            yield begins, row
        begins = reader.line_num + 1  # type: ignore[attr-defined]


def _delimiter(text: str, known: set[str]) -> str:
    head = next((line for line in io.StringIO(text) if line.strip()), "")

    def fits(delimiter: str) -> tuple[int, int]:
        names = [name.strip().strip('"').casefold() for name in head.split(delimiter)]
        return sum(name.partition(":")[0] in known for name in names), len(names)

    return max(DELIMITERS, key=fits)


def as_cell(text: str) -> str:
    """Text for a cell that no spreadsheet takes for a formula: `./` is put before =, +, - and @, as before a path.

    Numbers stay as they are. `from_cell` is the inverse.
    """
    return f"./{text}" if _FORMULA.match(text) and not _is_number(text) else text


def from_cell(text: str) -> str:
    """The text that `as_cell` wrote."""
    return text[2:] if text.startswith("./") and _FORMULA.match(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def few(names: Iterable[str], limit: int = 12) -> str:
    """Names on one line, the first `limit` of them."""
    listed = [printable(name) if len(name) <= 60 else printable(name[:57]) + "..." for name in names]
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
