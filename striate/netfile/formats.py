"""Files that describe a network without code: net files, Caffe's prototxt and Keras's JSON, by their endings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from striate.errors import RequestError
from striate.netfile import caffe, keras
from striate.netfile.text import parse
from striate.netfile.to_caffe import prototxt
from striate.netfile.to_keras import keras_json
from striate.reading import TEXT, read_file

NET_FILE, PROTOTXT, KERAS = ".toml", ".prototxt", ".json"
Shape = tuple[int, int, int]

# From the text of a file to that of a net file, and back. The shape of an image is for those that do not say it.
READERS: Mapping[str, Callable[[str, Shape | None], str]] = MappingProxyType(
    {NET_FILE: lambda text, _: text, PROTOTXT: caffe.net_file, KERAS: keras.net_file}
)
WRITERS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        NET_FILE: lambda text: text,
        PROTOTXT: lambda text: prototxt(parse(text)),
        KERAS: lambda text: keras_json(parse(text)),
    }
)


def text_of(path: Path) -> str:
    """The text of a file. Raises RequestError for one that cannot be read."""
    try:
        return read_file(path, TEXT).decode("utf-8-sig")
    except OSError as error:
        raise RequestError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{str(path)!r} is not UTF-8 text") from error


def net_text(path: Path, shape: Shape | None = None) -> str:
    """The text of a net file for what a file describes. Raises RequestError, with the file."""
    text = text_of(path)
    try:
        return READERS[path.suffix](text, shape)
    except RequestError as error:
        raise RequestError(f"{str(path)!r}: {error}") from error
