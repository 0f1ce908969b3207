"""The file layout of a pack: safetensors, so that any reader of that format opens it.

A header, the tensor "images", uint8 [N, H, W, C], and the tensor "table", lines of JSON. The table has a line for each
item of the source, in order, those that were set aside too: what it is, what was found of the original, and the CRC-32
of its image; then a line for each oddity. The header says what the images were made with, and has the table's SHA-256
and its own. All of this is against damage, and is no signature.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from striate.data.audit.looking import Record
from striate.data.sources.base import Item, Oddity
from striate.errors import RequestError
from striate.pixels import Pixels
from striate.storage import sha256_of
from striate.tasks import Task, task_from_dict

FORMAT = 2
DIGEST = 32  # bytes of an original's SHA-256
_MARK = "striate.pack"  # the description's name in the header's metadata
_HEADER_LIMIT = 2**25  # bytes; as JSON values, up to twenty times as many
_TABLE_LIMIT = 2**30  # bytes; a line has a few hundred
_PAGE = 4096
_WIDEST = 10**15  # the maximum number of images, and of bytes of the table


@dataclass(frozen=True)
class Entry:
    """A line of the table. record: of the original. crc: of the image's bytes; None for one that was set aside."""

    item: Item
    record: Record
    crc: int | None

    def line(self) -> bytes:
        """As JSON, with its newline."""
        return _line({"item": _stated(self.item), "record": _stated(self.record), "crc": self.crc})

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Entry:
        """The inverse of `line`. Raises KeyError, TypeError or ValueError for anything else."""
        item, record, crc = Item(**_fields(values["item"])), Record(**_fields(values["record"])), values["crc"]
        if not (crc is None if record.problem else type(crc) is int):
            raise ValueError(f"{item.key!r} has the checksum {crc!r}")
        if not isinstance(item.key, str) or len(bytes.fromhex(record.digest)) != (0 if not record.digest else DIGEST):
            raise ValueError(f"{item.key!r} has the digest {record.digest!r}")
        return cls(item, record, crc)


@dataclass(frozen=True)
class Heading:
    """The header's description of the images, except for their number."""

    name: str
    task: Task
    pixels: Pixels
    pillow: str

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        task = {"names": list(self.task.names), **self.task.as_dict()}
        return {
            "format": FORMAT,
            "name": self.name,
            "task": task,
            "pixels": self.pixels.as_dict(),
            "versions": {"pillow": self.pillow},
        }

    @property
    def image_bytes(self) -> int:
        """Of one image."""
        return self.pixels.height * self.pixels.width * self.pixels.channels

    def room(self, most: int) -> int:
        """Bytes before the first image for up to `most` images: whole pages, fixed before the number is known."""
        text = _header(self, most, _WIDEST, "0" * 64)
        return -(-(8 + len(text)) // _PAGE) * _PAGE

    def header(self, room: int, images: int, table: int, table_sha256: str) -> bytes:
        """The first `room` bytes of the file, with `images` images and a table of `table` bytes."""
        text = _header(self, images, table, table_sha256)
        return struct.pack("<Q", room - 8) + text.ljust(room - 8)  # safetensors allows trailing spaces


@dataclass(frozen=True)
class Layout:
    """Byte offsets in a finished file. images: their number."""

    heading: Heading
    images: int
    images_start: int
    table_start: int
    table_bytes: int
    table_sha256: str


def aside_line(oddity: Oddity) -> bytes:
    """An oddity as a line of the table."""
    return _line({"aside": [oddity.path, oddity.kind, oddity.why]})


def _header(heading: Heading, images: int, table: int, table_sha256: str) -> bytes:
    """The header's JSON."""
    facts = {**heading.as_dict(), "images": images, "table_sha256": table_sha256}
    facts["sha256"] = sha256_of(json.dumps(facts).encode())
    return json.dumps({"__metadata__": {_MARK: json.dumps(facts)}, **_tensors(heading, images, table)}).encode()


def _tensors(heading: Heading, images: int, table: int) -> dict[str, Any]:
    """The safetensors header of the two tensors."""
    pixels, end = heading.pixels, images * heading.image_bytes
    shape = [images, pixels.height, pixels.width, pixels.channels]
    return {
        "images": {"dtype": "U8", "shape": shape, "data_offsets": [0, end]},
        "table": {"dtype": "U8", "shape": [table], "data_offsets": [end, end + table]},
    }


def read_heading(file: BinaryIO, size: int, name: str) -> Layout:
    """The header of a file of `size` bytes. Raises RequestError for a file that is not a pack, newer or damaged."""
    head = file.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else _HEADER_LIMIT + 1
    if length > min(_HEADER_LIMIT, size - 8):
        raise RequestError(f"{name} is not a pack, or is truncated: it does not start with a complete header")
    outer, facts = _described(file.read(length), name)
    heading, count, table = _heading(outer, facts, name)
    start = 8 + length
    layout = Layout(heading, count, start, start + count * heading.image_bytes, table, facts["table_sha256"])
    if layout.table_start + table != size:
        raise RequestError(
            f"the pack {name} is truncated or damaged: it has {size:,} bytes, not {layout.table_start + table:,}"
        )
    if table > _TABLE_LIMIT:
        raise RequestError(f"the pack {name} has a table of {table:,} bytes; at most {_TABLE_LIMIT:,} are read")
    return layout


def _described(text: bytes, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The safetensors header, and the description that Striate put into it, checked against its checksum."""
    try:
        outer = json.loads(text)
        inner = outer["__metadata__"][_MARK]
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{name} is not a pack, or is damaged: its header is not JSON") from error
    except (KeyError, TypeError):
        raise RequestError(f"{name} contains tensors, but is not a pack of 'striate pack'") from None
    try:
        facts = json.loads(inner)
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(name, "its description is not JSON") from error
    if not isinstance(facts, dict) or type(facts.get("format")) is not int:
        raise damaged(name, "its description has no format number")
    if facts["format"] != FORMAT:  # before the checksum, which another format may compute in another way
        hint = "upgrade Striate to open it, or " if facts["format"] > FORMAT else ""
        raise RequestError(
            f"{name} has pack format {facts['format']}, and this Striate reads {FORMAT}; {hint}pack the images again"
        )
    if facts.pop("sha256", None) != sha256_of(json.dumps(facts).encode()):
        raise damaged(name, "its description does not match its checksum")
    return outer, facts


def _heading(outer: dict[str, Any], facts: dict[str, Any], name: str) -> tuple[Heading, int, int]:
    """The description, the number of images and the bytes of the table, if all parts of the header agree."""
    try:
        names = facts["task"].pop("names")
        if not isinstance(facts["name"], str) or not all(isinstance(entry, str) for entry in names):
            raise TypeError("names are text")
        task, pixels = task_from_dict(facts["task"], tuple(names)), Pixels.from_dict(facts["pixels"])
        heading = Heading(facts["name"], task, pixels, str(facts["versions"]["pillow"]))
        count, table = facts["images"], outer["table"]["shape"][0]
        if type(count) is not int or type(table) is not int or count < 1 or table < 1:
            raise ValueError("sizes are whole numbers above 0")
        if {key: value for key, value in outer.items() if key != "__metadata__"} != _tensors(heading, count, table):
            raise ValueError("its tensors are not those of a pack")
        if not isinstance(facts["table_sha256"], str):
            raise TypeError("a checksum is text")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise damaged(name, f"its description is inconsistent ({error})") from error
    return heading, count, table


def require_target(task: Task, item: Item) -> None:
    """Raise ValueError for a target that is none of the task's, or a weight that is none."""
    if not task.is_target(item.target) or not 0 <= item.weight < math.inf:
        raise ValueError(f"{item.key!r} has the target {item.target!r} and the weight {item.weight!r}")


def damaged(name: str, why: str) -> RequestError:
    """The error for a damaged pack."""
    return RequestError(f"the pack {name} is damaged: {why}; pack the images again")


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _stated(value: Item | Record) -> dict[str, Any]:
    """Its fields, without those at their default."""
    fields = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return {field.name: _as_json(content) for field, content in fields if content != field.default}


def _fields(values: object) -> dict[str, Any]:
    """A dataclass's fields as they were: JSON knows no tuples and no bytes. Raises TypeError for what is no object."""
    if not isinstance(values, dict):
        raise TypeError(f"fields of something are needed, not {values!r}")
    return {key: _from_json(value) for key, value in values.items()}


def _as_json(value: object) -> object:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _from_json(value: object) -> object:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"], validate=True)
    return tuple(map(_from_json, value)) if isinstance(value, list) else value
