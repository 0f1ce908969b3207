"""Variables of torchrun that no torchrun set are one error, and nothing waits for processes that do not come."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from striate import train
from striate.errors import RequestError, WorkError
from striate.torchrun import Place, place
from striate.training import world

Cli = Callable[..., tuple[int, str, str]]
Patch = pytest.MonkeyPatch

ODD = {
    "RANK is 'x'": {"RANK": "x"},
    "RANK is ''": {"RANK": ""},
    "RANK is '1.5'": {"RANK": "1.5"},
    "WORLD_SIZE is '99999999": {"WORLD_SIZE": "9" * 5000},
    "RANK is 2, LOCAL_RANK 0 and WORLD_SIZE 2": {"RANK": "2", "WORLD_SIZE": "2"},
    "RANK is -1": {"RANK": "-1", "WORLD_SIZE": "2"},
    "WORLD_SIZE 0": {"WORLD_SIZE": "0"},
    "LOCAL_RANK 7": {"LOCAL_RANK": "7"},
    "TORCHELASTIC_RESTART_COUNT is 'no'": {"TORCHELASTIC_RESTART_COUNT": "no"},
}


def given(monkeypatch: Patch, values: dict[str, str]) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"RANK": "0", "WORLD_SIZE": "1"} | values).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("words", ODD)
def test_nonsense_is_one_line(words: str, cli: Cli, tmp_path: Path, monkeypatch: Patch) -> None:
    given(monkeypatch, ODD[words])
    with pytest.raises(RequestError, match=words):
        place()
    code, _, err = cli("train", tmp_path)
    assert code == 2 and err.startswith("striate: ") and words in err and err.count("\n") == 1
    assert cli("nets", "lenet5")[0] == 0  # which starts no processes
    assert cli("nest")[0] == 2


def test_one_process_is_alone(monkeypatch: Patch) -> None:
    given(monkeypatch, {})
    assert place() == Place()


@pytest.mark.parametrize(
    "values", [{}, {"MASTER_ADDR": "127.0.0.1"}, {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "no"}]
)
def test_an_incomplete_environment_is_one_error(values: dict[str, str], tmp_path: Path, monkeypatch: Patch) -> None:
    given(monkeypatch, {"WORLD_SIZE": "2", **values})
    with pytest.raises(RequestError, match="RANK and WORLD_SIZE are set, but torchrun's other variables do not fit"):
        train(tmp_path)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_processes_that_do_not_come_are_not_waited_for_for_ever(rank: str, tmp_path: Path, monkeypatch: Patch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    given(monkeypatch, {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
    monkeypatch.setattr(world, "START", timedelta(seconds=1))
    with pytest.raises(WorkError, match="another process has ended or cannot be reached"):
        train(tmp_path)
