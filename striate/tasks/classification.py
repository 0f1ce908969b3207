"""Classification: exactly one class per image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.sections import Headline, Section, Step
from striate.tasks import classification_evaluation as report
from striate.tasks.base import Evaluation, Task
from striate.tasks.classification_evaluation import ClassificationEvaluation
from striate.tasks.losses import CrossEntropy, Loss
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
    probability_facts,
    probability_line,
)


@dataclass(frozen=True)
class Classification(Task):
    """One class per image; a target is the index of its class."""

    kind: ClassVar[str] = "classification"
    metric: ClassVar[Metric] = Metric("accuracy", "accuracy", "accuracy", share=True)
    wording: ClassVar[Wording] = Wording(
        one="class",
        many="classes",
        target="the class",
        relabel="change the class\u2026",
        hint="its name",
        names_listed=True,
    )
    losses: ClassVar[tuple[str, ...]] = ("cross-entropy",)
    evaluation: ClassVar[type[Evaluation]] = ClassificationEvaluation
    activation: ClassVar[str] = "softmax"
    output_name: ClassVar[str] = "probabilities"
    one_class: ClassVar[bool] = True
    report_examples: ClassVar[int] = report.EXAMPLES

    def collate(self, targets: Iterable[Target]) -> Targets:
        """int64 [N]."""
        return np.array(list(targets), np.int64)

    def is_target(self, target: Target) -> bool:
        """Whether it is the index of a class."""
        return type(target) is int and 0 <= target < self.outputs

    def check_targets(self, targets: Targets) -> None:
        """Raise RequestError unless they are int64 [N], from 0."""
        if targets.dtype != np.int64 or targets.ndim != 1:
            raise RequestError(f"targets must be int64 classes [N], not {targets.dtype} {list(targets.shape)}")
        # Torch silently ignores the class -100, and reports other negative ones as an internal error.
        if len(targets) and targets.min() < 0:
            raise RequestError(f"class indices start at 0, but one is {int(targets.min())}")

    def text(self, target: Target) -> str:
        """The class's name."""
        return self.names[int(target)]

    def parsed(self, text: str, index: Callable[[str], int]) -> Target:
        """The class of that name."""
        return index(text)

    def indices(self, target: Target) -> tuple[int, ...]:
        """The class."""
        return (int(target),)

    def reindexed(self, target: Target, index: Mapping[int, int]) -> Target:
        """Its new index."""
        return index[int(target)]

    def describe(self) -> str:
        """How many classes."""
        return f"in {self.outputs} {'class' if self.outputs == 1 else 'classes'}"

    def strata(self, targets: Targets) -> Strata:
        """The classes."""
        return Strata(np.eye(self.outputs, dtype=np.int64)[targets])

    def loss(
        self,
        name: str | None = None,
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        """Cross-entropy, with label smoothing towards all classes alike, or towards `prior`, each class's share."""
        self.loss_name(name)
        return CrossEntropy(label_smoothing, prior)

    def answer(self, prediction: NDArray[np.float32]) -> Answer:
        """The most probable class."""
        top = int(prediction.argmax())
        confidence, line = float(prediction[top]), probability_line(self.names, prediction)
        facts = probability_facts(self.names, prediction, confidence)
        return Answer(self.names[top], confidence, prediction, None, line, facts)

    def agreement(self, reference: Predictions, other: Predictions, *, ties: float = 0.0) -> Agreement:
        """The share of equal top-1 predictions. A tie may fall either way by rounding."""
        given = np.take_along_axis(reference, other.argmax(axis=1)[:, None], axis=1)[:, 0]
        same = given >= reference.max(axis=1) - ties
        return Agreement(float(same.mean()), float(np.abs(reference - other).max()), "probabilities")

    def label_errors(self, targets: Sequence[Target], predictions: Predictions) -> list[LabelError]:
        """Ranked by the label's own probability, the "self-confidence" of Northcutt et al. 2021."""
        found = []
        for index, (row, target) in enumerate(zip(predictions, targets, strict=True)):
            top = int(row.argmax())
            if top != target:
                own, other = float(row[int(target)]), float(row[top])
                found.append(LabelError(index, self.text(target), self.names[top], own, other, top))
        return sorted(found, key=lambda error: error.label_probability)

    def headline(self, evaluation: ClassificationEvaluation, context: ReportContext) -> Headline:
        """See `classification_evaluation`."""
        return report.headline(evaluation, context)

    def report_sections(self, evaluation: ClassificationEvaluation, context: ReportContext) -> tuple[Section, ...]:
        """See `classification_evaluation`."""
        return report.report_sections(evaluation, context)

    def next_steps(self, evaluation: ClassificationEvaluation, context: ReportContext) -> tuple[Step, ...]:
        """See `classification_evaluation`."""
        return report.next_steps(evaluation, context)
