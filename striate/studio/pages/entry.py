"""What is there before anybody has logged in: the log-in, and the files that pages load."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from striate.studio.studio import Studio
from striate.web.refusals import Refused

LONGEST = 10_000  # bytes of the form


def add(app: FastAPI, studio: Studio) -> None:
    """Add /login, /static and the icon."""

    @app.get("/login", include_in_schema=False)
    def login(request: Request, token: str = "") -> Response:
        if token:
            return _logged_in(request, studio, token)
        return studio.pages.page(request, "login.html", {"title": "Log in", "why": ""})

    @app.post("/login", include_in_schema=False)
    async def typed(request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        return _logged_in(request, studio, form.get("token", [""])[0].strip())

    @app.get("/static/{name}", include_in_schema=False)
    def static(request: Request, name: str) -> Response:
        return studio.pages.static(request, name)

    @app.get("/favicon.ico", include_in_schema=False)
    def icon(request: Request) -> Response:
        return studio.pages.static(request, "icon.svg")


def _logged_in(request: Request, studio: Studio, token: str) -> Response:
    """A session for a token. Raises Refused for another text."""
    session = studio.logins.exchange(token)
    if session is None:
        if request.method == "POST" or "text/html" in request.headers.get("accept", ""):
            why = "This token opens nothing: each one is used once. The terminal has the next one."
            return studio.pages.page(request, "login.html", {"title": "Log in", "why": why}, 401)
        raise Refused(401, "this token opens nothing; each is used once, and the terminal has the next one")
    answer = RedirectResponse("./", 303)
    answer.set_cookie(
        studio.logins.cookie, session, httponly=True, samesite="strict", secure=request.url.scheme == "https", path="/"
    )
    return answer
