"""What the page of a network is given: plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """One box of a drawing. `tone` is one of TONES in `drawing`; `inputs` are numbers of the boxes whose outputs go in.

    A number that no box of the same block has stands for what comes from outside of it.
    """

    number: int
    tone: str
    label: str
    detail: str
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """Boxes that are drawn together, in an order in which each comes after its inputs; `times` of the kind follow.

    `dense`: each of them sees what left all before it, and not only the last.
    """

    name: str
    times: int
    dense: bool
    boxes: Sequence[Box]


@dataclass(frozen=True)
class StageRow:
    """A stage: the shape that leaves it, its costs, what a place of its map sees, and its blocks.

    `activation_bytes` is what training saves for backward per image; `note` says what is unusual about it, or nothing.
    """

    name: str
    output: Sequence[int]
    parameters: int
    madds: int
    field: str
    activation_bytes: int
    note: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class NetPage:
    """A whole page; `facts` are terms with what is said of them and a remark, `table` and `remarks` plain text."""

    name: str
    lead: str
    table: str
    facts: Sequence[tuple[str, str, str]]
    stages: Sequence[StageRow]
    remarks: Sequence[str]
