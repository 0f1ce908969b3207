"""Image files in memory: pictures to draw, and files that Pillow cannot write."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def content_of(image: Image.Image, form: str = "PNG", **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **settings)
    return stream.getvalue()


def ramp(width: int = 40, height: int = 24) -> Image.Image:
    """A smooth picture whose four corners differ."""
    y, x = np.mgrid[:height, :width]
    red, green = x * 255 // (width - 1), y * 255 // (height - 1)
    return Image.fromarray(np.stack([red, green, 255 - red // 2 - green // 2], axis=-1).astype(np.uint8))


def photograph(width: int, height: int) -> Image.Image:
    """Coarse colour noise, enlarged: as smooth as a photograph, and different everywhere."""
    coarse = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(header: bytes, *chunks: bytes) -> bytes:
    """A PNG of its header's content and its chunks."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that declares its size and holds next to nothing."""
    return png(
        struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0), chunk(b"IDAT", zlib.compress(b"\0" * 100))
    )


def wide_png(samples: np.ndarray) -> bytes:
    """A PNG of 16 bits a sample, uint16 [H, W, 1..4], its rows filtered in turn by each of PNG's five filters."""
    height, width, channels = samples.shape
    pixel = 2 * channels
    rows = samples.astype(">u2").tobytes()
    rows = [
        np.frombuffer(rows, np.uint8)[n * width * pixel : (n + 1) * width * pixel].astype(int) for n in range(height)
    ]
    filtered = []
    for number, row in enumerate(rows):
        up = rows[number - 1] if number else np.zeros_like(row)
        left = np.concatenate([np.zeros(pixel, int), row[:-pixel]])
        corner = np.concatenate([np.zeros(pixel, int), up[:-pixel]])
        guess = left + up - corner
        nearest = np.abs(np.stack([guess - left, guess - up, guess - corner])).argmin(axis=0)
        paeth = np.choose(nearest, [left, up, corner])
        predicted = [np.zeros_like(row), left, up, (left + up) // 2, paeth][number % 5]
        filtered.append(bytes([number % 5]) + ((row - predicted) % 256).astype(np.uint8).tobytes())
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return png(header, chunk(b"IDAT", zlib.compress(b"".join(filtered))))
