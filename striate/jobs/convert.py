"""Convert: a network described without code, from one format to another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import RequestError
from striate.jobs.outputs import require_file, same_file
from striate.netfile import parse, plan
from striate.netfile.formats import READERS, WRITERS, Shape, net_text
from striate.storage import write_text


@dataclass(frozen=True)
class Converted:
    """What was written. rows: of the net file, with its blocks. shape: channels, height and width of an image."""

    path: Path
    name: str
    shape: Shape
    classes: int
    rows: int

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "path": str(self.path),
            "name": self.name,
            "input": list(self.shape),
            "classes": self.classes,
            "rows": self.rows,
        }


def convert(source: str | os.PathLike[str], out: str | os.PathLike[str], *, shape: Shape | None = None) -> Converted:
    """Write the description of a network, a net file (.toml), a prototxt of Caffe or JSON of Keras, as another.

    shape: channels, height and width of an image, for a file that does not say them. Weights are not converted.
    Raises RequestError for other endings, for a file that cannot be read, and for a layer that the other format lacks.
    """
    given, path = Path(source), Path(out)
    if given.suffix not in READERS or path.suffix not in WRITERS:
        wrong = given if given.suffix not in READERS else path
        raise RequestError(f"{str(wrong)!r}: networks are converted between {', '.join(READERS)}")
    require_file(path)
    if same_file(path, given):
        raise RequestError(f"{str(path)!r} is the input, and is not overwritten; name another file")
    text = net_text(given, shape)
    read = parse(text)
    rows = plan(read, classes=read.classes, shape=read.input, parameters={}).rows
    write_text(path, WRITERS[path.suffix](text))
    return Converted(path, read.name, read.input, read.classes, len(rows))
