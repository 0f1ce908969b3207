"""A run stopped or killed after any step and resumed in a new net ends bit for bit like an uninterrupted one."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate import storage
from striate.errors import RequestError, Stopped, WorkError
from striate.recipe import Recipe
from striate.recipe.optimizers import OPTIMIZERS
from striate.recipe.schedules import SCHEDULES
from striate.training import checkpoints, state
from striate.training.checkpoints import Checkpoints
from striate.training.examples import Examples
from striate.training.hooks import Hook
from striate.training.loop import fit
from striate.training.loop_state import EpochReport, LoopState

IMAGES, BATCH, EPOCHS = 21, 8, 3
STEPS = 3  # of an epoch
LAST = EPOCHS * STEPS
PLAIN = Recipe().updated(
    {
        "train.epochs": EPOCHS,
        "train.batch": BATCH,
        "optimizer.lr": 0.02,
        "augment": {"preset": "none"},
        "schedule.warmup_epochs": 1,
        "train.precision": "float32",
    }
)
CASES = {
    "nesterov": {"optimizer.name": "nesterov"},
    "nesterov bfloat16": {"optimizer.name": "nesterov", "train.precision": "bfloat16", "train.ema_decay": 0.8},
    "rmsprop": {
        "optimizer.name": "rmsprop",
        "augment": {"preset": "none", "flip": 0.5, "shift": 1},
        "train.keep_checkpoint": "best",
    },
    "rmsprop bfloat16": {
        "optimizer.name": "rmsprop",
        "train.precision": "bfloat16",
        "train.gradient_checkpointing": "sqrt",
    },
    "adam": {"optimizer.name": "adam", "augment": {"preset": "none", "mixup": 0.4}, "train.ema_decay": 0.9},
    "adam bfloat16": {"optimizer.name": "adam", "train.precision": "bfloat16", "train.accumulate": 3},
    "adamw": {
        "optimizer.name": "adamw",
        "train.ema_decay": 0.9,
        "train.keep_checkpoint": "best",
        "train.accumulate": 2,
    },
    "adamw bfloat16": {
        "optimizer.name": "adamw",
        "train.precision": "bfloat16",
        "schedule.name": "one-cycle",
        "train.keep_checkpoint": "best",
    },
    "momentum early stopping": {
        "optimizer.name": "momentum",
        "train.patience": 1,
        "schedule.name": "one-cycle",
        "optimizer.lr": 0.1,
    },
    "sgd, sampling weights and mixup": {
        "optimizer.name": "sgd",
        "augment": {"preset": "none", "mixup": 0.2, "flip": 0.5},
        "optimizer.decay_norm_and_bias": True,
        "sampling": True,
    },
}


def made_net(channels: int = 8) -> nn.Sequential:
    """Two convolutions with batch normalisation, and dropout, over 10 x 10 colour images; 3 classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 8, 3, stride=2),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(8 * 16, 3),
    )


def noise(seed: int, *, sampling: bool = False) -> Examples:
    images = torch.randint(0, 256, (IMAGES, 3, 10, 10), generator=torch.Generator().manual_seed(seed))
    drawn = np.arange(1.0, IMAGES + 1) if sampling else None
    return Examples(
        images.to(torch.uint8), torch.arange(IMAGES) % 3, [127.0] * 3, [70.0] * 3, sampling_weights=drawn
    )  # fmt: skip


@dataclasses.dataclass
class Result:
    """The result of a run: its network's tensors, its reports without times, and the lines it logged."""

    tensors: dict[str, Tensor]
    reports: list[EpochReport]
    lines: list[str]

    def same(self, other: Result) -> bool:
        equal = all(torch.equal(tensor, other.tensors[name]) for name, tensor in self.tensors.items())
        return equal and self.reports == other.reports


class Recording(Hook):
    """Records the loop's messages; after `after` steps of this process it raises, like a power failure."""

    def __init__(self, after: int = 0) -> None:
        self.lines: list[str] = []
        self.after, self.seen = after, 0

    def step_done(self, loop: LoopState) -> None:
        self.seen += 1
        if self.seen == self.after:
            raise SystemError("killed")

    def note(self, loop: LoopState, line: str) -> None:
        self.lines.append(line)


def trained(case: Mapping[str, Any], folder: Path | None, *, killed_after: int = 0, **options: Any) -> Result:
    """A run of the case's recipe with a new network, resumed from the checkpoints in `folder`."""
    changes = {name: value for name, value in case.items() if name != "sampling"}
    recipe = PLAIN.updated(changes)
    net, listening = made_net(), Recording(killed_after)
    hooks: list[Hook] = [listening]
    if folder is not None:
        hooks.append(Checkpoints(folder, **{"seconds": 0, "steps": 1, "keep": 1000, "identity": case, **options}))
    reports = fit(net, noise(0, sampling="sampling" in case), recipe, held_out=noise(1), hooks=hooks)
    assert not net.training and net[0].weight.is_contiguous(memory_format=torch.channels_last)
    timeless = [dataclasses.replace(report, seconds=0.0, images_per_second=0.0) for report in reports]
    return Result({name: tensor.clone() for name, tensor in net.state_dict().items()}, timeless, listening.lines)


def steps_of(folder: Path) -> list[int]:
    return sorted(int(found.group(1)) for path in folder.iterdir() if (found := re.search(r"step-(\d+)", path.name)))


@pytest.mark.parametrize("name", CASES)
def test_killed_after_any_step_the_run_ends_bit_for_bit_like_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    whole = trained(case, None)
    assert whole.same(trained(case, tmp_path / "all"))  # saving changes nothing
    saved = sorted((tmp_path / "all").iterdir())
    assert {1, 2, 3, 4, len(whole.reports) * STEPS} <= set(steps_of(tmp_path / "all"))
    for path in saved:  # the first without an earlier one, each as at the moment of a kill
        folder = tmp_path / path.stem
        folder.mkdir()
        shutil.copy(path, folder)
        resumed = trained(case, folder)
        assert whole.same(resumed), path.name
        assert resumed.lines[0].startswith("resumed")
        shutil.rmtree(folder)


SCHEDULED = {
    **{name: {} for name in SCHEDULES},
    "plateau": {"patience": 1, "gamma": 0.5},
    "triangular": {"step_size": 2},
    "warm-restarts": {"period": 1.0, "period_factor": 1.0},
}


@pytest.mark.parametrize("schedule", SCHEDULED)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_every_schedule_resumes_exactly(optimizer: str, schedule: str, tmp_path: Path) -> None:
    case = {
        "optimizer": {"name": optimizer, "lr": 0.002},
        "schedule": {"name": schedule, **SCHEDULED[schedule]},
        "train.l1": 1e-3,
    }
    whole = trained(case, None)
    with pytest.raises(SystemError):
        trained(case, tmp_path, killed_after=5)
    resumed = trained(case, tmp_path)
    assert resumed.lines[0].startswith("resumed") and whole.same(resumed)


def test_the_cases_are_meaningful() -> None:
    """Every technique changes the weights, and early stopping ends its run early."""
    plain = trained(CASES["nesterov"], None)
    for name, case in CASES.items():
        found = trained(case, None)
        assert name == "nesterov" or not found.same(plain)
    assert len(trained(CASES["momentum early stopping"], None).reports) < EPOCHS


@pytest.mark.parametrize("name", ["nesterov bfloat16", "adamw"])
def test_stopped_and_killed_again_and_again(name: str, tmp_path: Path) -> None:
    case, whole, learnt_so_far = CASES[name], trained(CASES[name], None), 0
    for process in range(LAST):  # alternately stopped after a step, and killed before the next is saved
        asked: Iterator[int] = iter((0, 15))
        with pytest.raises((Stopped, SystemError)) as raised:
            if process % 2:
                trained(case, tmp_path, stop=lambda asked=asked: next(asked, 15), steps=0)
            else:
                trained(case, tmp_path, killed_after=2)
        learnt_so_far = max(steps_of(tmp_path))
        if isinstance(raised.value, Stopped):
            assert raised.value.exit_code == 143 and "and saved" in str(raised.value)
        if learnt_so_far >= LAST - 2:
            break
    assert learnt_so_far > 2 and whole.same(trained(case, tmp_path))


def test_a_finished_run_stays_finished(tmp_path: Path) -> None:
    case = CASES["momentum early stopping"]
    whole = trained(case, tmp_path, keep=1)
    again = trained(case, tmp_path)
    assert whole.same(again) and "resumed at the end of training" in again.lines


def test_a_stop_between_two_epochs_reports_the_position(tmp_path: Path) -> None:
    asked = iter([0] * STEPS + [2])  # no request after the steps of the first epoch, then one
    with pytest.raises(Stopped, match=r"^stopped after epoch 1 of 3, and saved; resume so$") as stopped:
        trained({}, tmp_path, stop=lambda: next(asked), steps=0, advice="; resume so")
    assert stopped.value.exit_code == 130
    resumed = trained({}, tmp_path)
    assert resumed.lines == ["resumed after epoch 1 of 3"] and resumed.same(trained({}, None))


@pytest.mark.parametrize("damage", ["torn", "empty", "a bit", "gone"])
def test_a_damaged_newest_checkpoint_is_reported_and_skipped(damage: str, tmp_path: Path) -> None:
    with pytest.raises(SystemError):
        trained({}, tmp_path, killed_after=5)
    newest = tmp_path / "step-000000004.checkpoint"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    whole = newest.read_bytes()
    newest.write_bytes({"torn": whole[: len(whole) // 2], "empty": b"", "a bit": bytes(content), "gone": whole}[damage])
    if damage == "gone":
        newest.unlink()
    resumed = trained({}, tmp_path, steps=0)
    passed = [] if damage == "gone" else [f"the checkpoint {newest.name} is damaged and was skipped"]
    assert resumed.lines == [*passed, "resumed after epoch 1 of 3"] and resumed.same(trained({}, None))
    assert not newest.exists()


def test_if_all_are_damaged_the_run_starts_again(tmp_path: Path) -> None:
    with pytest.raises(SystemError):
        trained({}, tmp_path, killed_after=3)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    resumed = trained({}, tmp_path)
    assert len(resumed.lines) == 2 and all("damaged" in line for line in resumed.lines)
    assert resumed.same(trained({}, None))


def test_other_settings_and_other_data_are_refused(tmp_path: Path) -> None:
    trained({}, tmp_path, identity={"momentum": 0.9, "pair": (1, 2), "data": "21 images"})
    trained({}, tmp_path, identity={"momentum": 0.9, "pair": (1, 2), "data": "21 images"})
    for change, words in (
        ({"momentum": 0.8}, "momentum was 0.9 and is 0.8"),
        ({"data": "22 images"}, "data was '21 images' and is '22 images'"),
        ({"more": 1}, "more was None and is 1"),
    ):
        with pytest.raises(RequestError, match=re.escape(words)):
            trained({}, tmp_path, identity={"momentum": 0.9, "pair": (1, 2), "data": "21 images", **change})


def test_another_network_and_another_format_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained({}, tmp_path)
    with pytest.raises(RequestError, match=r"another network: '0.weight' was \[8, 3, 3, 3\] and is \[4, 3, 3, 3\]"):
        fit(made_net(4), noise(0), PLAIN, held_out=noise(1), hooks=[Checkpoints(tmp_path)])
    monkeypatch.setattr(state, "_FORMAT", 2)
    with pytest.raises(RequestError, match="format 1, and this Striate reads 2"):
        trained({}, tmp_path)


def test_another_environment_is_one_line_of_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemError):
        trained({}, tmp_path, killed_after=4)
    monkeypatch.setattr(checkpoints, "_processor", lambda: "Elbrus")
    monkeypatch.setattr(checkpoints.torch, "get_num_threads", lambda: 77)
    lines = trained({}, tmp_path).lines
    assert lines[1:] == ["resumed after epoch 1 of 3"]
    assert "the number of threads is 77 and was 1: the last bits" in lines[0]


def test_checkpoints_are_the_last_hook(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="last of the hooks"):
        fit(made_net(), noise(0), PLAIN, hooks=[Checkpoints(tmp_path), Recording()])


@pytest.mark.parametrize("keep", [1, 2])
def test_the_last_and_the_best_are_kept(keep: int, tmp_path: Path) -> None:
    scores = iter([0.2, 0.9, 0.4])
    kept: list[list[str]] = []

    class Looking(Hook):
        def epoch_begins(self, loop: LoopState) -> None:
            kept.append(sorted(path.stem for path in tmp_path.iterdir()) if loop.epoch else [])

    hooks = [Looking(), Checkpoints(tmp_path, seconds=0, steps=1, keep=keep)]
    fit(made_net(), noise(0), PLAIN, held_out=lambda net: next(scores), hooks=hooks)
    assert kept[1] == ["step-000000003", "step-000000003-best"][2 - keep :] or keep == 1
    assert "step-000000006-best" in kept[2] and "step-000000003-best" not in kept[2]
    assert steps_of(tmp_path) == ([6, 9] if keep == 1 else [6, 8, 9])


def full(places: set[int], calls: list[Path]) -> Callable[[Path, Callable[[BinaryIO], object]], None]:
    """`write_atomically` on a disk that is full at the numbered calls."""
    real = storage.write_atomically

    def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
        calls.append(path)

        def half(file: BinaryIO) -> None:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        real(path, half if len(calls) in places else fill)

    return write


def test_a_full_disk_is_reported_once_and_training_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    monkeypatch.setattr(storage, "write_atomically", full({3, 4, 5}, calls))
    with pytest.raises(SystemError):
        trained({}, tmp_path, killed_after=5)
    assert steps_of(tmp_path) == [1, 2] and not list(tmp_path.glob(".*"))  # the earlier ones remain
    calls.clear()
    monkeypatch.setattr(storage, "write_atomically", full({1, 2}, calls))
    resumed = trained({}, tmp_path)
    told = [line for line in resumed.lines if "No space left" in line]
    assert len(told) == 1 and "that of step 2 is still valid; training continues" in told[0]
    assert resumed.same(trained({}, None)) and len(calls) > 3


def test_a_stop_on_a_full_disk_is_not_reported_as_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "write_atomically", full(set(range(99)), []))
    with pytest.raises(Stopped, match="not saved") as stopped:
        trained({}, tmp_path, stop=lambda: 15)
    assert stopped.value.exit_code == 143
    with pytest.raises(WorkError):
        storage.write_bytes(tmp_path / "x", b"")
