"""Decisions on images as a journal: lines appended for good, undone by lines that say so, compacted to a CSV.

A line has `n`, `time`, `images` (keys), and `decision` with `to`, as in `striate.data.audit.decisions`; or `undo`, the
`n` of the line that no longer counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.audit.decisions import KINDS, Row, write_decisions
from striate.data.sources.base import PARTS
from striate.errors import RequestError, unknown
from striate.studio.files import append_line, read_lines

MOST = 10_000  # images of one decision


@dataclass(frozen=True)
class Made:
    """One decision on some images, as it was made. undone: whether it counts no more."""

    n: int
    time: float
    images: tuple[str, ...]
    decision: str
    to: str = ""
    undone: bool = False


class Journal:
    """The decisions of a data set. Whatever a method returns is on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._made: dict[int, Made] = {}
        self._last = 0
        for line in read_lines(path)[0]:
            self._take(line)

    @property
    def last(self) -> int:
        """The number of the last line; two tabs that show the same one agree."""
        return self._last

    def decide(self, images: Sequence[str], decision: str, to: str = "") -> Made:
        """Decide on images. Raises RequestError for a decision that a decisions file cannot have."""
        if decision not in KINDS:
            raise unknown("decision", decision[:60], KINDS)
        if bool(to) != (decision in ("relabel", "move")):
            raise RequestError(f"{decision} takes {'the new label or part' if not to else 'no label'}")
        if decision == "move" and to not in PARTS:
            raise unknown("part", to[:60], PARTS)
        if not 0 < len(images) <= MOST:
            raise RequestError(f"a decision is about 1 to {MOST:,} images, not {len(images):,}")
        with self._lock:
            facts = {"images": list(images), "decision": decision, "to": to}
            return self._made[self._append(facts)]

    def undo(self) -> Made | None:
        """Take back the last decision that counts; None if there is none."""
        with self._lock:
            counting = [one for one in self._made.values() if not one.undone]
            if not counting:
                return None
            self._append({"undo": counting[-1].n})
            return self._made[counting[-1].n]

    def made(self) -> list[Made]:
        """Every decision, the last one first."""
        with self._lock:
            return list(self._made.values())[::-1]

    def current(self) -> dict[str, Made]:
        """The decision that counts for each image that has one."""
        found: dict[str, Made] = {}
        for one in self.made():
            if not one.undone:
                for image in one.images:
                    found.setdefault(image, one)
        return found

    def compact(self, path: Path) -> int:
        """Write the decisions that count as a file for `striate train --decisions`; returns how many."""
        current = self.current()
        write_decisions(path, [Row(image, one.decision, one.to) for image, one in sorted(current.items())])
        return len(current)

    def _append(self, facts: dict[str, Any]) -> int:
        line = {"n": self._last + 1, "time": round(time.time(), 3), **facts}
        append_line(self.path, line)
        self._take(line)
        return self._last

    def _take(self, line: dict[str, Any]) -> None:
        """A line of the file; what is none of ours is passed over."""
        n, images, decision, to = line.get("n"), line.get("images"), line.get("decision"), line.get("to", "")
        when, undo = line.get("time", 0), line.get("undo", 0)
        if type(n) is not int or type(undo) is not int or type(when) not in (int, float) or not abs(when) < 1e15:
            return
        self._last = max(self._last, n)
        if (undone := self._made.get(undo)) is not None:
            self._made[undone.n] = Made(undone.n, undone.time, undone.images, undone.decision, undone.to, undone=True)
        elif isinstance(images, list) and all(isinstance(one, str) for one in images) and decision in KINDS:
            self._made[n] = Made(n, float(when), tuple(images), str(decision), str(to))
