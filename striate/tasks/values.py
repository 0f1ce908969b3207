"""Values of tasks: wording, metric, predictions as text, label errors; and the display of probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import printable

Target = Any  # the target of one image: an int, a float, a string, or a tuple of them; representable in JSON
Targets = NDArray[Any]  # of N images, as the loss takes them: [N], [N, outputs] or masks [N, H, W]
Predictions = NDArray[Any]  # of N images: float32 [N, outputs], or masks uint8 [N, H, W]
MetricFunction = Callable[[Predictions, Targets], float]

DENSE = 16  # images at a time of which every pixel is predicted: the logits of all would not fit into memory


@dataclass(frozen=True)
class Wording:
    """The terms for a task's targets in texts.

    one, many: "class", "classes". target: "the class". relabel: what changing it is called. hint: what to type then.
    names_listed: whether the task's names are what images are sorted by, such as classes; else they name quantities.
    """

    one: str
    many: str
    target: str
    relabel: str
    hint: str
    names_listed: bool


@dataclass(frozen=True)
class Metric:
    """The headline metric of a task.

    name: in words. key: in metrics and JSON. curve_key: of a row of the learning curve. share: from 0 to 1, the higher
    the better; else an error in the targets' units, the lower the better.
    """

    name: str
    key: str
    curve_key: str
    share: bool

    def better(self, one: float, other: float) -> bool:
        """Whether the value `one` is better than `other`."""
        return one > other if self.share else one < other

    def text(self, value: float) -> str:
        """A value as text: "94.1 %", or "3.21"."""
        return f"{100 * value:.1f} %" if self.share else f"{value:.3g}"

    def clipped(self, low: float, high: float) -> tuple[float, float]:
        """An interval, clipped to the metric's range."""
        return max(0.0, low), min(1.0, high) if self.share else high


@dataclass(frozen=True, eq=False)
class Answer:
    """The prediction for one image as text.

    label: the class, the labels, the value. confidence: from 0 to 1; NaN where the task has none. probabilities: of
    the names, in order; empty where the task has none. value: the predicted quantity; None where the answer is names.
    line: for the terminal. facts: for JSON. written: as in a table, where that differs from the label.
    """

    label: str
    confidence: float
    probabilities: NDArray[np.float32]
    value: Target | None
    line: str
    facts: Mapping[str, Any]
    written: str | None = None


@dataclass(frozen=True)
class LabelError:
    """A target that is probably wrong. index: of the image among those given. label, suggested: in words.

    target: the suggested one. The probabilities are those of the label and of the suggestion, by models that were not
    trained on the image; NaN where the task has none.
    """

    index: int
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float
    target: Target


@dataclass(frozen=True)
class Agreement:
    """How far two sets of predictions agree. share: of images with equal predictions. difference: the largest one.

    what: what differs, such as "probabilities".
    """

    share: float
    difference: float
    what: str


@dataclass(frozen=True, eq=False)
class Strata:
    """The strata whose proportions a split preserves. table [N, strata] of 0 and 1. overlapping: not exclusive."""

    table: NDArray[np.int64]
    overlapping: bool = False


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits [N, C] -> probabilities [N, C] that sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return result


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of any shape -> probabilities, each by itself; no overflow, however large the logit."""
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1 / (1 + small), small / (1 + small)))


def _identity(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return logits


ACTIVATIONS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "identity": _identity,
}


def table_of_places(targets: Iterable[Target], outputs: int) -> Targets:
    """Targets that are tuples of places among the names, as float32 [N, outputs] of 0 and 1."""
    found = list(targets)
    table = np.zeros((len(found), outputs), np.float32)
    for row, places in zip(table, found, strict=True):
        row[list(places)] = 1
    return table


def are_places(target: Target, outputs: int) -> bool:
    """Whether it is a tuple of places among so many names."""
    return isinstance(target, tuple) and all(type(place) is int and 0 <= place < outputs for place in target)


def or_none(value: float) -> float | None:
    """The value as JSON has it: there is no NaN and no infinity."""
    return float(value) if math.isfinite(value) else None


def ranked_probabilities(
    names: Sequence[str], probabilities: NDArray[np.float32], limit: int
) -> list[tuple[str, float]]:
    """The names with the highest probabilities, the highest first."""
    order = (-probabilities).argsort()[:limit]
    return [(names[place], float(probabilities[place])) for place in order]


SHOWN, LISTED = 3, 100  # names in a line of the terminal; in JSON, where there are more only the first SHOWN


def probability_line(names: Sequence[str], probabilities: NDArray[np.float32]) -> str:
    """The highest probabilities as text: "bees 97.1 %, ants 2.9 %"."""
    ranked = ranked_probabilities(names, probabilities, SHOWN)
    return ", ".join(f"{printable(name)} {100 * share:.1f} %" for name, share in ranked)


def probability_facts(names: Sequence[str], probabilities: NDArray[np.float32], confidence: float) -> dict[str, Any]:
    """The same for JSON."""
    every = dict(zip(names, map(float, probabilities), strict=True))
    shown = every if len(every) <= LISTED else dict(ranked_probabilities(names, probabilities, SHOWN))
    return {"confidence": confidence, "probabilities": shown}
