"""Reading the bodies of requests: of a limited size each and together, within a limited time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.types import Receive

from striate.web.limits import Limits
from striate.web.refusals import Refused, overloaded


class Gone(Exception):  # noqa: N818  (nothing went wrong)
    """The client has left: there is nobody to answer."""


class Bodies:
    """The bodies that this process holds. held: their bytes."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.held = limits, 0

    @asynccontextmanager
    async def body(self, headers: Mapping[str, str], receive: Receive) -> AsyncIterator[bytes]:
        """The body of a request, counted as held until the `with` block ends.

        Raises Refused for one that is too large, too slow or compressed, or for which there is no room; Gone.
        """
        self._check(headers)
        chunks: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(self.limits.body_seconds):
                    more = True
                    while more:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise Gone
                        chunk, more = message.get("body", b""), message.get("more_body", False)
                        chunks.append(chunk)
                        size += len(chunk)
                        self.held += len(chunk)
                        self._check_size(size)
            except TimeoutError:
                seconds = self.limits.body_seconds
                raise Refused(408, f"the body did not arrive within {seconds:g} s", close=True) from None
            yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            self.held -= size

    def _check(self, headers: Mapping[str, str]) -> None:
        if headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "compressed bodies are not taken: images are compressed already", close=True)
        length = headers.get("content-length", "0")
        if length.isdecimal():  # what else it could be, the parser has refused
            self._check_size(int(length[:20]))

    def _check_size(self, size: int) -> None:
        if size > self.limits.body:
            raise Refused(413, f"a request has at most {self.limits.body:,} bytes", close=True)
        if self.held > self.limits.held:
            raise overloaded("too many bytes are being received", close=True)
