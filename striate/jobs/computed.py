"""Results of studies' computed arms, each kept in a file, so that a call goes on where another one stopped."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from striate.learning.run_folder import RunInUseError
from striate.reading import TABLE, read_file
from striate.storage import alone, json_text, sha256_of, write_text
from striate.studies.study import Arm, Result, Study

# What they hold decides what a study measures; a change of it makes kept results old.
MEASURING = ("striate.studies.", "striate.inspect.", "striate.tuning.", "striate.benchmarking.")


def kept_result(path: Path, lock: Path, compute: Callable[[], Result]) -> Result:
    """The result in the file, or else computed and written there. lock: what its process has meanwhile.

    Raises RunInUseError while another process computes it.
    """
    if (kept := _kept(path)) is not None:
        return kept
    with alone(lock) as mine:
        if not mine:
            raise RunInUseError(f"{str(path)!r} is computed by another process")
        if (kept := _kept(path)) is not None:
            return kept
        started = time.monotonic()
        found = dataclasses.replace(compute(), seconds=time.monotonic() - started)
        facts = {key: getattr(found, key) for key in ("numbers", "wrong", "curve", "seconds")}
        write_text(path, json_text(facts, indent=1))
        return found


def _kept(path: Path) -> Result | None:
    """The result in the file; None where there is none, or a damaged one, which is made again."""
    try:
        facts = json.loads(read_file(path, TABLE))
        numbers, wrong, curve = facts["numbers"], facts["wrong"], facts["curve"]
        seconds = float(facts.get("seconds", 0.0))
        return Result(_numbers(numbers), _numbers(wrong), tuple(map(_numbers, curve)), seconds=seconds)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def name_of(study: Study, arm: Arm, seed: int, depends: tuple[object, ...]) -> str:
    """The file's name. It changes with the study's source, and with whatever else the result depends on."""
    source = _sources(study.compute.__module__) if study.compute is not None else ""
    key = sha256_of(repr((study.name, arm.label, seed, depends, source)).encode())[:12]
    return f"{study.name}-{seed}-{key}.json"


def _sources(module: str) -> str:
    """A hash of a module's file and of those that measure, which it imports, within its functions too.

    Not of `study.py`, which only says what a study is: what one holds is in the name anyhow.
    """
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        found = importlib.util.find_spec(name)
        if name in seen or found is None or found.origin is None:
            continue
        text = read_file(Path(found.origin), TABLE)
        seen[name] = sha256_of(text)
        waiting += [one for one in _imported(text) if one.startswith(MEASURING) and one != Study.__module__]
    return sha256_of(repr(sorted(seen.items())).encode())


@functools.cache  # by content: it takes longer than to read it
def _imported(text: bytes) -> tuple[str, ...]:
    nodes = ast.walk(ast.parse(text))
    return tuple(node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module)


def _numbers(facts: dict[str, Any]) -> dict[str, float]:
    return {key: math.nan if value is None else float(value) for key, value in facts.items()}
