"""Results of studies' computed arms, each kept in a file, so that a call goes on where another one stopped."""

from __future__ import annotations

import ast
import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from striate.learning.run_folder import RunInUseError
from striate.reading import TABLE, read_file
from striate.storage import alone, json_text, sha256_of, write_text
from striate.studies.study import Arm, Result, Study


def kept_result(path: Path, lock: Path, compute: Callable[[], Result]) -> Result:
    """The result in the file, or else computed and written there. lock: what its process has meanwhile.

    Raises RunInUseError while another process computes it.
    """
    if not path.exists():
        with alone(lock) as mine:
            if not mine:
                raise RunInUseError(f"{str(path)!r} is computed by another process")
            if not path.exists():
                found = compute()
                facts = {"numbers": found.numbers, "wrong": found.wrong, "curve": found.curve}
                write_text(path, json_text(facts, indent=1))
                return found
    facts = json.loads(read_file(path, TABLE))
    return Result(_numbers(facts["numbers"]), _numbers(facts["wrong"]), tuple(map(_numbers, facts["curve"])))


def name_of(study: Study, arm: Arm, seed: int, depends: tuple[object, ...]) -> str:
    """The file's name. It changes with the study's source, and with whatever else the result depends on."""
    source = _sources(study.compute.__module__) if study.compute is not None else ""
    key = sha256_of(repr((study.name, arm.label, seed, depends, source)).encode())[:12]
    return f"{study.name}-{seed}-{key}.json"


def _sources(module: str) -> str:
    """A hash of a module's file and of those in `striate.studies` that it imports, within its functions too.

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
        imported = [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
        waiting += [one for one in imported if one and one.startswith("striate.studies.") and one != Study.__module__]
    return sha256_of(repr(sorted(seen.items())).encode())


def _numbers(facts: dict[str, Any]) -> dict[str, float]:
    return {key: math.nan if value is None else float(value) for key, value in facts.items()}
