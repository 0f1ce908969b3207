"""How much memory decoding may take: bounded for one image, and for all that are decoded at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Condition

from striate.decoding.problems import UnreadableImage

LIMIT = 1_000_000_000  # bytes, for all images that are being decoded together
LARGE = 64_000_000  # pixels: a larger image is reduced before it is converted

_STORED = {"1": 1, "L": 1, "P": 1, "I": 9, "F": 9}  # bytes a pixel, an array of wide samples with it; others take 4
_WORKSPACE = {"WEBP": 8, "AVIF": 8, "HEIF": 8, "JPEG2000": 24, "GIF": 4}  # what the decoder needs beside the result


class _Bytes:
    """A count of bytes in use; `take` waits until there is room."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used, self._changed = limit, 0, Condition()

    @contextmanager
    def take(self, count: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._used + count <= self._limit)
            self._used += count
        try:
            yield
        finally:
            with self._changed:
                self._used -= count
                self._changed.notify_all()


_IN_USE = _Bytes(LIMIT)
_MOST: ContextVar[int | None] = ContextVar("most pixels of an image", default=None)


@contextmanager
def at_most(pixels: int) -> Iterator[None]:
    """Within it, on this thread, larger images are refused before they are decoded: for images from strangers."""
    before = _MOST.set(pixels)
    try:
        yield
    finally:
        _MOST.reset(before)


@contextmanager
def reserved(size: tuple[int, int], stored: float) -> Iterator[None]:
    """Room for an image of width and height, of `stored` bytes a pixel while decoded, and its conversion to RGB.

    Waits while other threads use the room. Raises UnreadableImage if it is more than there can ever be.
    """
    pixels, most = size[0] * size[1], _MOST.get()
    if most is not None and pixels > most:
        raise UnreadableImage("bomb", f"{size[0]:,} x {size[1]:,} pixels; at most {most:,} pixels are taken here")
    needed = round(pixels * stored) + 4 * min(pixels, LARGE // 4 if pixels > LARGE else pixels)
    if needed > LIMIT:
        raise UnreadableImage(
            "bomb",
            f"decoding {size[0]:,} x {size[1]:,} pixels takes {needed / 1e9:,.2f} GB; at most {LIMIT / 1e9:g} GB "
            "are taken: save it smaller",
        )
    with _IN_USE.take(needed):
        yield


def stored_bytes(mode: str, form: str) -> int:
    """Bytes a pixel that Pillow takes to decode an image of this mode and format."""
    return _STORED.get(mode, 7 if mode.startswith("I;16") else 4) + _WORKSPACE.get(form, 0)


def reduction_of(size: tuple[int, int]) -> int:
    """By how much the sides of a very large image are divided; 1 for all others."""
    factor = 1
    while (size[0] // factor) * (size[1] // factor) > LARGE:
        factor += 1
    return factor
