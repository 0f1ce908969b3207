"""Events for the pages: published from any thread, sent as server-sent events, and again after a broken connection."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from striate.storage import json_text
from striate.web.refusals import overloaded

KEPT = 1000  # events for clients that come again
MOST = 64  # streams at a time: one a browser is usual
BEAT = 15.0  # seconds of silence, after which a comment shows that the connection lives


class Hub:
    """The events of this server. An event is a JSON object that says what changed, such as {"run": "flowers"}.

    Numbers begin with a word of this process: a browser that comes from an earlier one is told to load anew.
    """

    def __init__(self) -> None:
        self._word, self._number = secrets.token_hex(4), 0
        self._events: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._streams: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._closed = False

    def publish(self, facts: Mapping[str, Any]) -> None:
        """Tell all pages; from any thread."""
        with self._lock:
            self._number += 1
            self._events.append((self._number, json_text(dict(facts))))
        self._wake()

    def close(self) -> None:
        """End all streams: the server stops."""
        self._closed = True
        self._wake()

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    def _wake(self) -> None:
        with self._lock:
            streams = list(self._streams)
        for loop, event in streams:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(event.set)

    @property
    def last(self) -> str:
        """The number of the last event: a page that is rendered now has seen all up to it."""
        return f"{self._word}-{self._number}"

    def admit(self) -> None:
        """Raise Refused where too many streams are open."""
        if len(self._streams) >= MOST:
            raise overloaded("too many pages listen", close=True)

    async def stream(self, after: str) -> AsyncIterator[bytes]:
        """The events after the one of this number, as text/event-stream, until client or server leave."""
        word, _, number = after.partition("-")
        known = word == self._word and number.isascii() and number.isdecimal()
        seen = int(number[:20]) if known else self._number
        mine = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._streams.add(mine)
            missed = bool(known and self._events and self._events[0][0] > seen + 1)
        try:
            yield b"retry: 1000\n\n"
            if missed or (after and not known):
                yield self._line(self._number, '{"reset": true}')
                seen = self._number
            while not self._closed:
                mine[1].clear()
                with self._lock:
                    new = [(place, text) for place, text in self._events if place > seen]
                for place, text in new:
                    yield self._line(place, text)
                    seen = place
                try:
                    async with asyncio.timeout(BEAT):
                        await mine[1].wait()
                except TimeoutError:
                    yield b": here\n\n"
        finally:
            with self._lock:
                self._streams.discard(mine)

    def _line(self, number: int, text: str) -> bytes:
        return f"id: {self._word}-{number}\ndata: {text}\n\n".encode()
