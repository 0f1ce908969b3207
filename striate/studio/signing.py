"""Which jobs a studio of this user made: they are signed with a key that lies with the user, not in the folder.

A folder may come from a stranger, with jobs in it that wait, or that were interrupted. They are shown; what begins by
itself, when a studio starts, is only what is signed.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.reading import TEXT, read_file
from striate.storage import json_text, sha256_of, state_root

SIGNATURE = "signature"
_SIGNED = ("kind", "arguments", "shown", "run", "data", "files")
_BYTES = 32
_ENCODED = ("utf-8", "surrogateescape")  # as texts are written: a path may not be valid text


class Signer:
    """Signs the jobs of one studio. home: its folder, which is signed, too: a job that was moved is another's."""

    def __init__(self, home: Path) -> None:
        self._home, self._key = str(home.resolve()), _key()

    def signed(self, number: int, told: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
        """The facts of a job with the SHA-256 of its files and a signature."""
        whole = {**told, "files": {name: sha256_of(text.encode(*_ENCODED)) for name, text in files.items()}}
        return {**whole, SIGNATURE: self._signature(number, whole)}

    def is_ours(self, number: int, told: Mapping[str, Any], folder: Path) -> bool:
        """Whether a job that was found is signed, and its files are what they were."""
        given, files = told.get(SIGNATURE), told.get("files")
        if not (isinstance(given, str) and isinstance(files, dict)):
            return False
        try:
            if not hmac.compare_digest(given.encode("utf-8", "replace"), self._signature(number, told).encode()):
                return False
            return all(sha256_of(read_file(folder / name, TEXT)) == digest for name, digest in files.items())
        except (OSError, RecursionError):  # JSON may be nested deeply
            return False

    def _signature(self, number: int, told: Mapping[str, Any]) -> str:
        facts = [self._home, number, [told.get(key) for key in _SIGNED]]
        return hmac.new(self._key, json_text({"job": facts}).encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _key() -> bytes:
    """The user's key, made when it is first asked for. Where no file can be had, one for this process alone."""
    with contextlib.suppress(OSError):
        path = state_root() / "studio.key"
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            with contextlib.suppress(FileExistsError):
                _make_key(path)
            if len(found := read_file(path, TEXT)) == _BYTES:
                return found
            path.unlink()  # it was damaged: a new one signs from now on
    return secrets.token_bytes(_BYTES)


def _make_key(path: Path) -> None:
    """Raises FileExistsError where there is one: of two studios that start at once, both have the first one's."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
    try:
        os.link(part, path)
    finally:
        part.unlink()
