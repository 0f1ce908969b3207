"""What a report says of a task that brings no report of its own: the headline metric, and the worst predictions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from striate.sections import Fact, Gallery, Headline, Picture, Section, Strong, Text
from striate.sections.wording import Format, first_names, formatted, images, number
from striate.tasks.report_common import ReportContext, evaluated_on, not_evaluated

if TYPE_CHECKING:
    from striate.tasks.base import Evaluation, Task
    from striate.tasks.values import Metric


def score_form(metric: Metric) -> Format:
    """How a value of the metric is written."""
    return "percent" if metric.share else "digits"


def headline(evaluation: Evaluation, context: ReportContext) -> Headline:
    """The task's metric with its interval."""
    metric, form = evaluation.task.metric, score_form(evaluation.task.metric)
    title = metric.name[:1].upper() + metric.name[1:]
    if not evaluation.total or math.isnan(evaluation.score):
        return not_evaluated(title)
    blocks = [Text(("Over ", Strong(images(evaluation.total)), *evaluated_on(evaluation.part)))]
    if all(map(math.isfinite, evaluation.interval)):
        low, high = (formatted(end, form) for end in evaluation.interval)
        blocks.append(Text(f"95 % confidence interval: {low} to {high}.", "quiet"))
    return Headline(title, formatted(evaluation.score, form), tuple(blocks))


def report_sections(evaluation: Evaluation, context: ReportContext) -> tuple[Section, ...]:
    """The worst predictions; none without a picture of one."""
    if not context.examples:
        return ()
    answer = evaluation.task.answer
    pictures = tuple(
        Picture(one.image, ("predicted ", Strong(answer(evaluation.predictions[one.row]).label)), one.path)
        for one in context.examples
    )
    return (Section("mistakes", "Worst errors", (Gallery(pictures),), "The worst predictions first."),)


def names_fact(task: Task) -> Fact:
    """How many classes or labels there are, and which; or the name of what is predicted."""
    if not task.wording.names_listed:
        return Fact("Target", first_names(task.names))
    return Fact(task.wording.many.capitalize(), number(len(task.names)), first_names(task.names))
