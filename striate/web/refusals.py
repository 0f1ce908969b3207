"""Answers that are refusals: the status of HTTP, a line that says why, and whether the connection is closed."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

# Of every route, for its description: without it FastAPI tells of answers that it would give, and ours does not.
REFUSED: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "What was wrong with the request; `error` says it in a line.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
            }
        },
    }
}
RETRY_AFTER = 1  # seconds, after which a client that was sent away may ask again


class Refused(Exception):  # noqa: N818  (the client is at fault, or early; nothing is wrong here)
    """status: of HTTP. why: a line for the client. close: the connection, because the rest of the request is unread."""

    def __init__(self, status: int, why: str, close: bool = False) -> None:
        super().__init__(why)
        self.status, self.why, self.close = status, why, close

    def answer(self) -> JSONResponse:
        """As the protocol's JSON."""
        headers = {"connection": "close"} if self.close else {}
        if self.status == 503:
            headers["retry-after"] = str(RETRY_AFTER)
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse({"error": self.why}, self.status, headers=headers)


def overloaded(what: str, *, close: bool = False) -> Refused:
    """The refusal of a server that has enough to do."""
    return Refused(503, f"{what}; ask again in {RETRY_AFTER} s, or another server", close)
