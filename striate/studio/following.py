"""What a job tells while it runs, read from the events on its standard error: docs/progress.md has their schema."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

from striate.errors import printable
from striate.studio.files import read_tail

LINES = 200  # messages that are kept
MOST = 2**22  # bytes of events that are read again after a restart


class Following:
    """The events of one job so far."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        self.stage, self.error = "", ""
        self.bars: dict[int, dict[str, Any]] = {}
        self.lines: deque[str] = deque(maxlen=LINES)

    def step(self) -> bool:
        """Read what is new; returns whether there was anything."""
        content, self._read = read_tail(self._path, self._read, MOST)
        for line in content.splitlines():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):  # of a library, or of the system
                event = {"event": "message", "text": printable(line.decode("utf-8", "replace"))}
            if isinstance(event, dict) and isinstance(event.get("bar", 0), int):
                self._take(event)
        return bool(content)

    def _take(self, event: dict[str, Any]) -> None:
        match event.get("event"):
            case "stage":
                self.stage, self.bars = str(event.get("name", "")), {}
            case "message":
                self.lines.append(str(event.get("text", "")))
            case "failed":
                self.error = str(event.get("text", ""))
            case "bar" if event.get("ended"):
                self.bars.pop(event.get("bar", 0), None)
            case "bar":
                told = {key: event.get(key) for key in ("name", "total", "done", "note")}
                self.bars[event.get("bar", 0)] = told

    def facts(self) -> dict[str, Any]:
        """For the API."""
        return {"stage": self.stage, "bars": list(self.bars.values()), "lines": list(self.lines), "error": self.error}
