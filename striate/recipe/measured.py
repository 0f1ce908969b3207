"""Measured results of a recipe: the table [measured] that a recipe file may contain besides the recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from striate.errors import RequestError, unknown
from striate.recipe.toml import read_toml

MEASURED = "measured"


@dataclass(frozen=True)
class Measured:
    """Measured runs of a recipe. score: as text, such as "8.9 % error". seeds: one per run. seconds: of one run.

    machine: what it ran on. date: year-month-day. command: what was run.
    """

    score: str
    seeds: tuple[int, ...]
    seconds: float
    machine: str
    date: str
    command: str

    @classmethod
    def from_mapping(cls, values: Any) -> Measured:
        """From the table's keys and values. Raises RequestError for a missing or unknown key, or a wrong value."""
        names = [item.name for item in dataclasses.fields(cls)]
        if not isinstance(values, Mapping):
            raise RequestError(f"[{MEASURED}] is a table with the keys {', '.join(names)}")
        for name in values:
            if name not in names:
                raise unknown(f"key in [{MEASURED}]", str(name), names)
        if missing := [name for name in names if name not in values]:
            raise RequestError(f"[{MEASURED}] lacks {', '.join(missing)}")
        seeds, seconds = values["seeds"], values["seconds"]
        if not (isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds)):
            raise RequestError(f"{MEASURED}.seeds takes a list of integers, not {seeds!r}")
        if type(seconds) not in (int, float) or not 0 < seconds < float("inf"):
            raise RequestError(f"{MEASURED}.seconds takes a number above 0, not {seconds!r}")
        texts = {name: values[name] for name in ("score", "machine", "command")} | {"date": str(values["date"])}
        for name, text in texts.items():
            if not isinstance(text, str) or not text:
                raise RequestError(f"{MEASURED}.{name} takes text, not {text!r}")
        return cls(seeds=tuple(seeds), seconds=float(seconds), **texts)

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return dataclasses.asdict(self)

    def line(self) -> str:
        """One line for the terminal."""
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds"
        return f"{self.score} ({seeds}, {self.seconds:,.0f} s on {self.machine}, {self.date}): {self.command}"


def measured_in(text: str) -> Measured | None:
    """The table of a recipe file; None without one. Raises RequestError for an invalid one."""
    found = read_toml(text, "recipe").get(MEASURED)
    return None if found is None else Measured.from_mapping(found)
