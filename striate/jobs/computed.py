"""Results of studies' computed arms, each kept in a file, so that a call goes on where another one stopped."""

from __future__ import annotations

import json
import math
import sys
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
    """The file's name. It changes with the study's file, and with whatever else the result depends on."""
    source = sys.modules[study.compute.__module__].__file__ if study.compute is not None else None
    text = sha256_of(read_file(Path(source), TABLE)) if source else ""
    key = sha256_of(repr((study.name, arm.label, seed, depends, text)).encode())[:12]
    return f"{study.name}-{seed}-{key}.json"


def _numbers(facts: dict[str, Any]) -> dict[str, float]:
    return {key: math.nan if value is None else float(value) for key, value in facts.items()}
