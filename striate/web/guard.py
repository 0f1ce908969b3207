"""What stands before every request: its host, its origin, its token; and what every answer says to a browser."""

from __future__ import annotations

import hmac
import ipaddress
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from striate.errors import printable
from striate.web.refusals import Refused

OPEN = ("/v2/health/live", "/v2/health/ready")  # without a token: they tell an orchestrator nothing but that
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{1,5})?")
# What every answer says to a browser, unless it says its own.
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True)
class Site:
    """By which names the server is called. any_address: whether a Host that is an IP address is taken besides.

    A page that was rebound to this machine calls it by the name that it was loaded from, never by an address.
    """

    hosts: frozenset[str]
    any_address: bool = False

    def check(self, headers: Headers, method: str, scheme: str) -> None:
        """Raise Refused for a request to another host, or from a page of another site."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise Refused(421, "this server does not answer to that Host; --name adds one", close=True)
        origin = headers.get("origin")
        if origin is not None and origin != f"{scheme}://{host}":
            raise Refused(403, "pages of other sites are not answered", close=True)
        if method not in ("GET", "HEAD") and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(403, "pages of other sites are not answered", close=True)

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host.lower())
        name = (found["address"] or found["name"]) if found else ""
        return name in self.hosts or (self.any_address and _is_address(name))


@dataclass(frozen=True)
class Access:
    """Who is answered by a server of models. token: that requests must have; "" for none."""

    site: Site
    token: str = ""

    def check(self, headers: Headers, method: str, path: str, scheme: str) -> None:
        """Raise Refused for a request that is not answered."""
        self.site.check(headers, method, scheme)
        if self.token and path not in OPEN and not has_token(headers, self.token):
            raise Refused(
                401, "the header 'Authorization: Bearer TOKEN' is missing, or the token is another", close=True
            )


def has_token(headers: Headers, token: str) -> bool:
    """Whether a request has the token as its `Authorization: Bearer`."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    return same(given.strip(), token) and kind.lower() == "bearer"


def same(given: str, secret: str) -> bool:
    """Whether two texts are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Checks(Protocol):
    """Who is answered: `Access`, or a server's own."""

    def check(self, headers: Headers, method: str, path: str, scheme: str) -> None:
        """Raise Refused for a request that is not answered."""


class Guard:
    """An ASGI application around another: refuses before it is asked, and turns what it raises into answers.

    counted: called with path, status and seconds of each answer. failed: called with a line about an error that nobody
    expected; the client is not told what it was. headers: what every answer says, unless it says its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Checks,
        counted: Callable[[str, int, float], None],
        failed: Callable[[str], None],
        headers: Sequence[tuple[bytes, bytes]] = HEADERS,
    ) -> None:
        self._app, self._access, self._counted, self._failed, self._headers = app, access, counted, failed, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        start, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with_headers(message["headers"], self._headers)}
            await send(message)

        try:
            self._access.check(Headers(scope=scope), scope["method"], scope["path"], scope["scheme"])
            await self._app(scope, receive, sending)
        except Refused as refused:
            await refused.answer()(scope, receive, sending)
        except Exception as error:  # answered already; one request fails, the server goes on
            self._failed(printable(f"a request failed: {type(error).__name__}: {error}"))
        path = getattr(scope.get("route"), "path", "-")
        self._counted(path, status, time.perf_counter() - start)


def _with_headers(given: list[tuple[bytes, bytes]], more: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    own = {name for name, _ in given}
    return [*given, *((name, value) for name, value in more if name not in own)]
