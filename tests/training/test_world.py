"""Two processes over gloo train like one, stop together, resume bit for bit, and never wait for a failed one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from together import CASES, PARTS
from training_cases import flat

Found = dict[str, list[dict[str, Any]]]


def free_ports(count: int) -> list[str]:
    """Free ports of this machine."""
    with ExitStack() as open_ones:
        found = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    """The results of two processes, by part; importing torch takes seconds, so one pair does everything."""
    command = [
        sys.executable,
        "-W",
        "error",
        str(Path(__file__).with_name("together.py")),
        str(folder),
        *free_ports(len(PARTS)),
    ]
    with ExitStack() as stack:
        both = []
        for rank in "01":
            told = stack.enter_context(open(folder / f"told-{rank}", "w"))
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
            both.append(subprocess.Popen(command, env=os.environ | place, stderr=told))
            stack.callback(both[-1].wait)
            stack.callback(both[-1].kill)
        codes = [one.wait(timeout=120) for one in both]
    assert codes == [0, 0], [(folder / f"told-{rank}").read_text() for rank in "01"]
    names = [part.__name__ for part in PARTS]
    return {name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in "01"] for name in names}


def test_values_are_broadcast_and_reduced(found: Found) -> None:
    for one in found["words"]:
        assert one == {"broadcast": "of process 0", "sum": [3.0, 1.0], "max": 15, "in turn": "by the first"}


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_like_one(name: str, found: Found, folder: Path) -> None:
    net, reports = CASES[name].run()
    alone = [[report.loss, report.score, report.held_out_loss] for report in reports]
    first, second = (one[name] for one in found["trained"])
    assert first == second
    assert len(alone) == len(first)
    number = list(CASES).index(name)
    mine, theirs = (np.load(folder / f"weights-{number}-{rank}.npy") for rank in "01")
    np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(mine, flat(net).numpy(), rtol=1e-3, atol=1e-4)
    for together, one in zip(first, alone, strict=True):
        assert together[0] == pytest.approx(one[0], rel=1e-5)
        if name != "batch norm":  # their running statistics are of half the images
            assert together[1:] == pytest.approx(one[1:], rel=1e-4)


def test_early_stopping_stops_both(found: Found) -> None:
    assert 1 < len(found["trained"][0]["best epoch"]) < 9


def test_a_signal_to_one_stops_both_and_the_run_resumes_bit_for_bit(found: Found) -> None:
    first, second = found["stopped"]
    assert first["said"] == "stopped after epoch 2, batch 1 of 3, and saved; resume"
    assert second["said"] == ""
    for one in found["stopped"]:
        assert (one["code"], one["steps"]) == (143, 4)
        assert one["equal"]
        assert one["curves"]
    assert first["same"]


@pytest.mark.parametrize(
    ("part", "kind", "words"),
    [
        ("not_finite", "NotFinite", "the loss is not a finite number at epoch 2, batch 1 of 2: it starts in layer '0'"),
        (
            "no_memory",
            "WorkError",
            "out of memory at epoch 2, batch 1 of 2, with 16 images at once in process 2 of 2: "
            "set train.accumulate = 2, which trains on the same batch in smaller micro-batches",
        ),
        (
            "other_data",
            "RequestError",
            "process 2 has other arguments than the first: data was 'digest 0' and is 'digest 1'",
        ),
    ],
)
def test_a_failing_process_reports_why_and_the_other_does_not_wait(
    part: str, kind: str, words: str, found: Found
) -> None:
    first, second = found[part]
    assert second["error"] == kind
    assert second["said"].startswith(words)
    lost = "another process has ended or cannot be reached; its error message gives the cause"
    assert first == {"error": "WorkError", "said": lost}
