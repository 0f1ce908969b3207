"""The application: the pages in order, what every answer says to a browser, and errors in words."""

from __future__ import annotations

import dataclasses

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from striate.errors import StriateError
from striate.studio.login import OPEN
from striate.studio.pages import (
    about,
    api,
    atlas,
    compare,
    data,
    entry,
    events,
    home,
    inside,
    new,
    run,
    ship,
    train,
    trying,
)
from striate.studio.rendering import Json
from striate.studio.studio import Studio
from striate.web.bodies import Bodies, Gone
from striate.web.guard import Guard
from striate.web.refusals import REFUSED, Refused

# Each has `add(app, studio)`.
PAGES = (entry, events, home, new, data, train, run, trying, ship, compare, inside, atlas, api, about)
ASKED = ("/api/runs/", "/api/applications/")  # with a picture as the body
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' blob: "
    "data:; media-src 'self' blob:; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Not no-referrer: a form would then say that it comes from "null".
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", POLICY.encode()),
)


def create_app(studio: Studio) -> ASGIApp:
    """The studio as an ASGI application, guarded."""
    app = FastAPI(title="Striate studio", version=studio.version, docs_url=None, redoc_url=None, openapi_url=None,
                  default_response_class=Json, responses=REFUSED, redirect_slashes=False)  # fmt: skip
    for page in PAGES:
        page.add(app, studio)
    for kind in (HTTPException, RequestValidationError, StriateError, Refused, Gone, Exception):
        app.add_exception_handler(kind, _Told(studio))
    entrance = _Entrance(_BoundedBodies(app, studio.bodies), studio)
    return Guard(entrance, studio.logins, lambda *told: None, studio.failed, HEADERS)


class _Entrance:
    """Lets those in who have logged in; a person who has not is shown where to."""

    def __init__(self, app: ASGIApp, studio: Studio) -> None:
        self._app, self._studio = app, studio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        try:
            self._studio.logins.require(headers, scope["method"], scope["path"])
        except Refused as refused:
            if refused.status != 401 or scope["method"] != "GET" or "text/html" not in headers.get("accept", ""):
                raise
            values = {"title": "Log in", "why": ""}
            await self._studio.pages.page(Request(scope), "login.html", values, 401)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _BoundedBodies:
    """Reads bodies before the application does, within limits; uploads and pictures bound themselves."""

    def __init__(self, app: ASGIApp, bodies: Bodies) -> None:
        self._app, self._bodies = app, bodies
        # Of those who have not logged in: they must not take the room of those who have.
        self._strangers = Bodies(dataclasses.replace(bodies.limits, body=entry.LONGEST, held=64 * entry.LONGEST))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope["method"], scope["path"]
        upload = method == "PUT" and path.startswith("/api/data/") and "/files/" in path
        picture = method == "POST" and path.startswith(ASKED) and path.endswith("/predict")
        if upload or picture or method in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        bodies = self._strangers if path.startswith(OPEN) else self._bodies
        try:
            async with bodies.body(headers, receive) as content:
                await self._app(scope, _Again(content, receive), send)
        except Gone:
            return


class _Again:
    """The body of a request that was read already."""

    def __init__(self, content: bytes, receive: Receive) -> None:
        self._content: bytes | None = content
        self._receive = receive

    async def __call__(self) -> Message:
        """The body, then what the connection says."""
        if self._content is None:
            return await self._receive()
        content, self._content = self._content, None
        return {"type": "http.request", "body": content, "more_body": False}


class _Told:
    """Errors as answers: JSON with one line for programs and scripts of the page, a page for people."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def __call__(self, request: Request, error: Exception) -> Response:
        """The answer for an error."""
        status, why = _status_and_line(error)
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            values = {"title": "This did not work", "why": why, "status": status}
            return self._studio.pages.page(request, "error.html", values, status)
        if isinstance(error, Refused):
            return error.answer()
        return Json({"error": why}, status)


def _status_and_line(error: Exception) -> tuple[int, str]:
    match error:
        case Refused():
            return error.status, error.why
        case Gone():
            return 499, "the client has left"
        case RequestValidationError():
            first = error.errors()[0]
            return 400, f"{first['loc'][-1]}: {first['msg']}"
        case HTTPException():
            return error.status_code, str(error.detail)
        case StriateError():
            return 400 if error.exit_code == 2 else 500, " ".join(str(error).split())
        case _:
            return 500, "this failed inside the studio; the terminal that it was started from says why"
