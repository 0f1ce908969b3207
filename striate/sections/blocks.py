"""What a page is made of, as frozen values without any HTML: a report, its sections, and blocks of text and pictures.

Text is plain text: a renderer escapes it. Emphasis is a piece of its own, `Strong`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from striate.sections.wording import Format

RESERVED = ("result", "facts")  # anchors that every report has
_ANCHOR = re.compile(r"[a-z]+(-[a-z]+)*")
_PAGE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\.html")


@dataclass(frozen=True)
class Strong:
    """Emphasised text, such as the name of a class."""

    text: str


@dataclass(frozen=True)
class Code:
    """Text in a fixed-width font, such as a file name."""

    text: str


@dataclass(frozen=True)
class Link:
    """Text that leads to another page in the same folder. Raises ValueError for what is not the name of one."""

    text: str
    page: str

    def __post_init__(self) -> None:
        if not _PAGE.fullmatch(self.page):
            raise ValueError(f"a link leads to a page beside this one, such as 'lesions.html', not to {self.page!r}")


Words = str | tuple[str | Strong | Code | Link, ...]


def spoken(words: Words) -> str:
    """Words without their emphasis."""
    return words if isinstance(words, str) else "".join(one if isinstance(one, str) else one.text for one in words)


class Block:
    """Anything that stands in a section. The kinds there are: the classes of this room."""


@dataclass(frozen=True)
class Text(Block):
    """A paragraph. tone: "large" for the main sentence of a section, "quiet" for what is secondary."""

    words: Words
    tone: Literal["body", "large", "quiet"] = "body"


@dataclass(frozen=True)
class Heading(Block):
    """A heading within a section."""

    title: str


@dataclass(frozen=True)
class Fact:
    """A name with its value, and more of it in small letters. wide: takes two columns."""

    name: str
    value: str
    more: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Facts(Block):
    """Names and values side by side."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Bar:
    """A cell of a table: a share from 0 to 1 as a bar, its interval as a line across it. None: an empty cell."""

    share: float | None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Column:
    """A column of a table. optional: left out on a narrow screen. prose: of text that wraps, and not of figures."""

    title: str
    optional: bool = False
    prose: bool = False


@dataclass(frozen=True)
class Table(Block):
    """Rows of cells, the first cell of each its name; the other columns are figures. Past `shown` rows it is folded.

    noun: one row and several, such as ("class", "classes"). rest: what the rows are that a page has no room for.
    Raises ValueError for a row of another length than the columns.
    """

    columns: tuple[Column, ...]
    rows: Sequence[tuple[Words | Bar, ...]]
    noun: tuple[str, str] = ("row", "rows")
    rest: str = "rows"
    shown: int = 20

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a table of {len(self.columns)} columns has a row of {len(row)} cells")


@dataclass(frozen=True, eq=False)
class Picture:
    """An image (uint8, HxWx3 or HxW, of any size; None where there is none), its caption, and its file."""

    image: NDArray[np.uint8] | None
    caption: Words = ""
    path: str = ""


@dataclass(frozen=True, eq=False)
class Gallery(Block):
    """Pictures in a grid. total: how many there are in all, where these are some of them; the page says how many it
    leaves out. listed: pictures without an image, or without room, are listed by name. noun: what one of them is."""

    pictures: tuple[Picture, ...]
    total: int | None = None
    noun: str = "image"
    small: bool = False
    listed: bool = False


@dataclass(frozen=True, eq=False)
class Strip(Block):
    """A few small pictures that belong together, in one row. framed: the first one is set apart from the others."""

    pictures: tuple[Picture, ...]
    caption: Words = ""
    path: str = ""
    framed: bool = False


@dataclass(frozen=True, eq=False)
class Neighbours(Block):
    """A query, set apart, and beside it what was found for it, in order; a long row goes on in the next line."""

    query: Picture
    found: tuple[Picture, ...]


@dataclass(frozen=True)
class Listing(Block):
    """A folded list. The page cuts a long one, and says how many rows it leaves out."""

    title: str
    rows: Sequence[Words]


@dataclass(frozen=True)
class Preformatted(Block):
    """Folded text that keeps its line breaks, such as a recipe."""

    title: str
    text: str


@dataclass(frozen=True)
class Entry(Block):
    """One of several things in a section: a title with its count, a tag, a sentence, and what belongs to it."""

    title: str
    count: int
    tag: str = ""
    words: Words = ""
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Grid(Block):
    """Blocks side by side, one under the other on a narrow screen. small: many small charts."""

    blocks: tuple[Block, ...]
    small: bool = False


@dataclass(frozen=True)
class Bars(Block):
    """Values by name as horizontal bars, the largest filling its row."""

    rows: tuple[tuple[str, float], ...]
    form: Format = "digits"


@dataclass(frozen=True)
class Scale(Block):
    """A share on a scale from 0 to 100 %, its 95 % interval, and the baseline to beat. interval_name: its method."""

    value: float
    baseline: float
    baseline_name: str
    interval: tuple[float, float] | None = None
    interval_name: str = "95 % interval"


@dataclass(frozen=True)
class Section:
    """A titled part of a page. anchor: lower-case letters, parted by hyphens; the page's links and steps lead to it.

    Raises ValueError for another anchor, or one that every report has.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    lead: Words = ""

    def __post_init__(self) -> None:
        if not _ANCHOR.fullmatch(self.anchor) or self.anchor in RESERVED:
            raise ValueError(f"an anchor is lower-case letters parted by hyphens, such as 'label-errors', and none of "
                             f"{', '.join(RESERVED)}; not {self.anchor!r}")  # fmt: skip


@dataclass(frozen=True)
class Headline:
    """The first thing on a page: what was measured, its value, and what that value rests on."""

    title: str
    value: str
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Step:
    """What to look at next: a section's anchor, advice, and the reason. urgent: stands before the others."""

    anchor: str
    title: str
    why: Words
    urgent: bool = False


@dataclass(frozen=True)
class Report:
    """A whole page: headline, what to look at next, facts, and sections in order.

    Raises ValueError for two sections of one anchor, and for a step that leads nowhere.
    """

    title: str
    lead: str
    headline: Headline
    steps: tuple[Step, ...]
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        anchors = [*RESERVED, *(section.anchor for section in self.sections)]
        twice = {anchor for anchor in anchors if anchors.count(anchor) > 1}
        if twice:
            raise ValueError(f"two sections have the anchor {min(twice)!r}")
        for step in self.steps:
            if step.anchor not in anchors:
                raise ValueError(f"the step {step.title!r} leads to {step.anchor!r}; there are {', '.join(anchors)}")
