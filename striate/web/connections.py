"""The HTTP protocol of a connection, with bounds that uvicorn leaves open: headers without an end, silent clients.

uvicorn waits for ever for the first request of a connection and for the end of its headers, and takes any number of
them, and of requests that are sent before the one before is answered. Here a connection is closed whose headers take
too long or too many bytes, one with too many requests, and one above the number allowed; and one of a request that was
answered before its body was complete, which uvicorn reads and drops, if the rest takes too long.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from striate.web.limits import Limits


def bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol class with these limits; uvicorn makes an object of it for each connection."""

    class Bounded(HttpToolsProtocol):
        _headers_due: asyncio.TimerHandle | None = None
        _rest_due: asyncio.TimerHandle | None = None  # of a request that is answered already
        _incomplete = False  # the body that is being received
        _unparsed = 0  # bytes since the last complete headers
        _answered: RequestResponseCycle | None = None  # the others of the connection wait in the pipeline

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                self._drop()
                return
            self._wait_for_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._headers_are_complete()
            self._rest_is_complete()
            self._nobody_listens()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._headers_due is not None:
                self._unparsed += len(data)
            super().data_received(data)
            if self._headers_due is not None and self._unparsed > limits.header_bytes:
                self._drop()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._headers_due is None:  # of the next request on the same connection
                self._wait_for_headers()

        def on_headers_complete(self) -> None:
            self._headers_are_complete()
            self._incomplete = True
            if self.transport.is_closing():
                return
            super().on_headers_complete()
            if len(self.pipeline) > limits.pipelined:
                self._drop()

        def on_message_complete(self) -> None:
            self._rest_is_complete()
            super().on_message_complete()

        def on_response_complete(self) -> None:
            newest = self._answered is self.cycle  # else what is incomplete is the body of the next request
            if newest and self._incomplete and not self.transport.is_closing():
                self._rest_due = self.loop.call_later(limits.body_seconds, self._drop)
            super().on_response_complete()

        def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
            self._answered = cycle
            super()._start_asgi_task(cycle, app)

        def _drop(self) -> None:
            self._nobody_listens()
            self.transport.abort()

        def _nobody_listens(self) -> None:
            """Tell the request that is being answered, or it writes to a closed transport; uvicorn tells the newest."""
            if self._answered is not None and not self._answered.response_complete:
                self._answered.disconnected = True
                self._answered.message_event.set()

        def _wait_for_headers(self) -> None:
            self._unparsed = 0
            self._headers_due = self.loop.call_later(limits.header_seconds, self._drop)

        def _headers_are_complete(self) -> None:
            if self._headers_due is not None:
                self._headers_due.cancel()
                self._headers_due = None

        def _rest_is_complete(self) -> None:
            self._incomplete = False
            if self._rest_due is not None:
                self._rest_due.cancel()
                self._rest_due = None

    return Bounded
