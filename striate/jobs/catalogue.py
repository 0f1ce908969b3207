"""Nets and show: the catalogue as rows, and one network opened as its paper's table."""

from __future__ import annotations

import dataclasses
from typing import Any

from striate.errors import RequestError, nearest
from striate.nets.catalog import Entry, entries, entry


def nets(pattern: str = "*") -> list[Entry]:
    """The networks whose name matches a glob. Raises RequestError, with near names, where none does."""
    found = entries(pattern)
    if not found:
        near = nearest(pattern.strip("*"), (known.name for known in entries()))
        hint = f"did you mean {' or '.join(repr(name) for name in near)}?" if near else "'striate nets' lists all"
        raise RequestError(f"no net matches {pattern!r}; {hint}")
    return found


def show(name: str) -> dict[str, Any]:
    """A network's facts, its paper's table, and derived columns by stage. Imports torch, to build it without memory."""
    facts = entry(name)
    from striate.nets.summary import describe, table_text

    return {**dataclasses.asdict(facts), "table": table_text(name), "stages": [row._asdict() for row in describe(name)]}
