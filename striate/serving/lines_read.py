"""Reading lines of digits: a classifier slid over each. It runs in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from striate.lines.preparing import PreparedLine, prepare_line
from striate.lines.reading import ReadCharacter, probability_of, read_characters, text_of, told
from striate.lines.sliding import LineReader
from striate.model import Model
from striate.pixels import decode
from striate.serving.answers import Answers, Seen
from striate.serving.asked import Asked
from striate.serving.protocol import Output, Values
from striate.weights.models import open_model

IN_FULL = 0  # of `decode`: the columns are those of the picture


class LinesRead(Answers):
    """What `striate read` reads. Raises RequestError for a model that cannot be slid over lines."""

    engine_name, precision = "torch", "float32"
    answers_to = frozenset[str]()
    pixels = 4_000_000  # preparing a line takes some twenty bytes for each

    def __init__(self, model: Model) -> None:
        self._reader, self._net = LineReader(model), model.net

    @classmethod
    def of_file(cls, name: str) -> LinesRead:
        """Of a model file or run folder. Raises RequestError."""
        return cls(open_model(name))

    @property
    def kind(self) -> str:
        """Lines."""
        return "lines"

    def opened(self, content: bytes, asked: Asked) -> tuple[PreparedLine, tuple[int, int]]:
        """The line, prepared."""
        found = decode(content, at_least=IN_FULL)
        return prepare_line(np.asarray(found.image.convert("L"))), found.upright_size

    def rows(self, images: Sequence[PreparedLine]) -> list[tuple[ReadCharacter, ...]]:
        """The characters of each line."""
        return [read_characters(*self._reader.read_line(line), self._reader.classes) for line in images]

    def answer(self, seen: Seen, asked: Asked) -> dict[str, Any]:
        """Text and characters, as `striate read --json` tells them."""
        return {"label": text_of(seen.row), **told(seen.row)}

    def outputs(self) -> list[Output]:
        """The text as the label; of its characters, as many as the longest line has, probabilities and columns."""
        sizes = {"probability": (), "probabilities": (-1,), "columns": (-1,)}
        return [*(Output(name, "FP32", shape) for name, shape in sizes.items()), Output("label", "BYTES", ())]

    def values(self, seen: Sequence[Seen]) -> Mapping[str, Values]:
        """Beyond the end of a line the probability is 0, and the column -1."""
        rows: list[tuple[ReadCharacter, ...]] = [one.row for one in seen]
        longest = max(len(row) for row in rows)
        probabilities = np.zeros((len(rows), longest), np.float32)
        columns = np.full((len(rows), longest), -1, np.float32)
        for place, row in enumerate(rows):
            probabilities[place, : len(row)] = [one.probability for one in row]
            columns[place, : len(row)] = [one.x for one in row]
        return {
            "probability": np.array([probability_of(row) for row in rows], np.float32),
            "probabilities": probabilities,
            "columns": columns,
            "label": [text_of(row) for row in rows],
        }

    def parameters(self) -> dict[str, Any]:
        """The network, and what it reads."""
        return {"net": self._net, "classes": list(self._reader.classes)}
