"""Regression: one number per image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable
from striate.sections import Headline, Section, Step
from striate.tasks import regression_evaluation as report
from striate.tasks.base import Evaluation, Task
from striate.tasks.losses import MAD_TO_STD, MSE, ErrorLoss, Huber, Loss, Standardisation
from striate.tasks.regression_evaluation import RegressionEvaluation
from striate.tasks.report_common import ReportContext
from striate.tasks.values import Answer, LabelError, Metric, Predictions, Strata, Target, Targets, Wording

LARGEST = 1e30  # of a target, either way: predictions and losses are float32, and squares of errors must be finite
BINS = 10  # of the targets' range, each with the same share of the images: what a split is stratified by
FAR = 4  # robust standard deviations of the errors: beyond, a target is probably wrong

_LOSSES: dict[str, type[ErrorLoss]] = {"mse": MSE, "huber": Huber}


@dataclass(frozen=True)
class Regression(Task):
    """One number per image, in its own units; `names` has the name of the target."""

    kind: ClassVar[str] = "regression"
    metric: ClassVar[Metric] = Metric("mean absolute error", "mean_absolute_error", "error", share=False)
    wording: ClassVar[Wording] = Wording(
        one="number",
        many="numbers",
        target="the value",
        relabel="change the value\u2026",
        hint="the value",
        names_listed=False,
    )
    losses: ClassVar[tuple[str, ...]] = tuple(_LOSSES)
    evaluation: ClassVar[type[Evaluation]] = RegressionEvaluation

    def __post_init__(self) -> None:
        if len(self.names) != 1:
            raise RequestError(f"a task of kind {self.kind!r} cannot have {len(self.names)} names")

    def collate(self, targets: Iterable[Target]) -> Targets:
        """float64 [N]."""
        return np.array(list(targets), np.float64)

    def is_target(self, target: Target) -> bool:
        """Whether it is a finite number."""
        return type(target) in (int, float) and math.isfinite(target)

    def check_targets(self, targets: Targets) -> None:
        """Raise RequestError unless they are finite floats [N]."""
        if not np.issubdtype(targets.dtype, np.floating) or targets.ndim != 1:
            raise RequestError(f"targets must be float numbers [N], not {targets.dtype} {list(targets.shape)}")
        super().check_targets(targets)

    def text(self, target: Target) -> str:
        """The number."""
        return f"{target:g}"

    def written(self, target: Target) -> str:
        """The number with all its digits."""
        short = f"{target:g}"
        return short if float(short) == target else repr(float(target))

    def parsed(self, text: str, index: Callable[[str], int]) -> Target:
        """The number."""
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not abs(number) <= LARGEST:
            raise ValueError(f"{text[:60]!r} is not a number")
        return number

    def describe(self) -> str:
        """The number's name."""
        return f"with a number each, {printable(self.names[0])}"

    def distribution(self, targets: Sequence[Target]) -> str:
        """Range and median."""
        numbers = sorted(map(float, targets))
        middle = numbers[len(numbers) // 2]
        return f"{printable(self.names[0])} ranges from {numbers[0]:g} to {numbers[-1]:g}; the median is {middle:g}."

    def strata(self, targets: Targets) -> Strata:
        """Tenths of the range that hold the same share of the images."""
        edges = np.quantile(targets, np.arange(1, BINS) / BINS) if len(targets) else np.zeros(0)
        return Strata(np.eye(BINS, dtype=np.int64)[np.searchsorted(edges, targets, side="right")])

    def loss(
        self,
        name: str | None = None,
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        """ "mse", or "huber", robust to outliers; errors count in the scale of `targets`, or as they are without."""
        chosen = _LOSSES[self.loss_name(name)]
        return chosen() if targets is None else chosen(chosen.standardisation(targets).scale)

    def standardisation(self, targets: Targets, loss: str | None = None) -> Standardisation | None:
        """Mean and standard deviation, or with "huber" their robust forms."""
        return _LOSSES[self.loss_name(loss)].standardisation(targets)

    def answer(self, prediction: NDArray[np.float32]) -> Answer:
        """The number."""
        value, name = float(prediction[0]), self.names[0]
        line, facts = f"{name} {value:.4g}", {"name": name, "value": value}
        return Answer(self.text(value), math.nan, prediction[:0], value, line, facts)

    def label_errors(self, targets: Sequence[Target], predictions: Predictions) -> list[LabelError]:
        """Numbers further from the prediction than FAR standard deviations of normal errors, the furthest first."""
        errors = np.abs(predictions[:, 0] - self.collate(targets))
        far = FAR * MAD_TO_STD * float(np.median(errors)) if len(errors) else 0.0
        found = []
        for index in np.argsort(-errors, kind="stable").tolist():
            if errors[index] > far:
                said = f"{float(predictions[index, 0]):.3g}"  # few digits, because it is a guess
                found.append(LabelError(index, self.text(targets[index]), said, math.nan, math.nan, float(said)))
        return found

    def headline(self, evaluation: RegressionEvaluation, context: ReportContext) -> Headline:
        """See `regression_evaluation`."""
        return report.headline(evaluation, context)

    def report_sections(self, evaluation: RegressionEvaluation, context: ReportContext) -> tuple[Section, ...]:
        """See `regression_evaluation`."""
        return report.report_sections(evaluation, context)

    def next_steps(self, evaluation: RegressionEvaluation, context: ReportContext) -> tuple[Step, ...]:
        """See `regression_evaluation`."""
        return report.next_steps(evaluation, context)
