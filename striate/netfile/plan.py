"""The plan of a net: the rows of its table and blocks in order, each with its layers, where its input is from, and the
shape after it. Everything is checked here, before anything is allocated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from striate.errors import RequestError, shown, unknown
from striate.netfile.shapes import Shape, after, concatenated, described
from striate.netfile.text import NAME, NetText, evaluated, filled
from striate.netfile.words import KINDS, Word, words_of

MOST_ROWS = 5000  # of a net, with its blocks written out
MOST_DEPTH = 16  # of blocks within blocks
INPUT = "in"
POOLED = ("globalavgpool", "globalmaxpool", "flatten")

_CALL = re.compile(r"(?P<name>[A-Za-z_]\w*)\((?P<arguments>[^()]*)\)", re.ASCII)
_REPEAT = re.compile(r"x(\d{1,6})", re.ASCII)


@dataclass(frozen=True)
class Row:
    """A row: what it takes, what it does, and the shape [C, H, W] or [N] that it gives.

    before: the shape that it takes. source: the edge that it takes, None: the row above. layers: in order; or `block`,
    in their place. add: the edge that is added, of the shape `other`, through `via` where the shapes differ. concat:
    the edges that are concatenated, in place of the source. saved: the name of its output.
    """

    label: str
    before: Shape
    shape: Shape
    source: str | None = None
    layers: tuple[Word, ...] = ()
    block: Block | None = None
    add: str | None = None
    via: tuple[Word, ...] = ()
    other: Shape = (0,)
    concat: tuple[str, ...] = ()
    saved: str | None = None


@dataclass(frozen=True)
class Block:
    """A block as called: its rows, and its name."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Plan:
    """All rows of a net, and the shape of the images that it was planned for."""

    input: tuple[int, int, int]
    rows: tuple[Row, ...]

    @cached_property
    def maps(self) -> int:
        """The number of rows that give maps; the others give vectors."""
        return next((place for place, row in enumerate(self.rows) if len(row.shape) == 1), len(self.rows))


def plan(text: NetText, *, classes: int, shape: tuple[int, int, int], parameters: Mapping[str, int]) -> Plan:
    """The plan of a net for images of `shape`, with values of the file's parameters in place of its own.

    Raises RequestError, with the row, for what cannot be built.
    """
    for name in parameters:
        if name not in text.parameters:
            raise unknown("parameter of the net file:", name, text.parameters)
    planner = _Planner(text, classes)
    rows = planner.table(text.table, {**text.parameters, **parameters}, shape, "table", 0)
    if not rows:
        raise RequestError("the table of the net file has no row")
    rows = list(_parted(rows, classes))
    if rows[-1].shape != (classes,):
        raise RequestError(
            f"the table ends with {described(rows[-1].shape)} instead of {classes} numbers, one for each class: "
            "its last row is fc-classes"
        )
    for name in text.blocks:
        if name not in planner.used:
            raise RequestError(f"block {name} is not used by any row")
    return Plan(shape, tuple(rows))


@dataclass
class _Planner:
    """What the tables of a net share: its blocks, and the rows counted so far."""

    text: NetText
    classes: int
    used: set[str] = field(default_factory=set)
    count: int = 0

    def table(self, table: str, values: Mapping[str, int], shape: Shape, where: str, depth: int) -> list[Row]:
        """The rows of a table whose input has `shape`. where: its place, for messages. depth: of blocks around it."""
        read = _Table(self, values, depth, shape, {INPUT: shape})
        for number, line in _lines(table):
            here = f"{where} row {number}"
            try:
                read.row(filled(line, values).split(), here)
            except _RowError:
                raise
            except RequestError as error:
                raise _RowError(f"{here}: {error}") from error
        if read.unused:
            name, place = next(iter(read.unused.items()))
            raise _RowError(f"{place}: the name {name!r} is not used")
        if read.source is not None:
            raise _RowError(f"{where}: the last row, at {read.source}, does nothing")
        return read.rows

    def counted(self) -> None:
        """Count one more row."""
        self.count += 1
        if self.count > MOST_ROWS:
            raise RequestError(f"the net has over {MOST_ROWS:,} rows, with its blocks written out")

    def through(self, layers: tuple[Word, ...], shape: Shape) -> Shape:
        """The shape after some layers."""
        for word in layers:
            shape = after(word, shape, self.classes)
        return shape


@dataclass
class _Table:
    """A table as far as it is read: where the next row's input is from, and the names given."""

    planner: _Planner
    values: Mapping[str, int]
    depth: int
    shape: Shape
    edges: dict[str, Shape]
    source: str | None = None
    rows: list[Row] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)

    def row(self, words: list[str], here: str) -> None:
        """Read one more row; `here` is its place."""
        if words[0] == "at":
            if len(words) != 2:
                raise RequestError("at is followed by one name, such as: at in")
            self._leave()
            self.source, self.shape = words[1], self._edge(words[1])
            return
        words, saved = self._saved(words)
        words, times = _repeated(words)
        if saved and not times:
            raise RequestError(f"x0 leaves the row out, so that {saved!r} names nothing")
        for _ in range(times):
            self.planner.counted()
            made = self._made(words, here)
            self.rows.append(made)
            self.source, self.shape = None, made.shape
        if saved:
            self.rows[-1] = replace(self.rows[-1], saved=saved)
            self.edges[saved] = self.shape
            self.unused[saved] = here

    def _made(self, words: list[str], here: str) -> Row:
        before, source = self.shape, self.source
        if words[0] == "concat":
            if len(words) < 3:
                raise RequestError("concat names the maps to concatenate, at least two: concat left right")
            self._leave()
            joined = concatenated([self._edge(name) for name in words[1:]])
            return Row("concat", joined, joined, concat=tuple(words[1:]))
        if words[0] == "add":
            return self._added(words)
        if call := _CALL.fullmatch(" ".join(words)):
            block = self._called(call["name"], call["arguments"], here)
            return Row(block.name, before, block.rows[-1].shape, source, block=block)
        if words[0].partition("(")[0] in self.planner.text.blocks:
            raise RequestError(f"a block is called with brackets, alone in its row: {words[0].partition('(')[0]}(...)")
        layers = words_of(words)
        return Row(layers[0].kind, before, self.planner.through(layers, before), source, layers)

    def _added(self, words: list[str]) -> Row:
        if len(words) < 2 or (len(words) > 2 and (words[2] != "via" or len(words) == 3)):
            raise RequestError("add is written: add NAME, or: add NAME via LAYERS")
        other, via = self._edge(words[1]), words_of(words[3:])
        if other == self.shape:
            via = ()
        through = self.planner.through(via, other)
        if through != self.shape:
            what = f"via makes {described(through)} of {words[1]}" if via else "via makes one of the other"
            raise RequestError(f"adds {described(other)} to {described(self.shape)}; {what}")
        return Row("add", self.shape, self.shape, self.source, add=words[1], via=via, other=other)

    def _called(self, name: str, arguments: str, here: str) -> Block:
        blocks = self.planner.text.blocks
        if name not in blocks:
            raise unknown("block", name, (*blocks, *KINDS))
        if self.depth >= MOST_DEPTH:
            raise RequestError(f"blocks are within blocks more than {MOST_DEPTH} deep: does {name} call itself?")
        self.planner.used.add(name)
        given = _arguments(name, arguments, blocks[name].parameters, self.values)
        rows = self.planner.table(blocks[name].table, given, self.shape, f"{here} > {name}", self.depth + 1)
        if not rows:
            raise RequestError(f"block {name} has no row")
        if any(len(row.shape) == 1 for row in rows):
            raise RequestError(f"block {name} gives numbers; a block is made of maps, and fc is in the net's table")
        return Block(name, tuple(rows))

    def _leave(self) -> None:
        """Raise RequestError if what the row above gives would be lost, because the next row takes something else."""
        if self.source is not None:
            raise RequestError(f"the row above, at {self.source}, does nothing")
        if self.rows and self.rows[-1].saved is None:
            raise RequestError("the map of the row above is taken by no row: name it by as NAME, or leave the row out")

    def _edge(self, name: str) -> Shape:
        if name not in self.edges:
            raise unknown("name", name, self.edges)
        self.unused.pop(name, None)
        return self.edges[name]

    def _saved(self, words: list[str]) -> tuple[list[str], str | None]:
        """The words of a row without `as NAME` at its end, and the name."""
        if "as" not in words:
            return words, None
        if len(words) < 3 or words[-2] != "as" or not NAME.fullmatch(words[-1]):
            raise RequestError("as is at the end of a row, followed by a name: conv1-64 relu as left")
        if words[-1] in self.edges:
            raise RequestError(f"the name {words[-1]!r} is given twice")
        return words[:-2], words[-1]


def _repeated(words: list[str]) -> tuple[list[str], int]:
    """The words of a row without `xN` at its end, and N."""
    found = _REPEAT.fullmatch(words[-1]) if len(words) > 1 else None
    if found is None:
        return words, 1
    return words[:-1], int(found[1])


class _RowError(RequestError):
    """An error that has its row already."""


def _lines(table: str) -> Iterator[tuple[int, str]]:
    """The rows of a table with their numbers; empty lines and what follows # are left out."""
    number = 0
    for line in table.splitlines():
        if row := line.partition("#")[0].strip():
            number += 1
            yield number, row


def _arguments(block: str, text: str, parameters: Mapping[str, int], values: Mapping[str, int]) -> dict[str, int]:
    """The values of a block's parameters: its defaults, then those of the call, by place or by name."""
    given = dict(parameters)
    names = list(parameters)
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if len(parts) > len(names):
        raise RequestError(f"block {block} has {len(names)} parameters, and {len(parts)} are given")
    for place, part in enumerate(parts):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = names[place], part
        if name.strip() not in given:
            raise unknown(f"parameter of block {block}:", name.strip(), names)
        given[name.strip()] = evaluated(value, values)
    return given


def _parted(rows: list[Row], classes: int) -> Iterator[Row]:
    """The rows, those that turn a map into a vector in two: the layers of the map, and from the pooling on."""
    for row in rows:
        if len(row.before) == 1 and (row.source or row.saved or row.label in ("add", "concat")):
            raise RequestError(f"the row {shown(row.label)} is of a vector; at, as, add and concat are for maps")
        place, shape = _first_vector(row, classes)
        if place is None:
            yield row
            continue
        if row.saved:
            raise RequestError(f"the row {shown(row.label)} gives numbers; as is for maps")
        layers = row.layers[place:]
        if place:
            yield replace(row, shape=shape, layers=row.layers[:place])
        flat = () if layers[0].kind in POOLED else (Word("flatten"),)
        yield Row(layers[0].kind, shape, row.shape, None if place else row.source, (*flat, *layers))


def _first_vector(row: Row, classes: int) -> tuple[int | None, Shape]:
    """The place of the layer that makes a vector of a map, None without one, and the shape of that map."""
    shape = row.before
    for place, word in enumerate(row.layers):
        following = after(word, shape, classes)
        if len(following) < len(shape):
            return place, shape
        shape = following
    return None, shape
