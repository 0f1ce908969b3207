"""Every network's name, paper and numbers, read from `facts.json` without importing torch."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from striate.errors import unknown


@dataclass(frozen=True)
class Entry:
    """One network of the catalogue.

    `parameters` and `madds` (multiply-adds of one image of `input_size`, height and width) are counted, exactly;
    `published` holds what the paper says, with its `source`. `file` is the module in `striate.nets`; `weights` names
    the data that published weights were trained on, if there are any; `recipe` names the paper's training recipe, a
    file of `nets/recipes`; `tiny` marks the small siblings made for tests.
    """

    name: str
    file: str
    title: str
    year: int
    paper: str
    kind: str
    classes: int
    in_channels: int
    input_size: tuple[int, int]
    parameters: int
    madds: int
    published: dict[str, object]
    tiny: bool
    weights: str | None
    recipe: str | None


def entries(pattern: str = "*", *, tiny: bool = False) -> list[Entry]:
    """The networks whose name matches the glob `pattern`, in the order of the papers; tiny siblings only if asked."""
    return [entry for entry in _catalogue().values() if fnmatchcase(entry.name, pattern) and (tiny or not entry.tiny)]


def entry(name: str) -> Entry:
    """The network of that name. Raises RequestError with the nearest right names for one that is not there."""
    known = _catalogue()
    if name not in known:
        raise unknown("net", name, known)
    return known[name]


@functools.cache
def _catalogue() -> dict[str, Entry]:
    papers = json.loads(Path(__file__).with_name("facts.json").read_text(encoding="utf-8"))
    found: dict[str, Entry] = {}
    for paper in papers:
        nets, _, shared = paper.pop("nets"), paper.pop("rows", None), paper
        for name, facts in nets.items():
            merged = {"tiny": False, "weights": None, "recipe": None, "published": {}, **shared, **facts, "name": name}
            merged["input_size"] = tuple(merged["input_size"])
            found[name] = Entry(**merged)
    return found
