"""The records of the benchmarks, for the scripts here and the tests that hold a page against them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).parents[1] / "benchmarks" / "records"


def newest(name: str) -> Path:
    """The newest record of a benchmark, by its whole name: DATE-search.json, and not DATE-architecture-search.json."""
    return sorted(RECORDS.glob(f"????-??-??-{name}.json"))[-1]


def record(name: str) -> dict[str, Any]:
    """What the newest record of a benchmark holds."""
    return dict(json.loads(newest(name).read_text("utf-8")))
