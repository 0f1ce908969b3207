"""`--progress jsonl` and log.jsonl: real output against the tables of docs/progress.md."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.cli.events import EventProgress
from striate.cli.main import parser
from striate.jobs.run import Run

Cli = Callable[..., tuple[int, str, str]]

PAGE = (Path(__file__).parents[2] / "docs" / "progress.md").read_text("utf-8")
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,), "list": (list,),
    "null": (type(None),),
}  # fmt: skip


def schema(heading: str) -> dict[str, dict[str, str]]:
    """The table under a heading: event -> key -> type."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`|\.\.\.) \|\s*([^|]*?)\s*\|", section, re.MULTILINE)
    found: dict[str, dict[str, str]] = {}
    for event, key, kind in rows:
        found.setdefault(event, {})[key or "..."] = kind.strip()
    return found


def check(lines: Iterable[str], known: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """The events of lines, each as its table says."""
    events = [json.loads(line) for line in lines]
    for event in events:
        keys, given = known[event["event"]], event.keys() - {"time", "event"}
        assert type(event["time"]) is float
        optional = {key for key, kind in keys.items() if "optional" in kind or key == "..."}
        assert keys.keys() - optional <= given, event
        assert "..." in keys or given <= keys.keys(), event
        for key in given & keys.keys():
            kinds = keys[key].replace(", optional", "").split(" or ")
            assert type(event[key]) in [kind for name in kinds for kind in TYPES[name]], (key, event)
    return events


EVENTS = schema("Events")
LOG = schema("The log of a run")
LOG["resume"] = LOG["plan"]


def of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def test_features_reports_as_the_page_says(photos: Path, trained: Run, tmp_path: Path, cli: Cli) -> None:
    code, out, err = cli(
        "train", photos, "--strategy", "features", "--out", tmp_path / "run", "--progress", "jsonl", "--json"
    )
    assert code == 0 and json.loads(out)["strategy"] == "features"
    events = check(err.splitlines(), EVENTS)
    stages = [event["name"] for event in of(events, "stage")]
    assert stages == ["open the data", "backbone", "read and extract features", "fit the head", "write the report",
                      "write the model"]  # fmt: skip
    bars = of(events, "bar")
    assert {event["name"] for event in bars} >= {"Reading the images", "Fitting the head"}
    for number in {event["bar"] for event in bars}:
        one = [event for event in bars if event["bar"] == number]
        assert one[0]["done"] == 0 and [event["ended"] for event in one] == [False] * (len(one) - 1) + [True]
    assert next(event for event in bars if event["ended"])["done"] == 56
    logged = check((tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines(), LOG)
    kinds = [event["event"] for event in logged]
    assert kinds[0] == "plan" and kinds[-1] == "done" and set(kinds[1:-1]) == {"head"}
    tried = [event for event in bars if event["name"] == "Fitting the head" and event["note"]]
    assert len(of(logged, "head")) == max(event["done"] for event in tried) >= 3


def test_training_reports_as_the_page_says(tmp_path: Path, cli: Cli) -> None:
    for number in range(24):
        (tmp_path / "data" / str(number % 2)).mkdir(parents=True, exist_ok=True)
        shade = np.random.default_rng(number).integers(0, 120, (28, 28), dtype=np.uint8) + 130 * np.uint8(number % 2)
        Image.fromarray(shade).save(tmp_path / "data" / str(number % 2) / f"{number}.png")
    words = ("train", tmp_path / "data", "--net", "lenet5_plain", "--strategy", "scratch", "--epochs", "3",
             "--overfit-batch", "--out", tmp_path / "run", "--progress=jsonl")  # fmt: skip
    code, out, err = cli(*words)
    assert code == 0 and "Model" in out
    events = check(err.splitlines(), EVENTS)
    assert {"look", "check", "train", "predict"} <= {event["name"] for event in of(events, "stage")}
    epochs = [event for event in of(events, "bar") if event["total"] == 3]
    assert epochs[-1]["done"] == 3 and epochs[-1]["note"]
    logged = check((tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines(), LOG)
    assert [event["event"] for event in logged] == ["plan", "checks", "epoch", "epoch", "epoch", "done"]
    code, out, err = cli(*words)
    *_, failed = check(err.splitlines(), EVENTS)
    assert code == failed["code"] == 2 and failed["event"] == "failed" and "is in use" in failed["text"] and out == ""


@pytest.mark.parametrize("given", ["--progress=jsonl", "--progress jsonl --json"])
def test_a_failure_is_an_event_even_of_wrong_words(given: str, cli: Cli) -> None:
    for words in (("predict", "none.safetensors", "x.jpg"), ("trian",), ("nets", "--zzz"), ("audit",)):
        code, out, err = cli(*words, *given.split())
        (failed,) = check(err.splitlines(), EVENTS)
        assert code == 2 and failed["event"] == "failed" and failed["code"] == 2
        assert out == "" if "--json" not in given else json.loads(out) == {"error": failed["text"]}


def test_every_verb_has_the_option(cli: Cli) -> None:
    (verbs,) = (action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert all("--progress" in verb._option_string_actions for verb in verbs.values())
    assert cli("nets", "lenet5", "--progress", "xml")[0] == 2


def test_bars_are_told_apart_and_not_told_too_often(tmp_path: Path) -> None:
    with open(tmp_path / "events", "w", encoding="utf-8") as stream:
        progress = EventProgress(stream)
        with progress.bar("Outer", 2) as outer, progress.bar("Inner", 10_000) as inner:
            for _ in range(10_000):
                inner.advance()
            outer.note("a note\nof two lines \N{RIGHT-TO-LEFT OVERRIDE}")
    lines = (tmp_path / "events").read_text("utf-8").splitlines()
    events = check(lines, EVENTS)
    assert [event["bar"] for event in events if event["ended"]] == [2, 1]
    assert len(events) < 1000 and events[-2]["done"] == 10_000 and events[-1]["note"].startswith("a note\nof")
    closed = EventProgress(stream)
    closed.say("a closed pipe is no error")
