"""The header of a safetensors file, checked before the tensors are read: the rest may be a hole of gigabytes."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

HEADER_BYTES = 2**25  # of the header; its JSON values take up to twenty times as much memory


class NotSafetensors(Exception):  # noqa: N818  (each caller has its own error)
    """Why a file is none; the text is the reason. damaged: whether it seems to have been one."""

    def __init__(self, why: str, *, damaged: bool = False) -> None:
        super().__init__(why)
        self.damaged = damaged


@dataclass(frozen=True)
class Header:
    """values: the header's JSON. size: of the file, which is what the header says."""

    values: dict[str, Any]
    size: int

    @classmethod
    def read(cls, file: BufferedReader) -> Header:
        """Read it from the beginning of a file. Raises NotSafetensors, and OSError."""
        size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 0 < length <= min(HEADER_BYTES, size - 8):
            raise NotSafetensors("it does not start with a complete safetensors header")
        try:
            values = json.loads(file.read(length))
            ends = [one["data_offsets"][1] for name, one in values.items() if name != "__metadata__"]
        except (ValueError, RecursionError) as error:
            raise NotSafetensors("its header is not JSON", damaged=True) from error
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise NotSafetensors("its header describes no tensors", damaged=True) from error
        if not all(type(end) is int and end >= 0 for end in ends):
            raise NotSafetensors("its header describes no tensors", damaged=True)
        declared = 8 + length + max(ends, default=0)
        if size != declared:
            raise NotSafetensors(f"it has {size:,} bytes, not {declared:,}", damaged=True)
        return cls(values, size)
