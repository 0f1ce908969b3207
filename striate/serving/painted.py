"""Style: pictures painted by a fast network, by tiles where they are large. It runs in torch."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from striate.errors import RequestError
from striate.pixels import Images, decode
from striate.progress import Progress
from striate.serving.answers import Answers, Seen
from striate.serving.asked import Asked
from striate.serving.protocol import Output, Values
from striate.serving.schemas import MOST_SIDE
from striate.styling.fast_net import LEAST, FastNet, read_fast_net
from striate.styling.pictures import resized, with_colours_of
from striate.styling.tiles import paint_fast

IN_FULL = 0  # of `decode`: reduced as `striate style` does


class ToPaint(NamedTuple):
    """A picture, of the size to paint, and whether its colours are kept."""

    picture: Images
    keep_colours: bool


class Painted(Answers):
    """A network of `striate style --fast`."""

    engine_name, precision = "torch", "float32"
    answers_to = frozenset({"size", "keep_colours"})
    most = 4  # that wait: each may take five seconds, and a stop waits for them

    def __init__(self, net: FastNet) -> None:
        self._net = net

    @classmethod
    def of_file(cls, path: str) -> Painted:
        """Of a file of weights. Raises RequestError."""
        return cls(read_fast_net(Path(path)))

    @property
    def kind(self) -> str:
        """Style."""
        return "style"

    def opened(self, content: bytes, asked: Asked) -> tuple[ToPaint, tuple[int, int]]:
        """The picture: of the size asked for, or of its own, where that is not too large."""
        found = decode(content, at_least=IN_FULL)
        picture = np.asarray(found.image.convert("RGB"))
        longer = asked.size or min(MOST_SIDE, max(picture.shape[:2]))
        if longer != max(picture.shape[:2]):
            picture = resized(picture, longer, LEAST)
        rows, columns = picture.shape[:2]
        if min(rows, columns) < LEAST:
            raise RequestError(f"a picture of {columns} x {rows} pixels is too small: {LEAST} at least")
        return ToPaint(picture, asked.keep_colours), found.upright_size

    def rows(self, images: Sequence[ToPaint]) -> list[bytes]:
        """Each painted, as a PNG."""
        return [_png(self._painted(one)) for one in images]

    def answer(self, seen: Seen, asked: Asked) -> bytes:
        """The PNG."""
        return bytes(seen.row)

    def outputs(self) -> list[Output]:
        """The PNGs."""
        return [Output("picture", "BYTES", ())]

    def values(self, seen: Sequence[Seen]) -> Mapping[str, Values]:
        """The contents of the files; in JSON they are base64."""
        return {"picture": [bytes(one.row) for one in seen]}

    def parameters(self) -> dict[str, Any]:
        """The network's width."""
        return {"channels": self._net.conv1.conv2d.out_channels, "most_pixels_of_a_side": MOST_SIDE}

    def _painted(self, one: ToPaint) -> Images:
        with Progress().bar("Painting", 1) as bar:
            painted = paint_fast(self._net, one.picture, bar)
        return with_colours_of(painted, one.picture) if one.keep_colours else painted


def _png(picture: Images) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()
