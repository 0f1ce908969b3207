"""Made-up drawings that whole runs learn from in a second, and the files that say what is true of them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from striate.progress import Progress


@dataclass(frozen=True)
class Drawing:
    """One image of 28 x 28 grey values: a bar along the top, one down the left, and a block of `side` pixels."""

    path: str
    labels: tuple[str, ...]
    side: int


def draw(root: Path, count: int, seed: int = 0) -> list[Drawing]:
    """`count` drawings, no two alike, as PNG files below `root`."""
    generator = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(count):
        image = generator.integers(0, 60, (28, 28), dtype=np.uint8)
        top, left = generator.random(2) < 0.5
        side = int(generator.integers(2, 15))
        image[2:5, 4:24] = 220 if top else image[2:5, 4:24]
        image[7:25, 1:4] = 220 if left else image[7:25, 1:4]
        image[10 : 10 + side, 10 : 10 + side] = 240
        Image.fromarray(image).save(root / f"{number:03d}.png")
        labels = tuple(name for name, there in (("left", left), ("top", top)) if there)
        made.append(Drawing(f"{number:03d}.png", labels, side))
    return made


def csv_manifest(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """A CSV manifest."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def json_manifest(path: Path, rows: Iterable[dict[str, object]]) -> Path:
    """A JSON-lines manifest."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def blocks(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Class folders of 28 x 28 drawings that are easily told apart: each class has its own place for a block."""
    places = {"low": (16, 8), "high": (3, 8), "left": (9, 1), "right": (9, 19)}
    for offset, (name, count) in enumerate(counts.items()):
        generator = np.random.default_rng([seed, offset])
        (root / name).mkdir(parents=True)
        y, x = places[name]
        for number in range(count):
            image = generator.integers(0, 60, (28, 28), dtype=np.uint8)
            image[y : y + 8, x : x + 8] = generator.integers(180, 256)
            Image.fromarray(image).save(root / name / f"{number:03d}.png")
    return root


def strict_json(text: str) -> Any:
    """JSON as the standard has it: NaN and Infinity are refused."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def split_rows(run: Path) -> list[dict[str, str]]:
    """The rows of a run's split.csv."""
    with open(run / "split.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def sections(page: str) -> dict[str, str]:
    """A page's sections by their anchors."""
    parts = re.split(r'<section [^>]*?id="([a-z-]+)"', page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def figures(text: str) -> list[float]:
    """The numbers in a text, in order."""
    return [float(found) for found in re.findall(r"\d+(?:\.\d+)?", text)]


class Listening(Progress):
    """Keeps the lines that it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)
