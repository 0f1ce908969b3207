"""What is asked of an image: which one class, which of several labels, or how much of something.

One value that every step follows: the head's width, the loss, the answers, what is measured, the report, the export.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable, unknown

KINDS = {
    "class": "one class an image",
    "labels": "several labels an image",
    "number": "a number an image",
}
LARGEST = 1e30  # of a number, either way: answers and losses are float32, and squares of errors must be finite
HALF = 0.5  # a label's threshold until one is measured

Target = int | tuple[int, ...] | float  # place of the class; places of the labels, ascending; the number
Targets = NDArray[Any]  # int64 [N]; float32 [N, labels] of zeros and ones; float64 [N]


class Aimed(Protocol):
    """Anything with a target."""

    @property
    def target(self) -> Target:
        """What is true of it."""
        ...


@dataclass(frozen=True)
class Task:
    """kind: a key of KINDS. names: of the classes or labels, in the order of the outputs; of the number, one.

    thresholds: for labels, the probability from which each one counts as given; empty means a half for all.
    """

    kind: str
    names: tuple[str, ...]
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("task", str(self.kind), KINDS)
        if not self.names or (self.kind == "number" and len(self.names) != 1):
            raise RequestError(f"a task of kind {self.kind!r} cannot have {len(self.names)} names")
        fits = len(self.thresholds) == len(self.names) and all(0 <= value <= 1 for value in self.thresholds)
        if self.thresholds and not (self.kind == "labels" and fits):
            raise RequestError(f"thresholds go with labels, one from 0 to 1 each, not {list(self.thresholds)}")

    @property
    def outputs(self) -> int:
        """How many numbers the network answers."""
        return len(self.names)

    @property
    def limits(self) -> tuple[float, ...]:
        """The threshold of each label, measured or not."""
        return self.thresholds or (HALF,) * self.outputs

    @property
    def decision_thresholds(self) -> tuple[float, ...]:
        """As `limits`."""
        return self.limits

    def answers(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores [N, outputs] as answers: probabilities over the classes, of each label, or the number itself."""
        if self.kind == "class":
            return softmax(scores)
        return sigmoid(scores) if self.kind == "labels" else scores

    def targets(self, aimed: Iterable[Aimed]) -> Targets:
        """The targets as an array to learn from and to measure against: see `Targets`."""
        found = [one.target for one in aimed]
        if self.kind == "class":
            return np.array(found, np.int64)
        if self.kind == "number":
            return np.array(found, np.float64)
        table = np.zeros((len(found), self.outputs), np.float32)
        for row, places in zip(table, found, strict=True):
            row[list(places)] = 1  # type: ignore[arg-type]  # a task's own items have its own targets
        return table

    def given(self, answers: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Of labels: which count as given, [N, labels]."""
        return np.asarray(answers >= np.array(self.limits, np.float32))

    def asked(self) -> str:
        """What is asked, in words: "in 2 classes"."""
        if self.kind == "number":
            return f"with a number each, {printable(self.names[0])}"
        count, one = len(self.names), len(self.names) == 1
        if self.kind == "class":
            return f"in {count} class" if one else f"in {count} classes"
        return f"with {count} label" if one else f"with {count} labels"

    def spoken(self, target: Target) -> str:
        """A target in words: a class, labels parted by a comma (or "none"), a number."""
        if isinstance(target, tuple):
            return ", ".join(self.names[place] for place in target) or "none"
        return self.names[int(target)] if self.kind == "class" else f"{target:g}"

    def as_dict(self) -> dict[str, Any]:
        """All but the names as JSON values; the model file holds the names as its classes."""
        return {"kind": self.kind, "thresholds": list(self.thresholds)}

    @classmethod
    def from_dict(cls, values: dict[str, Any], names: tuple[str, ...]) -> Task:
        """The task that `as_dict` told of. Raises RequestError for anything else."""
        if not isinstance(values, dict) or values.keys() != {"kind", "thresholds"}:
            raise RequestError("a task has a kind and thresholds")
        thresholds = values["thresholds"]
        if not isinstance(thresholds, list) or not all(type(value) in (int, float) for value in thresholds):
            raise RequestError(f"thresholds must be a list of numbers, not {thresholds!r}")
        return cls(values["kind"], names, tuple(map(float, thresholds)))


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores [N, C] -> probabilities [N, C] that sum to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return result


def sigmoid(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores of any shape -> probabilities, each by itself; no overflow however far the score."""
    small = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0, 1 / (1 + small), small / (1 + small)))
