"""Pictures for pages: decoded within bounds, never sent as they are on the disk."""

from __future__ import annotations

import base64
import io
import threading

from PIL import Image

from striate.data.sources.base import Item, Source
from striate.decoding.budget import at_most
from striate.pixels import UnreadableImage
from striate.web.limits import Limits
from striate.web.refusals import Refused

SIDES = (96, 192, 384, 1024)  # pixels of the longer side, at most
_TINY = 64  # pixels: a smaller picture is sent without loss, because it is shown enlarged


class Pictures:
    """Decodes two at a time; more wait."""

    def __init__(self, limits: Limits) -> None:
        self._pixels, self._turn = limits.pixels, threading.Semaphore(limits.decoders)

    def of(self, source: Source, item: Item, side: int) -> tuple[bytes, str]:
        """An image of a source, upright, at most `side` pixels, as JPEG or PNG, and its media type. Raises Refused."""
        _require_known(side)
        with self._turn, at_most(self._pixels):  # reading, too: a file may be large
            try:
                return encoded(source.decode(source.read(item), side).image, side)
            except UnreadableImage as error:
                raise Refused(422, f"{error.kind}: {error}") from None
            except OSError as error:
                raise Refused(404, f"the picture cannot be read: {error.strerror or error}") from None


def _require_known(side: int) -> None:
    if side not in SIDES:
        raise Refused(400, f"side is one of {', '.join(map(str, SIDES))}")


def encoded(image: Image.Image, side: int) -> tuple[bytes, str]:
    """A picture of at most `side` pixels as JPEG, or as PNG if it is tiny, and its media type."""
    file = io.BytesIO()
    if max(image.size) <= _TINY:
        image.save(file, "PNG")
        return file.getvalue(), "image/png"
    image.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    image.convert("RGB").save(file, "JPEG", quality=85)
    return file.getvalue(), "image/jpeg"


def data_address(content: bytes, kind: str) -> str:
    """A picture as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
