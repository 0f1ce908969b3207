"""Predictions that have no room are refused before anything of them is read: a client is told at once."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from striate.serving.batching import Batcher

PREDICT, MODELS, INFER = "/predict", "/v2/models/", "/infer"


@dataclass(frozen=True)
class _Counted:
    """The route as which a refusal is counted."""

    path: str


class Admission:
    """An ASGI application around that of the routes. batchers: the models, the first of which answers by default.

    Raises the batcher's refusal where its queue is full. What is left of the request is then read by the connection,
    and goes nowhere: see `striate.web.connections`.
    """

    def __init__(self, app: ASGIApp, batchers: list[Batcher]) -> None:
        self._app, self._batchers = app, batchers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            found = self._asked(scope["path"], scope["query_string"])
            if found is not None and found.full:
                scope["route"] = _Counted(PREDICT if scope["path"] == PREDICT else f"{MODELS}{{model}}{INFER}")
                raise found.overloaded()
        await self._app(scope, receive, send)

    def _asked(self, path: str, query: bytes) -> Batcher | None:
        """The model that a prediction is asked of; None for other requests, and wrong ones."""
        if path == PREDICT:
            name = QueryParams(query).get("model") if b"model" in query else None  # as the route reads it
            return self._batchers[0] if name is None else self._named(name)
        if path.startswith(MODELS) and path.endswith(INFER):
            return self._named(path[len(MODELS) : -len(INFER)])
        return None

    def _named(self, name: str) -> Batcher | None:
        return next((one for one in self._batchers if one.name == name), None)
