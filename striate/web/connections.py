"""The HTTP protocol of a connection, with bounds that uvicorn leaves open: headers without an end, silent clients.

uvicorn waits for ever for the first request of a connection and for the end of its headers, and takes any number of
them, and of requests that are sent before the one before is answered. Here a connection is closed whose headers take
too long or too many bytes, one with too many requests, and one above the number allowed.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from striate.web.limits import Limits


def bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol class with these limits; uvicorn makes an object of it for each connection."""

    class Bounded(HttpToolsProtocol):
        _headers_due: asyncio.TimerHandle | None = None
        _unparsed = 0  # bytes since the last complete headers

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
                return
            self._wait_for_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._headers_are_complete()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._headers_due is not None:
                self._unparsed += len(data)
            super().data_received(data)
            if self._headers_due is not None and self._unparsed > limits.header_bytes:
                self.transport.abort()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._headers_due is None:  # of the next request on the same connection
                self._wait_for_headers()

        def on_headers_complete(self) -> None:
            self._headers_are_complete()
            if self.transport.is_closing():
                return
            super().on_headers_complete()
            if len(self.pipeline) > limits.pipelined:
                self.transport.abort()

        def _wait_for_headers(self) -> None:
            self._unparsed = 0
            self._headers_due = self.loop.call_later(limits.header_seconds, self.transport.abort)

        def _headers_are_complete(self) -> None:
            if self._headers_due is not None:
                self._headers_due.cancel()
                self._headers_due = None

    return Bounded
