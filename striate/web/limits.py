"""What a server takes from its clients: sizes, numbers and seconds. Everything a client controls has a bound."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The bounds of one process.

    queue: images of a model that are waiting or being predicted; one more is answered 503. body: bytes of a request;
    held: of all requests together. pixels: of an image. decoders: images decoded at the same time. connections: open
    at the same time. pipelined: requests of a connection that wait for the answer to another. header_bytes,
    header_seconds: until a request's headers are complete. body_seconds: until its body is. idle_seconds: of an open
    connection between two requests. grace_seconds: for requests in flight, after a stop.
    """

    queue: int = 64
    body: int = 64 * 2**20
    held: int = 256 * 2**20
    pixels: int = 50_000_000
    decoders: int = 2
    connections: int = 1000
    pipelined: int = 64
    header_bytes: int = 32 * 2**10
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: int = 75
    grace_seconds: int = 30
