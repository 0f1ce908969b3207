"""The run folder: claimed empty, filled file by file, taken away again where nothing came of the run."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from striate.errors import RequestError, WorkError
from striate.storage import write_text

LOG, RECIPE, MODEL, CHECKPOINTS = "log.jsonl", "recipe.toml", "model.safetensors", "checkpoints"


class RunFolder:
    """A folder for one run. As a context manager it removes what little it wrote when a new run fails with nothing to
    go on from: no checkpoint, and no model.

    Raises RequestError where the folder is in use: another run's results are never written over.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._new = path, True
        try:
            if path.exists() and not path.is_dir():
                raise RequestError(f"the output {str(path)!r} is a file; --out takes a new or empty folder")
            present = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
            if present:
                raise RequestError(
                    f"the output folder {str(path)!r} is in use ({len(present)} entries, e.g. {present[0]!r}); "
                    "choose another with --out" + (", or go on with --resume" if unfinished(path) else "")
                )
            self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            # "x": of two runs that start at once on one folder, one gets it.
            self._log = open(path / LOG, "x", encoding="utf-8")  # noqa: SIM115  (closed in __exit__)
            _lock(self._log, path)
        except FileExistsError:
            raise RequestError(f"the output folder {str(path)!r} is in use by another run") from None
        except OSError as error:
            raise WorkError(f"cannot make the output folder {str(path)!r}: {error.strerror or error}") from error

    @classmethod
    def reopened(cls, path: Path) -> RunFolder:
        """The folder of a run that was stopped or killed, to go on with.

        Raises RequestError where there is none, where it is finished, or where it is still going.
        """
        if (path / MODEL).exists():
            raise RequestError(f"the run {str(path)!r} is finished: there is nothing to resume")
        if not unfinished(path):
            raise RequestError(f"{str(path)!r} is no run to resume: it holds no {RECIPE}")
        folder = cls.__new__(cls)
        folder.path, folder._new, folder._made = path, False, []
        try:
            folder._log = open(path / LOG, "a", encoding="utf-8")  # noqa: SIM115  (closed in __exit__)
        except OSError as error:
            raise WorkError(f"cannot write in the run {str(path)!r}: {error.strerror or error}") from error
        _lock(folder._log, path)
        for left in path.glob(".*.part"):  # of a write that was killed
            left.unlink(missing_ok=True)
        return folder

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
        if (self.path / MODEL).exists():
            shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)  # they have served
        elif kind is not None and self._new and not any(self.path.glob(f"{CHECKPOINTS}/*/*.checkpoint")):
            for name in (LOG, "audit.json", "split.csv", "decisions.csv", RECIPE):
                (self.path / name).unlink(missing_ok=True)
            shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)
            with contextlib.suppress(OSError):  # somebody else put something there meanwhile
                for folder in self._made:
                    folder.rmdir()


class OthersFolder(RunFolder):
    """The run folder in a process that does not own it: what it would write is left to the one that does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def log(self, event: str, facts: dict[str, Any]) -> None:
        """Nothing."""

    def write_text(self, name: str, text: str) -> None:
        """Nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing."""


def unfinished(path: Path) -> bool:
    """Whether a folder holds a run that was begun and not finished."""
    return (path / RECIPE).is_file() and not (path / MODEL).exists()


def _lock(log: TextIO, path: Path) -> None:
    """Hold the run's log for this process; the system lets go of it however the process ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        log.close()
        raise RequestError(f"the run {str(path)!r} is still going, in another process") from None


def next_free(name: str) -> Path:
    """A folder under runs/ that is not there yet: runs/name, runs/name-2, ..."""
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).strip(".-") or "run"
    number = 1
    while (path := Path("runs") / (safe if number == 1 else f"{safe}-{number}")).exists():
        number += 1
    return path
