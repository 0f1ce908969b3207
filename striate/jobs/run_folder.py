"""The run folder: claimed empty, filled file by file, taken away again where nothing came of the run."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from striate.errors import RequestError, WorkError
from striate.storage import write_text


class RunFolder:
    """A new folder for one run. As a context manager it removes what little it wrote when the run fails.

    Raises RequestError where the folder is in use: another run's results are never written over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.exists() and not path.is_dir():
                raise RequestError(f"the output {str(path)!r} is a file; --out takes a new or empty folder")
            present = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
            if present:
                raise RequestError(
                    f"the output folder {str(path)!r} is in use ({len(present)} entries, e.g. {present[0]!r}); "
                    "choose another with --out"
                )
            self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            # "x": of two runs that start at once on one folder, one gets it.
            self._log = open(path / "log.jsonl", "x", encoding="utf-8")  # noqa: SIM115  (closed in __exit__)
        except FileExistsError:
            raise RequestError(f"the output folder {str(path)!r} is in use by another run") from None
        except OSError as error:
            raise WorkError(f"cannot make the output folder {str(path)!r}: {error.strerror or error}") from error

    def log(self, event: str, facts: dict[str, Any]) -> None:
        """One more line of log.jsonl."""
        try:
            self._log.write(json.dumps({"time": round(time.time(), 3), "event": event, **facts}) + "\n")
            self._log.flush()
        except OSError as error:
            raise WorkError(f"cannot write the log in {str(self.path)!r}: {error.strerror or error}") from error

    def write_text(self, name: str, text: str) -> None:
        """A file of the run, whole or not at all."""
        write_text(self.path / name, text)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # a full disk was reported where the line was written
            self._log.close()
        if kind is not None and not (self.path / "model.safetensors").exists():
            for name in ("log.jsonl", "audit.json", "split.csv", "decisions.csv", "recipe.toml"):
                (self.path / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else put something there meanwhile
                for folder in self._made:
                    folder.rmdir()


def next_free(name: str) -> Path:
    """A folder under runs/ that is not there yet: runs/name, runs/name-2, ..."""
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).strip(".-") or "run"
    number = 1
    while (path := Path("runs") / (safe if number == 1 else f"{safe}-{number}")).exists():
        number += 1
    return path
