"""Jobs: the command line in processes of their own, which outlive the server. Their folders say what became of them.

`.studio/jobs/N` has `job.json` (what to run), `stdout`, `stderr`, `running.json`, `stopped` if a person stopped it, and
last `exit.json`. Trainings wait for a device: the processor has one at a time, each GPU has one. Audits and other short
work run beside them, one at a time, too.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from striate.storage import write_text
from striate.studio.devices import devices, environment, free
from striate.studio.files import append_line, is_locked, locked_for_append, read_json, write_json
from striate.studio.following import Following
from striate.studio.index import Index
from striate.studio.runner import EXIT, JOB, RUNNING
from striate.studio.signing import Signer
from striate.web.refusals import Refused

TRAIN = "train"  # the kind of a job that waits for others of its kind
RUNNER = ("-P", "-m", "striate.studio.runner")  # -P: see there
PERIOD = 0.15  # seconds between two looks at running jobs
STOPPED = "stopped"
HIDDEN_WORDS = ("--progress", "jsonl", "--json")  # of a command, where it is shown to people
ENDED = ("done", "failed", "stopped", "interrupted", "lost")
NOT_OURS = "your studio did not make this job in this folder, and has not run it; begin it anew from its page"


@dataclass(eq=False)
class Job:
    """A job. kind: "train", "audit" or another verb. shown: the command line that does the same. run: of which run.

    data: of which data set. ours: made by a studio of this user, not by a stranger whose folder this is. device: on
    which it trains, "" for the processor.
    """

    number: int
    folder: Path
    kind: str
    shown: str
    run: str = ""
    data: int = 0
    following: Following = field(init=False)
    process: subprocess.Popen[bytes] | None = None
    ours: bool = False
    device: str = ""

    def __post_init__(self) -> None:
        self.following = Following(self.folder / "stderr")

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs, and if it was killed with its runner."""
        code = read_json(self.folder / EXIT).get("code")
        return code if type(code) is int else None

    def state(self, resumable: Callable[[str], bool], finished: Callable[[str], bool]) -> str:
        """From what is on the disk: "waiting", "running", or one of ENDED."""
        code = self.code
        if code is not None:
            return self._ended(code, resumable)
        if not (self.folder / "stderr").exists():
            return "waiting"
        if is_locked(self.folder / "stderr"):
            return "running"
        if (code := self.code) is not None:  # it ended just now
            return self._ended(code, resumable)
        if self.run and finished(self.run):
            return "done"
        if self.run and resumable(self.run):
            return "stopped" if (self.folder / STOPPED).exists() else "interrupted"
        return "lost"

    def _ended(self, code: int, resumable: Callable[[str], bool]) -> str:
        if code == 0:
            return "done"
        if code in (130, 143) or (self.folder / STOPPED).exists():
            return "stopped"
        return "interrupted" if code < 0 and self.run and resumable(self.run) else "failed"


class Jobs:
    """All jobs of a studio. told: called with facts of what changed, for the pages.

    resumable, finished: of a run's name, from its folder. failed: called with a line where the queue cannot go on now,
    such as on a full disk; it is tried again.
    """

    def __init__(
        self,
        home: Path,
        index: Index,
        told: Callable[[dict[str, Any]], None],
        resumable: Callable[[str], bool],
        finished: Callable[[str], bool],
        failed: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._home, self._folder, self._index, self._told = home, home / ".studio" / "jobs", index, told
        self._failed = failed
        self._resumable, self._finished = resumable, finished
        self._signer, self._devices = Signer(home), devices()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._jobs: dict[int, Job] = {}
        for folder in self._folder.iterdir():
            if folder.name.isdecimal() and (told_job := read_json(folder / JOB)):
                self._take(int(folder.name), told_job)
        self._states = {number: self.state(one) for number, one in self._jobs.items()}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin to watch and to start what waits; what is ours and was interrupted, not stopped by hand, is resumed."""
        for job in self.all():
            job.following.step()
            if job.ours and self._states[job.number] == "interrupted" and self.of_run(job.run) is job:
                self.resume(job.run)
        self._thread.start()

    def close(self) -> None:
        """Stop watching. The jobs go on."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._reap()
        for job in self.all():
            if job.process is not None:
                job.process.returncode = 0  # it goes on without us: Python would warn of a process that is left

    def all(self) -> list[Job]:
        """Every job, by number."""
        with self._lock:
            return [self._jobs[number] for number in sorted(self._jobs)]

    def get(self, number: int) -> Job:
        """The job of a number. Raises Refused if there is none."""
        found = self._jobs.get(number)
        if found is None:
            raise Refused(404, f"there is no job {number}")
        return found

    def of_run(self, run: str) -> Job | None:
        """The last job of a run."""
        return next((job for job in reversed(self.all()) if job.run == run), None)

    def of_data(self, data: int, kind: str) -> Job | None:
        """The last job of a data set of a kind."""
        return next((job for job in reversed(self.all()) if job.data == data and job.kind == kind), None)

    def state(self, job: Job) -> str:
        """See `Job.state`."""
        return job.state(self._resumable, self._finished)

    def known_state(self, job: Job) -> str:
        """The state at the last look."""
        return self._states.get(job.number, "waiting")

    def waiting(self) -> list[Job]:
        """The queue, in its order."""
        places = self._index.places()
        found = [job for job in self.all() if self._states.get(job.number) == "waiting"]
        return sorted(found, key=lambda job: (places.get(job.number, float("inf")), job.number))

    def order(self, numbers: Sequence[int]) -> None:
        """Let the waiting jobs be in this order."""
        self._index.order(numbers)
        self._told({"queue": True})

    def add(self, kind: str, arguments: Sequence[str], shown: str, *, run: str = "", data: int = 0,
            files: Sequence[tuple[str, str]] = ()) -> Job:  # fmt: skip
        """A new job, at the end of the queue. arguments: of the command line; FOLDER in them is the job's folder.

        files: name and text of files in the job's folder, such as a recipe.
        """
        with self._lock:
            number = max([0, *(int(one.name) for one in self._folder.iterdir() if one.name.isdecimal())]) + 1
            folder = self._folder / str(number)
            folder.mkdir()
            for name, text in files:
                write_text(folder / name, text)
            words = [word.replace("{job}", str(folder)) for word in arguments]
            told = {"kind": kind, "arguments": [*words, "--progress", "jsonl", "--json"], "shown": shown, "run": run,
                    "data": data, "time": time.time()}  # fmt: skip
            told = self._signer.signed(number, told, dict(files))
            write_json(folder / JOB, told)
            job = self._take(number, told)
            self._states[number] = "waiting"
        self._told({"queue": True, **_about(job)})
        return job

    def resume(self, run: str) -> Job:
        """A job that resumes a run that was stopped or interrupted. Raises Refused for another."""
        if not self._resumable(run):
            raise Refused(409, f"the run {run!r} cannot be resumed: it is finished, or nothing of it was saved")
        last = self.of_run(run)
        if last is not None and self.state(last) in ("running", "waiting"):
            raise Refused(409, f"the run {run!r} is running already")
        place = f"runs/{run}" if (self._home / "runs" / run).is_dir() else f"./{run}"
        return self.add(TRAIN, ["train", "--resume", place], f"striate train --resume {shlex.quote(place)}", run=run,
                        data=last.data if last else 0)  # fmt: skip

    def stop(self, job: Job) -> None:
        """Ask a job to stop; a training then writes a checkpoint. One that waits is taken out of the queue."""
        state = self.state(job)
        if state == "waiting":
            write_json(job.folder / EXIT, {"code": 143, "time": time.time()})
            self._states[job.number] = "stopped"
            self._told({"state": "stopped", **_about(job)})
        elif state == "running":
            (job.folder / STOPPED).touch()
            group = job.process.pid if job.process else read_json(job.folder / RUNNING).get("group")
            if type(group) is int and group > 1:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGTERM)
        else:
            raise Refused(409, f"this job does not run: it is {state}")

    def _take(self, number: int, told: dict[str, Any]) -> Job:
        kind, shown, run, data = (told.get(key) for key in ("kind", "shown", "run", "data"))
        run = run if isinstance(run, str) and is_name(run) else ""
        data = data if type(data) is int else 0
        folder = self._folder / str(number)
        job = Job(number, folder, str(kind), str(shown), run, data, ours=self._signer.is_ours(number, told, folder))
        job.device = str(read_json(folder / RUNNING).get("device", ""))
        self._jobs[number] = job
        return job

    def _watch(self) -> None:
        said = ""
        while not self._stopping.wait(PERIOD):
            try:
                self._look()
                said = ""
            except OSError as error:  # no room for a file or a process: perhaps there is at the next look
                line = f"jobs wait: {error.strerror or error}"
                if line != said:
                    self._failed(line)
                said = line

    def _look(self) -> None:
        """Read what running jobs told, notice those that ended, start those whose turn it is."""
        with self._lock:
            self._reap()
            for job in self.all():
                before = self._states[job.number]
                if before in ENDED:
                    continue
                now = self.state(job)
                if job.following.step() or now != before:
                    self._states[job.number] = now
                    self._told({"state": now, **_about(job)})
            running = [job for job in self._jobs.values() if self._states[job.number] == "running"]
            taken = [job.device for job in running if job.kind == TRAIN]
            beside = any(job.kind != TRAIN for job in running)
            for job in self.waiting():
                if job.kind != TRAIN and not beside:
                    beside = True
                    self._start(job)
                elif job.kind == TRAIN and (device := free(self._devices, taken)) is not None:
                    job.device = device
                    taken.append(device)
                    self._start(job)

    def _reap(self) -> None:
        """Let go of processes that have ended."""
        for job in self.all():
            if job.process is not None and job.process.poll() is not None:
                job.process = None

    def _start(self, job: Job) -> None:
        if not job.ours:
            append_line(job.folder / "stderr", {"event": "failed", "text": NOT_OURS})
            write_json(job.folder / EXIT, {"code": 2, "time": time.time()})
            return  # the next look finds it ended
        command = [sys.executable, *RUNNER, str(job.folder)]
        try:
            with locked_for_append(job.folder / "stderr") as errors, open(job.folder / "stdout", "ab") as output:
                job.process = subprocess.Popen(
                    command, cwd=self._home, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                    start_new_session=True, env=environment(job.device),
                )  # fmt: skip
        except OSError:
            (job.folder / "stderr").unlink(missing_ok=True)  # it waits on: with it, it would be one that was lost
            raise
        self._states[job.number] = "running"
        self._told({"state": "running", **_about(job)})


def is_name(text: str) -> bool:
    """Whether a text is the name of a folder in another, and no way out of it."""
    return bool(text) and not text.startswith(".") and not {"/", "\0"} & set(text)


def _about(job: Job) -> dict[str, Any]:
    """Whom an event is about."""
    return {"job": job.number, "kind": job.kind, **({"run": job.run} if job.run else {"data": job.data})}
