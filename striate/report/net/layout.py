"""Where the boxes of a block stand: chains run from left to right, branches one under the other, shortcuts above."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

GAP = 16.0  # between two boxes of a chain
FORK = 22.0  # where branches part and where they join
BETWEEN = 8.0  # two branches
ARC = 16.0  # over what a shortcut passes


class Node(Protocol):
    """What is laid out."""

    @property
    def number(self) -> int: ...
    @property
    def inputs(self) -> tuple[int, ...]: ...


class Size(NamedTuple):
    """Width, and height above and below the line on which values come in and leave."""

    width: float
    above: float
    below: float


@dataclass(frozen=True)
class Single:
    """A box."""

    number: int
    size: Size


@dataclass(frozen=True)
class Chain:
    """Parts one after the other; `skips` are the places (from, to) of values that pass over parts between."""

    parts: Sequence[Part]
    skips: Sequence[tuple[int, int]]
    size: Size


@dataclass(frozen=True)
class Branches:
    """Chains beside each other, from one value to one place where they join; `shortcut`: it also gets there itself."""

    lanes: Sequence[Chain]
    shortcut: bool
    size: Size


Part = Single | Branches


def laid_out(nodes: Sequence[Node], sizes: Mapping[int, Size]) -> Chain:
    """The nodes of a block, in an order in which each comes after its inputs, as a chain of boxes and branches.

    Inputs that are no nodes of the block come in at the left; what is used by no node leaves at the right.
    """
    return _chain(list(nodes), sizes)


def _chain(nodes: list[Node], sizes: Mapping[int, Size]) -> Chain:
    """Nodes that start from one value and end in one: cut where everything passes through one node."""
    jumps = list(_jumps(nodes, {node.number: at for at, node in enumerate(nodes)}))
    cuts = [at for at in range(len(nodes)) if not any(start < at < end for start, end in jumps)]
    skips: list[tuple[int, int]] = []
    if not cuts and len(_components(nodes)) == 1:
        # Nothing to take apart: a row, and above it what does not go from one box to the next.
        cuts = list(range(len(nodes)))
        skips = [(start, end) for start, end in jumps if end - start > 1]
    parts: list[Part] = []
    for before, cut in zip([-1, *cuts], [*cuts, len(nodes)], strict=True):
        if inner := nodes[before + 1 : cut]:
            parts.append(_branches(inner, (before, cut) in jumps, sizes))
        if cut < len(nodes):
            parts.append(Single(nodes[cut].number, sizes[nodes[cut].number]))
    return Chain(parts, skips, _in_a_row(parts, skips))


def _jumps(nodes: Sequence[Node], place: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """From where to where values go, by place; -1 is before the first and len(nodes) behind the last."""
    used = {number for node in nodes for number in node.inputs}
    for at, node in enumerate(nodes):
        for number in node.inputs:
            yield place.get(number, -1), at
        if node.number not in used:
            yield at, len(nodes)


def _branches(inner: list[Node], shortcut: bool, sizes: Mapping[int, Size]) -> Branches:
    lanes = [_chain(group, sizes) for group in _components(inner)]
    width = max(lane.size.width for lane in lanes) + 2 * FORK
    tall = [lane.size.above + lane.size.below for lane in lanes]
    height = sum(tall) + BETWEEN * (len(lanes) - 1)
    # One lane stays on the line, its shortcut passes above; several stand around it.
    above = lanes[0].size.above if len(lanes) == 1 else height / 2
    return Branches(lanes, shortcut, Size(width, above + (ARC if shortcut else 0), height - above))


def _components(nodes: Sequence[Node]) -> list[list[Node]]:
    """The groups of nodes that are linked with each other, each in the given order."""
    group_of: dict[int, list[Node]] = {}
    for node in nodes:
        linked = {id(group_of[number]): group_of[number] for number in node.inputs if number in group_of}
        merged: list[Node] = [each for group in linked.values() for each in group] + [node]
        for each in merged:
            group_of[each.number] = merged
    order = {node.number: at for at, node in enumerate(nodes)}
    groups = {id(group): sorted(group, key=lambda node: order[node.number]) for group in group_of.values()}
    return list(groups.values())


def _in_a_row(parts: Sequence[Part], skips: Sequence[tuple[int, int]]) -> Size:
    gaps = sum(_gap(left, right) for left, right in itertools.pairwise(parts))
    arcs = ARC * (1 + max((end - start for start, end in skips), default=0)) / 2 if skips else 0.0
    return Size(
        sum(part.size.width for part in parts) + gaps,
        max(part.size.above for part in parts) + arcs,
        max(part.size.below for part in parts),
    )


def _gap(left: Part, right: Part) -> float:
    """Branches bring their own."""
    return GAP if isinstance(left, Single) and isinstance(right, Single) else 0.0


def placed(parts: Sequence[Part], x: float) -> Iterator[tuple[Part, float]]:
    """Each part of a chain that begins at `x`, with where it begins itself."""
    for part, below in zip(parts, [*parts[1:], None], strict=True):
        yield part, x
        x += part.size.width + (_gap(part, below) if below else 0)


def lane_lines(branches: Branches, y: float) -> list[float]:
    """The line of each lane, for branches on the line `y`."""
    if len(branches.lanes) == 1:
        return [y]
    top = y - branches.size.above + (ARC if branches.shortcut else 0)
    lines = []
    for lane in branches.lanes:
        lines.append(top + lane.size.above)
        top += lane.size.above + lane.size.below + BETWEEN
    return lines
