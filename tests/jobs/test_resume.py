"""Stopped or killed anywhere, a run goes on with --resume to the very model file of a run that was never stopped."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from drawings import Listening, blocks

from striate import Recipe, RequestError, WorkError, storage, train
from striate.jobs.run import Run
from striate.learning.run_folder import RunFolder
from striate.model import read as read_model

Cli = Callable[..., tuple[int, str, str]]

SETTINGS = {
    "strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": 4, "train.batch": 8, "train.ema_decay": 0.8,
    "data.folds": 2, "inference.engine": "torch", "checkpoint.steps": 1, "augment.preset": "none", "augment.shift": 1,
}  # fmt: skip
OPTIONS = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]

# Runs the command line and, at the given write of a file, sends itself a signal: in the midst of it, or, for a signal
# that can be answered, when its content is written.
STRUCK = """
import os, signal, sys
from striate import storage
from striate.cli.main import main

name, left, kind, real = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), storage.write_atomically

def write(path, fill):
    global left
    left -= name in path.as_posix()

    def struck(file):
        file.write(b"half of it") if kind == signal.SIGKILL else fill(file)
        file.flush()
        os.kill(os.getpid(), kind)

    real(path, struck if name in path.as_posix() and left == 0 else fill)

storage.write_atomically = write
sys.exit(main(sys.argv[4:]))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blocks(tmp_path_factory.mktemp("resume") / "blocks", {"low": 12, "high": 12})


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was never stopped."""
    return train(data, out=tmp_path_factory.mktemp("whole") / "run", recipe=Recipe().updated(SETTINGS))


def model(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def struck(name: str, number: int, kind: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", STRUCK, name, str(number), str(int(kind)), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def at_write(
    monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object], number: int = 1
) -> Callable[[], None]:
    """`act` in the midst of the write with that number of a file whose path holds `name`; returns what undoes it."""
    real, seen = storage.write_atomically, [0]

    def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
        def acting(file: BinaryIO) -> None:
            fill(file)
            act()

        seen[0] += name in path.as_posix()
        real(path, acting if name in path.as_posix() and seen[0] == number else fill)

    monkeypatch.setattr(storage, "write_atomically", write)
    return lambda: monkeypatch.setattr(storage, "write_atomically", real)


def no_room() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def ask(kind: int) -> Callable[[], None]:
    return lambda: signal.raise_signal(kind)


@pytest.mark.parametrize(
    ("name", "number", "begun"),
    [("fold-2/step", 3, True), ("model.safetensors", 1, True), ("recipe.toml", 2, False)],
    ids=["a checkpoint of a fold", "the model", "before the first step"],
)
def test_killed_in_the_midst_of_a_write(
    name: str, number: int, begun: bool, data: Path, whole: Run, tmp_path: Path, cli: Cli
) -> None:
    run = tmp_path / "run"
    assert struck(name, number, signal.SIGKILL, "train", data, "--out", run, *OPTIONS).returncode == -signal.SIGKILL
    assert list(run.rglob(".*.part")) and not (run / "model.safetensors").exists()
    code, _, told = cli("train", "--resume", run)
    assert code == 0 and ("resumed" in told) and ("starts again" in told) == (not begun)
    assert model(run) == model(whole.folder) and left(run) == left(whole.folder)
    assert not list(run.rglob(".*"))


def test_sigterm_saves_and_says_how_to_go_on(data: Path, whole: Run, tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "a run"
    done = struck("fold-1/step", 2, signal.SIGTERM, "train", data, "--out", run, *OPTIONS)
    assert done.returncode == 143 and done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(r"striate: stopped after epoch 1 of 4, and saved; resume with: .* '.*/a run'", last)
    assert cli("train", "--resume", run)[0] == 0
    assert model(run) == model(whole.folder)


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("train/step", 3, "stopped after epoch 1, batch 2 of 3, and saved; resume with"),
        ("recipe.toml", 2, "stopped; resume with"),
        ("report.html", 1, "stopped; resume with"),
    ],
    ids=["while it learns", "before it learns", "while it reports"],
)
def test_ctrl_c(
    name: str, number: int, words: str, data: Path, whole: Run, tmp_path: Path, cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run, before = tmp_path / "run", signal.getsignal(signal.SIGINT)
    undo = at_write(monkeypatch, name, ask(signal.SIGINT), number)
    code, out, err = cli("train", data, "--out", run, *OPTIONS)
    assert (code, out) == (130, "") and words.split(",")[0] in err and err.splitlines()[-1].endswith(f"--resume {run}")
    assert signal.getsignal(signal.SIGINT) is before
    undo()
    assert cli("train", "--resume", run)[0] == 0 and model(run) == model(whole.folder)


def test_a_second_ctrl_c_does_not_wait_for_the_step(
    data: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    at_write(monkeypatch, "fold-1/step", twice, 2)
    code, _, err = cli("train", data, "--out", tmp_path / "run", *OPTIONS)
    assert code == 130 and "striate: stopped; resume with" in err
    assert len(list((tmp_path / "run" / "checkpoints" / "fold-1").iterdir())) == 1


def test_features_run_again(trained: Run, photos: Path, tmp_path: Path, cli: Cli, monkeypatch) -> None:
    undo = at_write(monkeypatch, "audit.json", ask(signal.SIGTERM))
    words = ["train", photos, "--out", tmp_path / "run", "--strategy", "features", "--set", "inference.engine=openvino"]
    code, _, err = cli(*words)
    assert code == 143 and "resume with" in err and "recipe.toml" in left(tmp_path / "run")
    undo()
    assert cli("train", "--resume", tmp_path / "run")[0] == 0
    assert model(tmp_path / "run") == model(trained.folder) and left(tmp_path / "run") == left(trained.folder)


def test_a_full_disk_at_the_end_keeps_the_checkpoints(
    data: Path, whole: Run, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    undo = at_write(monkeypatch, "model.safetensors", no_room)
    code, out, err = cli("train", data, "--out", run, *OPTIONS)
    assert (code, out) == (1, "") and "No space left on device" in err.splitlines()[-1]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["fold-1", "fold-2", "train"]
    undo()
    assert cli("train", "--resume", run)[0] == 0
    assert model(run) == model(whole.folder) and left(run) == left(whole.folder)


def test_a_full_disk_in_between_is_told_and_training_goes_on(
    data: Path, whole: Run, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RunFolder.log

    def log(folder: RunFolder, event: str, facts: dict[str, object]) -> None:
        if event == "epoch":
            raise WorkError("cannot write the log: No space left on device")
        real(folder, event, facts)

    at_write(monkeypatch, "train/step", no_room, 3)
    monkeypatch.setattr(RunFolder, "log", log)
    code, _, err = cli("train", data, "--out", tmp_path / "run", *OPTIONS)
    assert code == 0 and model(tmp_path / "run") == model(whole.folder)
    assert "that of step 2 is still valid; training continues" in err and err.count("cannot write the log") == 1


@pytest.fixture
def stopped(data: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped in its first fold; its data lie beside it, to be changed."""
    shutil.copytree(data, tmp_path / "data")
    undo = at_write(monkeypatch, "fold-1/step", ask(signal.SIGTERM), 2)
    assert cli("train", tmp_path / "data", "--out", tmp_path / "run", *OPTIONS)[0] == 143
    undo()
    return tmp_path / "run"


def test_changed_data_are_refused(stopped: Path, cli: Cli) -> None:
    images = stopped.parent / "data"
    (images / "low" / "000.png").rename(images / "high" / "moved.png")
    code, out, err = cli("train", "--resume", stopped)
    assert (code, out) == (2, "") and "the checkpoint is of another run: data was '12 training images" in err
    (images / "high" / "moved.png").rename(images / "low" / "000.png")
    assert cli("train", "--resume", stopped)[0] == 0


@pytest.mark.parametrize(
    ("key", "was", "now"), [("normalise", '"channel"', '"mean-image"'), ("momentum", "0.9", "0.8"), ("folds", "2", "3")]
)
def test_changed_settings_are_refused(stopped: Path, cli: Cli, key: str, was: str, now: str) -> None:
    recipe = stopped / "recipe.toml"
    recipe.write_text(re.sub(rf"(?m)^{key} = {re.escape(was)}", f"{key} = {now}", recipe.read_text()))
    code, _, err = cli("train", "--resume", stopped)
    assert code == 2 and "is of another run: " in err and len(err.splitlines()[-1]) < 300
    assert list(stopped.glob("checkpoints/fold-1/*.checkpoint"))  # the folder is as it was


def test_a_run_that_is_still_going_is_left_alone(stopped: Path, cli: Cli) -> None:
    with RunFolder.reopened(stopped):
        code, _, err = cli("train", "--resume", stopped)
    assert code == 2 and "is still running, in another process" in err
    code, _, err = cli("train", stopped.parent / "data", "--out", stopped)
    assert code == 2 and "or continue it with --resume" in err


def test_a_finished_run_says_so(whole: Run, cli: Cli) -> None:
    (whole.folder / "checkpoints" / "train").mkdir(parents=True)  # as if it was killed right after its model
    code, _, err = cli("train", "--resume", whole.folder)
    assert code == 2 and "is finished: there is nothing to resume" in err
    assert not (whole.folder / "checkpoints").exists()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(RequestError, match=r"is not a run to resume: it has no recipe.toml$"):
            train(resume=folder)


def test_killed_before_its_recipe_the_folder_may_be_used_again(data: Path, whole: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.jsonl").write_text('{"event": "plan"}\n')
    (run / ".recipe.toml.x.part").write_text("half")
    with pytest.raises(RequestError, match="killed before there was anything to resume, so start it again"):
        train(resume=run)
    train(data, out=run, recipe=Recipe().updated({**SETTINGS, "data.folds": None, "train.epochs": 1}))
    assert left(run) == left(whole.folder)
    events = [json.loads(line)["event"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert events == ["plan", "epoch", "done"]


def test_the_reason_of_the_plan_and_a_torn_log_line_survive(stopped: Path, tmp_path: Path) -> None:
    log = stopped / "log.jsonl"
    plan = json.loads(log.read_text().splitlines()[0])
    log.write_text(json.dumps({**plan, "why": "of a reason"}) + '\n{"event": "epo')  # torn by a full disk
    said = Listening()
    run = train(resume=stopped, progress=said)
    assert run.plan.why == "of a reason" and "of a reason" in (stopped / "report.html").read_text("utf-8")
    assert "Strategy scratch with lenet5_plain: of a reason." in said.lines
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events][:2] == ["plan", "resume"] and events[1]["why"] == "of a reason"


ODD = [
    b"[]", b"5", b"null", b"not JSON", b"\xff\xfe", b"\0\0\0", b"[" * 5000, b"", b'{"event": 5, "time": 1}',
    b'{"time": 1}', b'{"event": "epoch"}', b'{"event": "epoch", "time": "noon"}', b'{"event": "epoch", "time": NaN}',
    b'{"event": "epoch", "time": 1' + b"0" * 5000 + b"}",
]  # fmt: skip


def test_odd_lines_of_the_log_are_dropped_and_told(stopped: Path) -> None:
    log = stopped / "log.jsonl"
    first, *others = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([*ODD, first, *ODD, *others, b'{"event": "checks", "time": 1, "lines": 5}', b"torn"]))
    said = Listening()
    run = train(resume=stopped, progress=said)
    assert f"log.jsonl had {2 * len(ODD)} damaged lines, which were dropped." in said.lines
    assert any(line.startswith("resumed after") for line in said.lines)
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [line["event"] for line in lines if line["event"] in ("plan", "resume", "done")] == [
        "plan",
        "resume",
        "done",
    ]
    assert read_model(run.folder / "model.safetensors").net == "lenet5_plain"


def test_a_log_that_is_no_file_is_one_error(stopped: Path) -> None:
    log = stopped / "log.jsonl"
    log.unlink()
    os.mkfifo(log)  # opened to append, it would wait for a reader
    with pytest.raises(RequestError, match="is not a file, and no run's log"):
        train(resume=stopped)


def test_without_its_log_a_run_goes_on(stopped: Path) -> None:
    (stopped / "log.jsonl").unlink()
    said = Listening()
    train(resume=stopped, progress=said)
    assert any(line.startswith("resumed after") for line in said.lines)
