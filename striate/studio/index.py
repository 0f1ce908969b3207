"""What no folder holds: which data sets and runs are hidden, the order of the queue, facts of runs that were read once.

SQLite in WAL mode. Nothing is lost with the file: hidden things appear again, the queue is in the order of its numbers.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from striate.storage import json_text

_TABLES = """
CREATE TABLE IF NOT EXISTS hidden (kind TEXT, name TEXT, PRIMARY KEY (kind, name));
CREATE TABLE IF NOT EXISTS queue (job INTEGER PRIMARY KEY, place REAL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, stamp TEXT, facts TEXT);
"""


class Index:
    """The file, from any thread. A damaged one is put aside, and a new one begun."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._base = _opened(path)
        except sqlite3.DatabaseError:
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(name).replace(path.with_name(f"{name}.damaged"))
            self._base = _opened(path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def hidden(self, kind: str) -> set[str]:
        """The names that are hidden, of a kind: "data" or "runs"."""
        return {name for (name,) in self._all("SELECT name FROM hidden WHERE kind = ?", kind)}

    def hide(self, kind: str, name: str, hidden: bool) -> None:
        """Hide one, or show it again."""
        if hidden:
            self._do("INSERT OR IGNORE INTO hidden VALUES (?, ?)", kind, name)
        else:
            self._do("DELETE FROM hidden WHERE kind = ? AND name = ?", kind, name)

    def places(self) -> dict[int, float]:
        """The places of jobs in the queue that were moved."""
        return dict(self._all("SELECT job, place FROM queue"))

    def order(self, jobs: Sequence[int]) -> None:
        """Let the queue be in this order."""
        with self._lock, self._base:
            self._base.execute("DELETE FROM queue")
            self._base.executemany("INSERT INTO queue VALUES (?, ?)", [(job, place) for place, job in enumerate(jobs)])

    def facts(self, name: str, stamp: str) -> dict[str, Any] | None:
        """The facts that were kept of a run, if its stamp is still the same."""
        found = self._all("SELECT facts FROM facts WHERE name = ? AND stamp = ?", name, stamp)
        return dict(json.loads(found[0][0])) if found else None

    def keep_facts(self, name: str, stamp: str, facts: dict[str, Any]) -> None:
        """Keep the facts of a run until its stamp is another."""
        self._do("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", name, stamp, json_text(facts))

    def _all(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    def _do(self, query: str, *values: Any) -> None:
        with self._lock, self._base:
            self._base.execute(query, values)


def _opened(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, check_same_thread=False)
    try:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        base.executescript(_TABLES)
    except sqlite3.DatabaseError:
        base.close()
        raise
    return base
