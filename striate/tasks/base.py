"""What a task's targets are called in texts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """What a task's targets are called in texts.

    one, many: "class", "classes". target: "the class". relabel: what changing it is called. hint: what to type then.
    names_listed: whether the task's names are what images are sorted by, such as classes; else they name quantities.
    """

    one: str
    many: str
    target: str
    relabel: str
    hint: str
    names_listed: bool
