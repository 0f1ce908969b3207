"""The evaluation of a regression, and its report sections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import printable
from striate.sections import (
    Bars,
    Fact,
    Facts,
    Gallery,
    Grid,
    Headline,
    Histogram,
    Picture,
    Scatter,
    Section,
    Step,
    Strong,
    Text,
)
from striate.sections.wording import counted, images, percent, plain, quantity
from striate.tasks.base import Evaluation
from striate.tasks.metrics import mean_interval
from striate.tasks.report_common import BEATEN, SHOWN, Example, ReportContext, evaluated_on, not_evaluated
from striate.tasks.values import or_none

SHRUNK = 0.75  # slope of predicted over true values below which predictions shrink towards the mean
BIASED = 0.5  # share of the mean absolute error that a bias must reach


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
    def image_scores(self) -> NDArray[np.float64] | None:
        """The absolute error of each prediction."""
        return self.errors()

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
        """The error in the target's units, and that of the mean baseline."""
        if not self.total:
            return ["Error not measured: nothing is held out"]
        low, high = self.interval
        within = f"; 95 % interval {low:.3g} to {high:.3g}" if math.isfinite(high) else ""
        spread = float(np.abs(self.targets - self.targets.mean()).mean())
        return [
            f"Mean absolute error of {printable(self.task.names[0])}: {self.score:.3g} ({self.where()}{within})",
            f"Baseline (always predicting the mean): {spread:.3g}",
        ]

    def errors(self) -> NDArray[np.float64]:
        """The absolute error."""
        return np.abs(self.residuals())


def baseline_error(evaluation: RegressionEvaluation, train_targets: NDArray[Any]) -> float:
    """The mean absolute error of always predicting the mean of the training targets (or of the held-out ones)."""
    true = np.asarray(evaluation.targets, np.float64)
    usual = float((train_targets if len(train_targets) else true).mean())
    return float(np.abs(true - usual).mean())


def headline(evaluation: RegressionEvaluation, context: ReportContext) -> Headline:
    """The mean absolute error beside the baseline's."""
    name = evaluation.task.names[0]
    if not evaluation.total:
        return not_evaluated(f"Mean absolute error: {name}")
    score, (low, high), base = evaluation.score, evaluation.interval, baseline_error(evaluation, context.train_targets)
    better = f"{percent(1 - score / base)} lower" if base > score else "not lower"
    interval = f"95 % confidence interval: {quantity(low)} to {quantity(high)}. " if np.isfinite(high) else ""
    return Headline(
        f"Mean absolute error: {name}",
        quantity(score),
        (
            Text(("Over ", Strong(images(evaluation.total)), *evaluated_on(evaluation.part))),
            Text(
                f"{interval}Always predicting the mean of the "
                f"training targets has an error of {quantity(base)}; this run's is {better}.",
                "quiet",
            ),
            Bars((("this run", score), ("mean baseline", base)), "digits"),
        ),
    )


def report_sections(evaluation: RegressionEvaluation, context: ReportContext) -> tuple[Section, ...]:
    """Predicted against true values, and the largest errors."""
    return fit_section(evaluation), errors_section(evaluation, context.examples)


def fit_section(evaluation: RegressionEvaluation) -> Section:
    """The scatter of predicted by true values, the residuals, and further metrics."""
    title, anchor = "Predicted vs. true", "numbers"
    if not evaluation.total:
        return Section(anchor, title, (Text("No images were held out.", "quiet"),))
    name, residuals = evaluation.task.names[0], evaluation.residuals()
    bias = float(residuals.mean())
    facts = Facts(
        (
            Fact("Median absolute error", quantity(float(np.median(np.abs(residuals))))),
            Fact("Root mean square error", quantity(float(np.sqrt(np.square(residuals).mean())))),
            Fact("R\u00b2", quantity(evaluation.r2)),
            Fact("Bias", f"{quantity(abs(bias))} too {'high' if bias > 0 else 'low'}"),
        )
    )
    predicted = evaluation.predictions[:, 0]
    drawn = Grid(
        (
            Scatter(f"Predicted by true {name}", evaluation.targets, predicted, f"true {name}", diagonal=True),
            Histogram("Residuals (predicted less true)", residuals, "too low", "too high"),
        )
    )
    lead = "Each dot is a held-out image; on the dashed line the prediction is exact."
    return Section(anchor, title, (facts, drawn), lead)


def errors_section(evaluation: RegressionEvaluation, examples: Sequence[Example]) -> Section:
    """The images of the largest errors."""
    title, anchor = "Largest errors", "mistakes"
    if not examples:
        return Section(anchor, title, (Text("No pictures of them are available.", "quiet"),))
    lead = "The largest absolute errors first. Check each: is the given value right?"
    return Section(anchor, title, (Gallery(tuple(_picture(evaluation, one) for one in examples[:SHOWN])),), lead)


def _picture(evaluation: RegressionEvaluation, example: Example) -> Picture:
    predicted, true = float(evaluation.predictions[example.row, 0]), float(evaluation.targets[example.row])
    caption = ("predicted\u00a0", Strong(quantity(predicted)), ", true\u00a0", Strong(plain(true)))
    return Picture(example.image, caption, example.path)


def next_steps(evaluation: RegressionEvaluation, context: ReportContext) -> tuple[Step, ...]:
    """What to look at next, the most useful first."""
    if not evaluation.total:
        return ()
    steps, residuals = [], evaluation.residuals()
    base = baseline_error(evaluation, context.train_targets)
    if evaluation.interval[1] >= base:
        why = f"Always predicting the mean of the training targets has an error of {quantity(base)}."
        steps.append(Step("result", BEATEN, why, urgent=True))
    examples = context.examples
    if examples and not context.label_errors:
        worst = examples[0].row
        predicted, true = float(evaluation.predictions[worst, 0]), float(evaluation.targets[worst])
        why = f"The largest: predicted {quantity(predicted)}, given {plain(true)}. Is that value right?"
        steps.append(Step("mistakes", f"Check the {counted(len(examples), 'largest error')}", why))
    steps += _slope(evaluation)
    bias = float(residuals.mean())
    if abs(bias) > BIASED * evaluation.score > 0:
        title = f"Biased: predictions too {'high' if bias > 0 else 'low'}"
        steps.append(Step("numbers", title, f"By {quantity(abs(bias))} on average."))
    return tuple(steps)


def _slope(evaluation: RegressionEvaluation) -> list[Step]:
    true, predicted = np.asarray(evaluation.targets, np.float64), evaluation.predictions[:, 0].astype(np.float64)
    if len(true) < 3 or not true.std() > 0:
        return []
    slope = float(np.cov(true, predicted)[0, 1] / true.var(ddof=1))
    if slope >= SHRUNK:
        return []
    why = "Large values are predicted too low and small ones too high: more images of both help most."
    return [Step("numbers", "Predictions shrink towards the mean", why)]
