"""--tensorboard: an event file whose scalars are those of the log; without the package, one line before any work."""

from __future__ import annotations

import importlib
import json
import signal
import struct
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from drawings import blocks

from striate import Recipe, RequestError, WorkError, storage, train
from striate.jobs.scalars import write_scalars

QUICK = Recipe().updated(
    {
        "strategy": "scratch",
        "net.name": "lenet5_plain",
        "train.epochs": 3,
        "train.batch": 16,
        "inference.engine": "torch",
        "augment": {"preset": "none"},
    }
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blocks(tmp_path_factory.mktemp("data") / "set", {"low": 20, "high": 20})


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Name -> step -> value of the one event file in a folder, read as the TFRecord that it is."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    assert path.name.startswith("events.out.tfevents.")
    content, found = path.read_bytes(), defaultdict(dict)
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        for value in event.summary.value:
            assert event.step not in found[value.tag], value.tag
            found[value.tag][event.step] = value.simple_value
        content = content[12 + length + 4 :]
    return dict(found)


def single(value: float) -> float:
    """As float32 has it, which is what the file holds."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def test_the_scalars_are_those_of_the_log(data: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    arguments = ["--strategy", "scratch", "--net", "lenet5_plain", "--epochs", 3, "--set", "inference.engine=torch"]
    code, _, err = cli("train", data, "--out", tmp_path / "run", "--tensorboard", *arguments)
    assert code == 0, err
    events = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    told = scalars(tmp_path / "run" / "tensorboard")
    epochs = [event for event in events if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2, 3]
    names = epochs[0].keys() - {"time", "event", "epoch"}
    assert {"loss", "accuracy", "learning_rate"} <= names
    for name in names:
        assert told[f"epoch/{name}"] == {event["epoch"]: single(event[name]) for event in epochs}
    assert {name for name in told if name.startswith("epoch/")} == {f"epoch/{name}" for name in names}
    done = events[-1]
    for name in ("accuracy", "balanced_accuracy", "total", "correct"):
        assert told[f"measured/{name}"] == {0: single(done[name])}
    assert "measured/task" not in told and "measured/interval" not in told
    for name in ("look", "train"):
        assert told[f"seconds/{name}"][0] == pytest.approx(done["stages"][name], abs=1e-3)


def stopped(monkeypatch: pytest.MonkeyPatch, cli: Any, *arguments: object) -> int:
    """Run the command line, with Ctrl-C pressed while the checkpoint after the second epoch is written."""
    real, seen = storage.write_atomically, [0]

    def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
        real(path, fill)
        seen[0] += path.suffix == ".checkpoint"
        if path.suffix == ".checkpoint" and seen[0] == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "write_atomically", write)
        return int(cli(*arguments)[0])


@pytest.mark.parametrize("given", ["at the start", "when resumed", "never"])
def test_a_resumed_run_has_the_scalars_of_all_epochs(
    given: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any
) -> None:
    run, flag = tmp_path / "run", "--tensorboard"
    arguments = ["--strategy", "scratch", "--net", "lenet5_plain", "--epochs", 4, "--set", "inference.engine=torch"]
    first = [flag] if given == "at the start" else []
    assert stopped(monkeypatch, cli, "train", data, "--out", run, *arguments, *first) == 130
    assert not (run / "tensorboard").exists()
    code, _, err = cli("train", "--resume", run, *([flag] if given == "when resumed" else []))
    assert code == 0 and "resumed" in err, err
    if given == "never":
        assert not (run / "tensorboard").exists()
        return
    told = scalars(run / "tensorboard")
    whole = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = {event["epoch"]: single(event["loss"]) for event in whole if event["event"] == "epoch"}
    assert losses.keys() == {1, 2, 3, 4} and told["epoch/loss"] == losses


def test_the_handed_run_has_its_scalars_after_it_was_resumed(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any
) -> None:
    case = test_data.parent / "cases" / "tensorboard_after_resume" / "data"
    if not case.is_dir():
        pytest.skip(f"no folder {case}")
    run = tmp_path / "run"
    arguments = ["--strategy", "scratch", "--net", "lenet5_plain", "--epochs", 12, "--tensorboard", "--out", run]
    assert stopped(monkeypatch, cli, "train", case, *arguments) == 130
    assert cli("train", "--resume", run)[0] == 0
    assert list(scalars(run / "tensorboard")["epoch/loss"]) == list(range(1, 13))


def test_without_the_flag_nothing_is_left(data: Path, tmp_path: Path) -> None:
    train(data, out=tmp_path / "run", recipe=QUICK.updated({"train.epochs": 1}))
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_features_have_figures_and_no_curve(data: Path, tmp_path: Path) -> None:
    recipe = Recipe().updated({"strategy": "features", "inference.engine": "openvino"})
    run = train(data, out=tmp_path / "run", recipe=recipe, tensorboard=True)
    told = scalars(run.folder / "tensorboard")
    assert told["measured/accuracy"] == {0: single(run.evaluation.score)}
    assert not any(name.startswith("epoch/") for name in told)


def test_what_is_no_finite_number_is_left_out(tmp_path: Path) -> None:
    metrics = {"a": 0.5, "b": float("nan"), "c": None, "d": "word", "e": True, "f": [1, 2], "g": float("inf"), "h": 3}
    write_scalars(tmp_path / "tb", [{"epoch": 4, "loss": 0.25}], metrics, {"all": 2.5})
    assert scalars(tmp_path / "tb") == {
        "epoch/loss": {4: 0.25}, "measured/a": {0: 0.5}, "measured/h": {0: 3.0}, "seconds/all": {0: 2.5},
    }  # fmt: skip


def test_without_the_package_one_line_says_what_to_install(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any
) -> None:
    honest = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "tensorboardX":
            raise ModuleNotFoundError("No module named 'tensorboardX'")
        return honest(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    code, out, err = cli("train", data, "--out", tmp_path / "run", "--tensorboard")
    assert (code, out) == (2, "")
    assert err == "striate: --tensorboard needs the package tensorboardX: pip install 'striate[tensorboard]'\n"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RequestError, match="needs the package tensorboardX"):
        write_scalars(tmp_path / "tb", [], {}, {})


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match=r"cannot write TensorBoard's file in '.*file/tb': "):
        write_scalars(tmp_path / "file" / "tb", [], {"a": 1.0}, {})
