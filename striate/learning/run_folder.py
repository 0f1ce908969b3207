"""The run folder: created empty, filled file by file, removed if the run fails without a result."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from striate.errors import RequestError, Stopped, WorkError
from striate.reading import LOG as LOG_BYTES
from striate.reading import read_file
from striate.storage import json_text, write_text

LOG, RECIPE, MODEL, CHECKPOINTS = "log.jsonl", "recipe.toml", "model.safetensors", "checkpoints"
DECISIONS, REPORT, OUTCOMES = "decisions.csv", "report.html", "evaluated.csv"
SNAPSHOTS = "snapshots"  # the folder of models from within the run

_BEFORE_MODEL = ("audit.json", "split.csv", OUTCOMES, DECISIONS, REPORT, RECIPE)  # besides the log


class RunInUseError(RequestError):
    """Another process is working in the run's folder."""


class RunFolder:
    """A folder for one run. The model is written last: a folder with a model is a finished run.

    As a context manager it removes what it wrote if a new run fails with nothing to resume from: no checkpoint and no
    model. A run that was requested to stop keeps everything.
    Raises RequestError if the folder is in use: another run's results are never overwritten.
    damaged_lines: of the log, which were dropped when it was reopened.
    """

    damaged_lines = 0

    def __init__(self, path: Path) -> None:
        self.path, self._new = path, True
        try:
            if path.exists() and not path.is_dir():
                raise RequestError(f"the output {str(path)!r} is a file; --out takes a new or empty folder")
            for folder in (path, *path.parents):
                if folder.is_symlink() and not folder.exists():
                    raise RequestError(
                        f"the output {str(path)!r} leads through a link to {str(folder.readlink())!r}, which does not "
                        "exist; make that folder, or choose another with --out"
                    )
            present = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
            unborn = os.name == "posix" and _unborn(present)  # elsewhere no lock shows whether it was killed
            if present and not unborn:
                raise RequestError(
                    f"the output folder {str(path)!r} is in use ({len(present)} entries, e.g. {present[0]!r}); "
                    "choose another with --out" + (", or continue it with --resume" if unfinished(path) else "")
                )
            self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            # "x": of two runs that start at once on the same folder, only one gets it.
            self._log = _open_log(path, "a" if unborn else "x")
        except FileExistsError:
            raise RunInUseError(f"the output folder {str(path)!r} is in use by another run") from None
        except OSError as error:
            raise WorkError(f"cannot make the output folder {str(path)!r}: {error.strerror or error}") from error
        _lock(self._log, path)
        if unborn:
            self._log.truncate(0)
            _sweep(path)

    @classmethod
    def reopened(cls, path: Path) -> RunFolder:
        """The folder of a stopped or killed run, to resume.

        Raises RequestError if there is none, if it is finished, or if it is still running.
        """
        require_unfinished(path)
        folder = cls.__new__(cls)
        folder.path, folder._made, folder._new = path, [], False
        try:
            folder._log = _open_log(path, "a")
            _lock(folder._log, path)
            folder.damaged_lines = _drop_damaged(path / LOG)
        except OSError as error:
            raise WorkError(f"cannot write in the run {str(path)!r}: {error.strerror or error}") from error
        require_unfinished(path)  # it may have ended just now
        _sweep(path)
        return folder

    @property
    def saved(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return any(self.path.glob(f"{CHECKPOINTS}/*/*.checkpoint"))

    def log(self, event: str, facts: dict[str, Any]) -> None:
        """Append a line to log.jsonl."""
        try:
            self._log.write(json_text({"time": round(time.time(), 3), "event": event, **facts}) + "\n")
            self._log.flush()
        except OSError as error:
            raise WorkError(f"cannot write the log in {str(self.path)!r}: {error.strerror or error}") from error

    def logged(self, event: str) -> dict[str, Any] | None:
        """The facts of the last line of log.jsonl for an event; None without one. A truncated line is skipped."""
        found = None
        for line in _lines(self.path):
            facts = _event(line)
            found = facts if facts is not None and facts["event"] == event else found
        return found

    def seconds_logged(self) -> float:
        """Seconds from the first to the last line of log.jsonl, without the pauses before each line "resume"."""
        total, before = 0.0, None
        for line in _lines(self.path):
            if (facts := _event(line)) is None:
                continue
            now = float(facts["time"])
            if before is not None and facts["event"] != "resume":
                total += max(0.0, now - before)
            before = now
        return total

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run atomically."""
        write_text(self.path / name, text)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        finished = (self.path / MODEL).exists()
        in_vain = kind is not None and not issubclass(kind, Stopped)
        in_vain = in_vain and self._new and not finished and not self.saved
        if finished or in_vain:
            shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)  # no longer needed
        if in_vain:
            shutil.rmtree(self.path / SNAPSHOTS, ignore_errors=True)
            for name in _BEFORE_MODEL:
                (self.path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a full disk was reported where the line was written
            self._log.close()  # last, because closing it releases the lock
        if in_vain:
            with contextlib.suppress(OSError):  # another process put something there meanwhile
                (self.path / LOG).unlink(missing_ok=True)
                for folder in self._made:
                    folder.rmdir()


class FollowerFolder(RunFolder):
    """The run folder in a process that does not own it: nothing is written; the owner does that."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def log(self, event: str, facts: dict[str, Any]) -> None:
        """Nothing."""

    def logged(self, event: str) -> dict[str, Any] | None:
        """None: the folder may be on another machine."""

    def seconds_logged(self) -> float:
        """0: the first process counts."""
        return 0.0

    def write_text(self, name: str, text: str) -> None:
        """Nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing."""


def unfinished(path: Path) -> bool:
    """Whether a folder has a run that was started and not finished."""
    return (path / RECIPE).is_file() and not (path / MODEL).exists()


def require_unfinished(path: Path) -> None:
    """Raise RequestError, with the reason, unless the folder has a run that can be resumed."""
    if (path / MODEL).exists():
        shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)  # if it was killed right after its last file
        raise RequestError(f"the run {str(path)!r} is finished: there is nothing to resume")
    if not unfinished(path):
        begun = path.is_dir() and _unborn([entry.name for entry in path.iterdir()])
        why = "; it was killed before there was anything to resume, so start it again" if begun else ""
        raise RequestError(f"{str(path)!r} is not a run to resume: it has no {RECIPE}{why}")


def first_logged(path: Path, event: str) -> dict[str, Any]:
    """The facts of the first line of a run's log.jsonl for `event`; {} if there is none."""
    for line in _lines(path):
        if (told := _event(line)) is not None and told["event"] == event:
            return told
    return {}


def _lines(path: Path) -> list[bytes]:
    """The lines of a run's log; none if it cannot be read."""
    with contextlib.suppress(OSError):
        return read_file(path / LOG, LOG_BYTES).split(b"\n")
    return []


def _event(line: bytes) -> dict[str, Any] | None:
    """A line of the log, if it is one: an object with the time and the name of an event."""
    try:
        facts = json.loads(line)
        whole = isinstance(facts, dict) and isinstance(facts.get("event"), str)
        return facts if whole and type(facts.get("time")) in (int, float) and math.isfinite(facts["time"]) else None
    except (ValueError, RecursionError, OverflowError):
        return None


def _unborn(present: list[str]) -> bool:
    """Whether the entries are those of a run that was killed before its recipe was written."""
    return LOG in present and all(name in (LOG, DECISIONS) or name.endswith(".part") for name in present)


def _sweep(path: Path) -> None:
    """Remove temporary files of killed writes."""
    for left in path.rglob(".*.part"):
        left.unlink(missing_ok=True)


def _open_log(path: Path, mode: str) -> TextIO:
    """The run's log, to write; closed in `__exit__`. Raises RequestError for a pipe, which would be waited for."""
    log = path / LOG
    if log.exists() and not log.is_file():
        raise RequestError(f"{str(log)!r} is not a file, and no run's log")
    return open(log, mode, encoding="utf-8")  # type: ignore[return-value]


def _drop_damaged(log: Path) -> int:
    """Drop lines that are none of the log: an incomplete last one, which a full disk may leave, and others.

    Returns how many others there were.
    """
    content = read_file(log, LOG_BYTES)
    lines = content.split(b"\n")[:-1]
    kept = [line for line in lines if _event(line) is not None]
    whole = b"".join(line + b"\n" for line in kept)
    if whole != content:
        with open(log, "r+b") as file:  # in place, because the log is locked
            file.write(whole)
            file.truncate()
    return len(lines) - len(kept)


def _lock(log: TextIO, path: Path) -> None:
    """Lock the run's log for this process; the system releases the lock when the process ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        log.close()
        raise RunInUseError(f"the run {str(path)!r} is still running, in another process") from None


def next_free(name: str, under: str = "runs") -> Path:
    """A folder under runs/, or another, that does not exist yet: runs/name, runs/name-2, ..."""
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).strip(".-") or "run"
    number = 1
    while (path := Path(under) / (safe if number == 1 else f"{safe}-{number}")).exists():
        number += 1
    return path
