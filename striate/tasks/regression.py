"""Regression: one number an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable
from striate.sections import Headline, Section, Step
from striate.tasks import report_regression
from striate.tasks.base import Evaluation, Task
from striate.tasks.losses import MAD_TO_STD, MSE, ErrorLoss, Huber, Loss, Standardisation
from striate.tasks.metrics import mean_interval
from striate.tasks.report_common import ReportContext
from striate.tasks.values import Answer, LabelError, Metric, Predictions, Strata, Target, Targets, Wording, or_none

LARGEST = 1e30  # of a target, either way: predictions and losses are float32, and squares of errors must be finite
BINS = 10  # of the targets' range, each with the same share of the images: what a split is stratified by
FAR = 4  # robust standard deviations of the errors: beyond, a target is probably wrong

_LOSSES: dict[str, type[ErrorLoss]] = {"mse": MSE, "huber": Huber}


class RegressionEvaluation(Evaluation):
    """The mean absolute error, in the target's units."""

    def residuals(self) -> NDArray[np.float64]:
        """Prediction less target, [N], in the target's units."""
        return self.predictions[:, 0].astype(np.float64) - np.asarray(self.targets, np.float64)

    @property
    def score(self) -> float:
        """The mean absolute error; the smaller the better."""
        return float(self.errors().mean()) if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Student's 95 % interval of the mean absolute error."""
        low, high = mean_interval(self.errors())
        return max(0.0, low), high

    @property
    def r2(self) -> float:
        """The coefficient of determination; NaN where all targets are the same."""
        spread = ((self.targets - self.targets.mean()) ** 2).sum() if self.total else 0.0
        return 1 - float((self.residuals() ** 2).sum() / spread) if spread > 0 else math.nan

    def details(self) -> dict[str, Any]:
        """Errors in the target's units, and R2."""
        if not self.total:
            return {"mean_absolute_error": None}
        low, high = self.interval
        return {
            "name": self.task.names[0],
            "mean_absolute_error": self.score,
            "interval": [low, or_none(high)],
            "root_mean_square_error": float(np.sqrt((self.residuals() ** 2).mean())),
            "median_absolute_error": float(np.median(self.errors())),
            "r2": or_none(self.r2),
        }

    def lines(self) -> list[str]:
        """The error in the target's units, beside the spread of the target itself."""
        if not self.total:
            return ["Error not measured: nothing is held out"]
        low, high = self.interval
        within = f"; 95 % interval {low:.3g} to {high:.3g}" if math.isfinite(high) else ""
        spread = float(np.abs(self.targets - self.targets.mean()).mean())
        return [
            f"{printable(self.task.names[0])}: off by {self.score:.3g} on average ({self.where()}{within})",
            f"Always predicting their mean would be off by {spread:.3g}",
        ]

    def errors(self) -> NDArray[np.float64]:
        """The absolute error."""
        return np.abs(self.residuals())


@dataclass(frozen=True)
class Regression(Task):
    """One number an image, in units of its own; `names` has its name alone."""

    kind: ClassVar[str] = "regression"
    metric: ClassVar[Metric] = Metric("mean absolute error", "mean_absolute_error", "error", share=False)
    wording: ClassVar[Wording] = Wording(
        one="number",
        many="numbers",
        target="the number",
        relabel="give it another number\u2026",
        hint="the number",
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
            raise ValueError(f"{text[:60]!r} is no number to relabel to")
        return number

    def describe(self) -> str:
        """The number's name."""
        return f"with a number each, {printable(self.names[0])}"

    def distribution(self, targets: Sequence[Target]) -> str:
        """Range and median."""
        numbers = sorted(map(float, targets))
        middle = numbers[len(numbers) // 2]
        return f"{printable(self.names[0])} goes from {numbers[0]:g} to {numbers[-1]:g}; half lie below {middle:g}."

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
        """See `report_regression`."""
        return report_regression.headline(evaluation, context)

    def report_sections(self, evaluation: RegressionEvaluation, context: ReportContext) -> tuple[Section, ...]:
        """See `report_regression`."""
        return report_regression.report_sections(evaluation, context)

    def next_steps(self, evaluation: RegressionEvaluation, context: ReportContext) -> tuple[Step, ...]:
        """See `report_regression`."""
        return report_regression.next_steps(evaluation, context)
