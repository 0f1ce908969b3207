"""Multilabel classification: any number of labels per image, each with its own decision threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable
from striate.sections import Headline, Section, Step
from striate.storage import json_text
from striate.tasks import multilabel_evaluation as report
from striate.tasks.base import Evaluation, Task
from striate.tasks.losses import BinaryCrossEntropy, Loss
from striate.tasks.metrics import best_threshold
from striate.tasks.multilabel_evaluation import MultilabelEvaluation
from striate.tasks.report_common import ReportContext
from striate.tasks.values import (
    Agreement,
    Answer,
    LabelError,
    Metric,
    Predictions,
    Strata,
    Target,
    Targets,
    Wording,
    are_places,
    probability_facts,
    probability_line,
    table_of_places,
)

HALF = 0.5  # a label's threshold until one is chosen
LABELS_APART = "|"  # separates the labels of one image in a file


@dataclass(frozen=True)
class Multilabel(Task):
    """Several labels per image, or none; a target is the ascending tuple of their indices.

    thresholds: the probability from which each label counts as predicted; empty means a half for all.
    """

    thresholds: tuple[float, ...] = ()

    kind: ClassVar[str] = "multilabel"
    metric: ClassVar[Metric] = Metric(
        "mean average precision", "mean_average_precision", "average_precision", share=True
    )
    wording: ClassVar[Wording] = Wording(
        one="label",
        many="labels",
        target="the labels",
        relabel="change the labels\u2026",
        hint="one|another",
        names_listed=True,
    )
    losses: ClassVar[tuple[str, ...]] = ("binary-cross-entropy",)
    evaluation: ClassVar[type[Evaluation]] = MultilabelEvaluation
    activation: ClassVar[str] = "sigmoid"
    output_name: ClassVar[str] = "probabilities"

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = len(self.thresholds) == len(self.names) and all(0 <= value <= 1 for value in self.thresholds)
        if self.thresholds and not fits:
            raise RequestError(f"thresholds must be from 0 to 1, one per label, not {list(self.thresholds)}")

    @property
    def decision_thresholds(self) -> tuple[float, ...]:
        """The threshold of each label, chosen or not."""
        return self.thresholds or (HALF,) * self.outputs

    def with_thresholds(self, predictions: Predictions, targets: Targets) -> Self:
        """With the threshold of each label that has the greatest F1."""
        best = [best_threshold(predictions[:, place], targets[:, place]) for place in range(self.outputs)]
        return dataclasses.replace(self, thresholds=tuple(best))

    def with_decision_thresholds(self, thresholds: tuple[float, ...]) -> Self:
        """With these thresholds."""
        return dataclasses.replace(self, thresholds=thresholds)

    def predicted(self, predictions: Predictions) -> NDArray[np.bool_]:
        """Which labels count as predicted, [N, labels]."""
        return np.asarray(predictions >= np.array(self.decision_thresholds, np.float32))

    def collate(self, targets: Iterable[Target]) -> Targets:
        """float32 [N, labels] of 0 and 1."""
        return table_of_places(targets, self.outputs)

    def is_target(self, target: Target) -> bool:
        """Whether it is a tuple of indices of labels."""
        return are_places(target, self.outputs)

    def check_targets(self, targets: Targets) -> None:
        """Raise RequestError unless they are floats [N, labels] from 0 to 1."""
        if not np.issubdtype(targets.dtype, np.floating) or targets.ndim != 2:
            raise RequestError(f"targets must be float labels [N, labels], not {targets.dtype} {list(targets.shape)}")
        if not ((targets >= 0) & (targets <= 1)).all():
            raise RequestError("labels are present (1) or absent (0), but one is neither")

    def text(self, target: Target) -> str:
        """The labels, parted by a comma, or "none"."""
        return ", ".join(self.names[place] for place in target) or "none"

    def written(self, target: Target) -> str:
        """The labels, parted by a bar; "" for none."""
        return LABELS_APART.join(self.names[place] for place in target)

    def parsed(self, text: str, index: Callable[[str], int]) -> Target:
        """The labels of a text in which a bar parts them, unless all of it is the name of one."""
        wanted = [text] if text in self.names else text.split(LABELS_APART) if text else []
        return tuple(sorted({index(name.strip()) for name in wanted}))

    def indices(self, target: Target) -> tuple[int, ...]:
        """The labels."""
        return tuple(target)

    def reindexed(self, target: Target, index: Mapping[int, int]) -> Target:
        """Their new indices."""
        return tuple(sorted(index[place] for place in target))

    def with_names(self, names: Sequence[str]) -> Self:
        """With other labels, and no thresholds chosen."""
        return dataclasses.replace(self, names=tuple(names), thresholds=())

    def describe(self) -> str:
        """How many labels."""
        return f"with {self.outputs} {'label' if self.outputs == 1 else 'labels'}"

    def strata(self, targets: Targets) -> Strata:
        """The labels, and having none."""
        table = targets.astype(np.int64)
        return Strata(np.column_stack([table, table.sum(axis=1) == 0]).astype(np.int64), overlapping=True)

    def loss(
        self,
        name: str | None = None,
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        """Binary cross-entropy, the mean over the labels; label smoothing is for one class per image."""
        self.loss_name(name)
        return BinaryCrossEntropy()

    def answer(self, prediction: NDArray[np.float32]) -> Answer:
        """The predicted labels; the confidence is that of the most probable one."""
        chosen = np.flatnonzero(self.predicted(prediction[None])[0]).tolist()
        label, confidence = self.text(chosen), float(prediction.max())
        line = f"{printable(label)} ({probability_line(self.names, prediction)})"
        facts = probability_facts(self.names, prediction, confidence)
        return Answer(label, confidence, prediction, None, line, facts, self.written(chosen))

    def agreement(self, reference: Predictions, other: Predictions, *, ties: float = 0.0) -> Agreement:
        """The share of images with the same labels predicted."""
        same = (self.predicted(reference) == self.predicted(other)).all(axis=1)
        return Agreement(float(same.mean()), float(np.abs(reference - other).max()), "probabilities")

    def label_errors(self, targets: Sequence[Target], predictions: Predictions) -> list[LabelError]:
        """Ranked by the least probable of what is said of the labels: present or absent."""
        found = []
        for index, (row, target) in enumerate(zip(predictions, targets, strict=True)):
            said = tuple(np.flatnonzero(self.predicted(row[None])[0]).tolist())
            own = np.where(np.isin(np.arange(self.outputs), target), row, 1 - row)
            lowest = float(own.min())
            if said != target:
                found.append(LabelError(index, self.text(target), self.text(said), lowest, float(1 - own.min()), said))
        return sorted(found, key=lambda error: error.label_probability)

    def metadata(self) -> dict[str, str]:
        """The thresholds, as a JSON list."""
        return {"thresholds": json_text([float(f"{value:.6g}") for value in self.thresholds])}

    def as_dict(self) -> dict[str, Any]:
        """Kind and thresholds."""
        return {"kind": self.kind, "thresholds": list(self.thresholds)}

    @classmethod
    def from_dict(cls, values: dict[str, Any], names: tuple[str, ...]) -> Self:
        """The task of what `as_dict` gave, less the kind. Raises RequestError for anything else."""
        if values.keys() != {"thresholds"}:
            raise RequestError(f"a task of kind {cls.kind!r} has thresholds, and nothing else")
        thresholds = values["thresholds"]
        if not isinstance(thresholds, list) or not all(type(value) in (int, float) for value in thresholds):
            raise RequestError(f"thresholds must be a list of numbers, not {thresholds!r}")
        return cls(names, tuple(map(float, thresholds)))

    def headline(self, evaluation: MultilabelEvaluation, context: ReportContext) -> Headline:
        """See `multilabel_evaluation`."""
        return report.headline(evaluation, context)

    def report_sections(self, evaluation: MultilabelEvaluation, context: ReportContext) -> tuple[Section, ...]:
        """See `multilabel_evaluation`."""
        return report.report_sections(evaluation, context)

    def next_steps(self, evaluation: MultilabelEvaluation, context: ReportContext) -> tuple[Step, ...]:
        """See `multilabel_evaluation`."""
        return report.next_steps(evaluation, context)
