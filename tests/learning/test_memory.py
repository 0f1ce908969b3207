"""A step that cannot fit into memory is foreseen, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawings import blocks

from striate import Recipe, train
from striate.errors import RequestError
from striate.learning import memory
from striate.learning.memory import memory_of_machine

NET = {"strategy": "scratch", "net.name": "resnet_tiny", "train.epochs": 1, "train.batch": 64}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return blocks(tmp_path / "data", {"low": 8, "high": 8})


def test_a_batch_that_cannot_fit_is_refused_with_one_that_would(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_of_machine", lambda: 5_000_000)
    with pytest.raises(
        RequestError, match=r"a step on 64 images of .* needs at least .* GB .*--batch \d+ would fit"
    ) as caught:
        train(data, out=tmp_path / "run", recipe=Recipe().updated(NET))
    assert not (tmp_path / "run" / "model.safetensors").exists()
    fits = int(str(caught.value).partition("--batch ")[2].split()[0])
    assert 1 <= fits < 64
    for change in ({"train.batch": fits}, {"train.accumulate": 64}, {"train.gradient_checkpointing": "sqrt"}):
        run = train(
            data, out=tmp_path / f"run{len(change)}{next(iter(change))}", recipe=Recipe().updated({**NET, **change})
        )
        assert (run.folder / "model.safetensors").exists()


def test_nothing_is_refused_where_the_memory_is_unknown_or_ample(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, there in enumerate((0, 2**40)):
        monkeypatch.setattr(memory, "memory_of_machine", lambda there=there: there)
        assert train(data, out=tmp_path / f"run{number}", recipe=Recipe().updated(NET)).folder.exists()


def test_a_container_may_have_less_than_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.torch.cuda, "is_available", lambda: False)
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUP", limit)
    whole = memory_of_machine()
    limit.write_text("max\n")
    assert memory_of_machine() == whole > 0
    limit.write_text("123456\n")
    assert memory_of_machine() == 123456
