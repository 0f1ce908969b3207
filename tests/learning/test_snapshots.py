"""Snapshots of warm restarts: the model at the end of each cycle, the same after a resume, and their ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from drawings import blocks, csv_manifest, draw, strict_json

import striate
from striate.learning.run_folder import RunFolder
from striate.model import read
from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.schedule import Schedule

SETTINGS = {
    "strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": 7, "train.batch": 8, "inference.engine": "torch",
    "checkpoint.steps": 1, "augment.preset": "none", "schedule.name": "warm-restarts", "schedule.warmup_epochs": 1,
    "schedule.period": 2, "schedule.period_factor": 2, "schedule.snapshots": True,
}  # fmt: skip


class Interrupting(Hook):
    """Ends the process, as a kill would, after so many steps."""

    after: ClassVar[int | None] = None

    def step_done(self, loop: LoopState) -> None:
        if loop.step == self.after:
            raise SystemError


def train(data: Path, out: Path, **changes: object) -> Path:
    recipe = striate.Recipe().updated({**SETTINGS, **changes})
    return striate.train(data, out=out, recipe=recipe, hooks=[Interrupting()]).folder


def test_each_cycles_model_is_stored_and_the_same_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli
) -> None:
    data = blocks(tmp_path / "data", {"low": 15, "high": 15})
    whole = train(data, tmp_path / "whole")
    files = sorted((whole / "snapshots").iterdir())
    assert [file.name for file in files] == ["cycle-1.safetensors", "cycle-2.safetensors"]  # after epochs 3 and 7
    first, last = map(read, files)
    steps = last.training["step"] // 7
    assert (first.training["cycle"], first.training["step"]) == (1, 3 * steps)
    assert last.checksums == read(whole / "model.safetensors").checksums != first.checksums

    monkeypatch.setattr(Interrupting, "after", 3 * steps + 2)
    with pytest.raises(SystemError):
        train(data, tmp_path / "killed")
    assert [file.name for file in (tmp_path / "killed" / "snapshots").iterdir()] == ["cycle-1.safetensors"]
    monkeypatch.setattr(Interrupting, "after", None)
    striate.train(resume=tmp_path / "killed", hooks=[Interrupting()])
    for file in files:
        assert (tmp_path / "killed" / "snapshots" / file.name).read_bytes() == file.read_bytes()

    code, said, err = cli("ensemble", *files, "--out", tmp_path / "both.safetensors", "--json")
    done = strict_json(said)
    assert code == 0 and done["evaluation"]["part"] == "val" and done["left_out"] == 0, err  # by the run's split
    assert len(done["evaluation"]["members"]) == 2


def test_a_snapshot_of_regression_is_in_the_targets_units_and_of_the_average_with_ema(tmp_path: Path) -> None:
    drawings = draw(tmp_path / "images", 30)
    rows = [(f"images/{one.path}", 1000 + 10 * one.side) for one in drawings]
    data = csv_manifest(tmp_path / "sides.csv", ("path", "number"), rows)
    run = train(data, tmp_path / "run", **{"train.ema_decay": 0.5})
    last = run / "snapshots" / "cycle-2.safetensors"
    files = [tmp_path / name for name, _ in rows[:4]]
    found, expected = ([one.value for one in striate.load(file, engine="torch").predict(files)] for file in (last, run))
    assert np.array_equal(found, expected) and min(found) > 500


def test_there_are_none_unless_asked_for_and_none_of_folds(tmp_path: Path) -> None:
    data = blocks(tmp_path / "data", {"low": 10, "high": 10})
    assert not (train(data, tmp_path / "plain", **{"schedule.snapshots": False}) / "snapshots").exists()
    run = train(data, tmp_path / "folds", **{"data.folds": 2})
    assert len(list((run / "snapshots").iterdir())) == 2
    with pytest.raises(striate.RequestError, match="schedule"):
        striate.Recipe().updated({"schedule.snapshots": True})


def test_a_run_that_fails_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError), RunFolder(tmp_path / "run") as folder:
        (folder.path / "snapshots").mkdir()
        raise ValueError
    assert not (tmp_path / "run").exists()


def test_cycles_end_where_the_rate_starts_again() -> None:
    changes = {"schedule.name": "warm-restarts", "schedule.period": 0.5, "schedule.period_factor": 2.0}
    schedule = Schedule(striate.Recipe().updated({**changes, "optimizer.lr": 1.0}), 9, 10)
    rates = [schedule.rate(step) for step in range(90)]
    restarts = [step for step in range(schedule.warmup + 1, 90) if rates[step] > rates[step - 1]]
    ends = [step for step in range(1, 90) if schedule.cycles(step) > schedule.cycles(step - 1)]
    assert ends == restarts == [15, 25, 45, 85]
    assert Schedule(striate.Recipe(), 9, 10).cycles(80) == 0
