"""Convert: a network described without code, from one format to another."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import RequestError
from striate.jobs.outputs import require_file, same_file
from striate.netfile import parse, plan
from striate.netfile.caffe import net_file
from striate.netfile.to_caffe import prototxt
from striate.reading import TEXT, read_file
from striate.storage import write_text

Shape = tuple[int, int, int]

# By the ending of a file: from its text to a net file's, and from a net file's text.
READERS: Mapping[str, Callable[[str, Shape | None], str]] = {
    ".toml": lambda text, _: text,
    ".prototxt": net_file,
}
WRITERS: Mapping[str, Callable[[str], str]] = {
    ".toml": lambda text: text,
    ".prototxt": lambda text: prototxt(parse(text)),
}


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
    """Write the description of a network, a net file (.toml) or a prototxt of Caffe, as the other.

    shape: channels, height and width of an image, for a prototxt that does not say them. Weights are not converted.
    Raises RequestError for other endings, for a file that cannot be read, and for a layer that the other format lacks.
    """
    given, path = Path(source), Path(out)
    if given.suffix not in READERS or path.suffix not in WRITERS:
        wrong = given if given.suffix not in READERS else path
        raise RequestError(f"{str(wrong)!r}: networks are converted between {' and '.join(READERS)}")
    require_file(path)
    if same_file(path, given):
        raise RequestError(f"{str(path)!r} is the input, and is not overwritten; name another file")
    text = written_net(given, shape)
    read = parse(text)
    rows = plan(read, classes=read.classes, shape=read.input, parameters={}).rows
    write_text(path, WRITERS[path.suffix](text))
    return Converted(path, read.name, read.input, read.classes, len(rows))


def written_net(path: Path, shape: Shape | None = None) -> str:
    """The text of a net file for the description of a network in a file. Raises RequestError."""
    try:
        text = read_file(path, TEXT).decode("utf-8-sig")
    except OSError as error:
        raise RequestError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{str(path)!r} is not UTF-8 text") from error
    return READERS[path.suffix](text, shape)
