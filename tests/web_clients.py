"""What tests of both servers share: an answer over HTTP, and a PNG that is small on the disk and large in memory."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """status, headers (names in small letters) and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def error(self) -> str:
        return str(self.json["error"])


def png(width: int, height: int) -> bytes:
    """A PNG of one colour: a few bytes for each million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
