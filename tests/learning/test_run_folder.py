"""The folder of a run: how long the run took, over all its parts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from striate.errors import RequestError
from striate.learning.run_folder import RunFolder


def test_a_resumed_run_took_the_sum_of_its_parts(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        times = [("plan", 100.0), ("epoch", 130.5), ("resume", 5000.0), ("epoch", 5020.0), ("resume", 9000.0)]
        lines = [json.dumps({"time": time, "event": event}) for event, time in times]
        (folder.path / "log.jsonl").write_text("\n".join([*lines, '{"time": 9001, "ev']), "utf-8")
        assert folder.seconds_logged() == 50.5


@pytest.mark.parametrize("inner", ["", "run"])
def test_a_link_that_leads_nowhere_is_called_that(inner: str, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "away")
    with pytest.raises(RequestError, match=r"leads through a link to '.*away', which does not exist"):
        RunFolder(link / inner)
    (tmp_path / "away").mkdir()
    with RunFolder(link / inner) as folder:
        assert (folder.path / "log.jsonl").is_file()


def test_a_log_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.jsonl")
    with pytest.raises(RequestError, match="is not a file, and no run's log"):
        RunFolder(tmp_path)
