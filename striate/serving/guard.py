"""What stands before every request: its host, its origin, its token; and what every answer says to a browser."""

from __future__ import annotations

import hmac
import ipaddress
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from striate.serving.metrics import Metrics
from striate.serving.refusals import Refused

OPEN = ("/v2/health/live", "/v2/health/ready")  # without a token: they tell an orchestrator nothing but that
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{1,5})?")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_POLICY = b"default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Access:
    """Who is answered. hosts: the names by which the server is called. token: that requests must have; "" for none.

    any_address: whether a Host that is an IP address is taken besides. A page that was rebound to this machine calls it
    by the name that it was loaded from, never by an address.
    """

    hosts: frozenset[str]
    token: str = ""
    any_address: bool = False

    def check(self, headers: Headers, method: str, path: str, scheme: str) -> None:
        """Raise Refused for a request that is not answered."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise Refused(421, "this server does not answer to that Host; --name adds one", close=True)
        origin = headers.get("origin")
        if origin is not None and origin != f"{scheme}://{host}":
            raise Refused(403, "pages of other sites are not answered", close=True)
        if method not in ("GET", "HEAD") and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(403, "pages of other sites are not answered", close=True)
        if self.token and path not in OPEN and not self._has_token(headers.get("authorization", "")):
            raise Refused(
                401, "the header 'Authorization: Bearer TOKEN' is missing, or the token is another", close=True
            )

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host.lower())
        name = (found["address"] or found["name"]) if found else ""
        return name in self.hosts or (self.any_address and _is_address(name))

    def _has_token(self, given: str) -> bool:
        """Compared in a time that does not depend on where they differ."""
        kind, _, token = given.partition(" ")
        same = hmac.compare_digest(token.strip().encode("utf-8", "replace"), self.token.encode())
        return same and kind.lower() == "bearer"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """An ASGI application around another: refuses before it is asked, and turns what it raises into answers.

    failed: called with a line about an error that nobody expected; the client is not told what it was.
    """

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics, failed: Callable[[str], None]) -> None:
        self._app, self._access, self._metrics, self._failed = app, access, metrics, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        start, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with_headers(message["headers"])}
            await send(message)

        try:
            self._access.check(Headers(scope=scope), scope["method"], scope["path"], scope["scheme"])
            await self._app(scope, receive, sending)
        except Refused as refused:
            await refused.answer()(scope, receive, sending)
        except Exception as error:  # answered already; one request fails, the server goes on
            self._failed(f"a request failed: {type(error).__name__}: {error}")
        path = getattr(scope.get("route"), "path", "-")
        self._metrics.request(path, status, time.perf_counter() - start)


def _with_headers(given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    own = any(name == b"content-security-policy" for name, _ in given)
    return [*given, *_HEADERS, *([] if own else [(b"content-security-policy", _POLICY)])]
