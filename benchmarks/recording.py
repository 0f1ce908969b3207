"""Shared by the benchmarks: folders of data and records, the machine's description, and writing records."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("STRIATE_TEST_DATA", ROOT.parent / "shared" / "data"))


def machine() -> str:
    """Processor, cores and system."""
    try:
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        name = model.group(1) if model else platform.processor()
    except OSError:
        name = platform.processor()
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def _today(name: str) -> Path:
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    return ROOT / "benchmarks" / "records" / f"{date}-{name}.json"


def rows_of_today(name: str) -> list[dict[str, object]]:
    """What the day's record of a benchmark has."""
    path = _today(name)
    found: list[dict[str, object]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return found


def write_record(name: str, rows: list[dict[str, object]], packages: Sequence[str]) -> None:
    """Write the day's record of a benchmark, with the versions of `packages`; rows measured again replace those of the
    same day."""
    path, before = _today(name), rows_of_today(name)
    record = {
        "date": path.name[:10],
        "machine": machine(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "rows": [old for old in before if old["what"] not in {row["what"] for row in rows}] + rows,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)}")
