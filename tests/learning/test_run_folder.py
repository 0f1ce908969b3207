"""The folder of a run: how long the run took, over all its parts."""

from __future__ import annotations

import json
from pathlib import Path

from striate.learning.run_folder import RunFolder


def test_a_resumed_run_took_the_sum_of_its_parts(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        times = [("plan", 100.0), ("epoch", 130.5), ("resume", 5000.0), ("epoch", 5020.0), ("resume", 9000.0)]
        lines = [json.dumps({"time": time, "event": event}) for event, time in times]
        (folder.path / "log.jsonl").write_text("\n".join([*lines, '{"time": 9001, "ev']), "utf-8")
        assert folder.seconds_logged() == 50.5
