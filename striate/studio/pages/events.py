"""The stream of events, by which pages learn what changed."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from striate.studio.studio import Studio


def add(app: FastAPI, studio: Studio) -> None:
    """Add /api/events."""

    @app.get("/api/events", tags=["events"])
    async def events(request: Request, after: str = "") -> StreamingResponse:
        """Server-sent events: one JSON object each, that says what changed. after: the last one seen."""
        studio.hub.admit()
        seen = request.headers.get("last-event-id") or after
        return StreamingResponse(studio.hub.stream(seen), media_type="text/event-stream")
