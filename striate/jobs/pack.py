"""Pack: decode all images of a source once, into one file that training, audit and evaluation open immediately."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.audit.audit import Audit, audit
from striate.data.opening import Data, open_source, path_of
from striate.data.pack.source import SUFFIX, PackSource, open_pack
from striate.data.pack.writing import made_line, write_pack
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.learning.planning import summarise
from striate.pixels import Pixels
from striate.progress import Progress
from striate.reading import given_path

SIZE = 256  # pixels: near the training size of most nets for photographs, with room for random crops
SMALL = 64  # pixels: images up to this size are packed unchanged


@dataclass(frozen=True, eq=False)
class Packing:
    """A pack that was written, and the audit of its images."""

    source: PackSource
    audit: Audit

    def words(self) -> str:
        """What was packed, where, and its size, in one line."""
        return made_line(self.source)

    def as_dict(self) -> dict[str, Any]:
        """The pack as JSON values."""
        count, height, width, channels = self.source.images.shape
        return {
            "pack": str(self.source.path),
            "images": count,
            "height": height,
            "width": width,
            "channels": channels,
            "bytes": self.source.path.stat().st_size,
            "pixels": self.source.pixels.as_dict(),
            "set_aside": [{"path": o.path, "kind": o.kind, "why": o.why} for o in self.source.oddities],
        }


def pack(
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    size: int | None = None,
    rule: str | None = None,
    progress: Progress | None = None,
) -> Packing:
    """Pack the images of `data` (as for `striate.train`) into `out`, by default NAME.pack next to the data.

    size: of the packed images, by default 256, or less if most images are smaller; images of up to 64 pixels are packed
    unchanged. rule: as in `Pixels`, by default "crop", the centre crop. If interrupted, the same call resumes. An
    existing pack at `out` is replaced, any other file is not.
    Raises RequestError for an invalid request, WorkError if writing fails.
    """
    progress = progress or Progress()
    source = open_source(data)
    source.task.require_vectors("a pack holds no masks and no boxes")
    path = given_path(out, "the pack") if out else _beside(data, source)
    _require_free(path, data)
    pixels = _pixels(source, size, rule, progress)
    made = write_pack(path, source, pixels, progress=progress)
    return Packing(made, audit(source, [(entry.item, entry.record) for entry in made.entries], trained_only=False))


def _beside(data: Data, source: Source) -> Path:
    path = path_of(data)
    folder = path.resolve().parent if path and path.exists() else Path()  # named sets and arrays have no folder
    return folder / f"{source.name}{SUFFIX}"


def _require_free(path: Path, data: Data) -> None:
    """Raise RequestError unless `path` may be written: it does not exist, or is an earlier pack and not the data."""
    if path.suffix != SUFFIX:
        raise RequestError(f"the name of a pack must end in {SUFFIX}, not {str(path)!r}; give it with --out")
    if not path.exists():
        return
    given = path_of(data)
    if given and given.exists() and path.samefile(given):
        raise RequestError(f"{str(path)!r} is the input; give another file with --out")
    try:
        open_pack(path, check=False)
    except RequestError as error:
        raise RequestError(
            f"{str(path)!r} exists, and is not overwritten as it is not a valid pack ({error}); give another with --out"
        ) from error


def _pixels(source: Source, size: int | None, rule: str | None, progress: Progress) -> Pixels:
    """The preprocessing of the pack: nothing is enlarged unless requested."""
    seen = summarise(source)
    if not seen.side:
        raise RequestError(f"none of the images of {source.name!r} that were tried can be read; see 'striate audit'")
    shapes = (source.peek(item) for item in source.items)
    channels = 1 if all(shape is None or shape[2] == 1 for shape in shapes) else 3
    neutral = (127.5,) * channels
    if seen.largest <= SMALL and size is None and rule is None:
        sizes = [shape for item in source.items if (shape := source.peek(item)) is not None]
        # A few larger images are shrunk, rather than padding all the others.
        width, height = (max(min(shape[axis], SMALL) for shape in sizes) for axis in (0, 1))
        return Pixels(height, width, channels, "centre", mean=neutral, std=neutral)
    if size is not None and size > seen.side:
        progress.say(f"Half of the images have a side of {seen.side} pixels or less, and are enlarged to {size}")
    side = size if size is not None else min(SIZE, seen.side)
    return Pixels(side, side, channels, rule or "crop", mean=neutral, std=neutral)
