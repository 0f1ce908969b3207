"""A finished run as a report: the task's own sections, and those that every task has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from striate.data.sources.base import Source
from striate.jobs.learning.learned import Learned
from striate.jobs.learning.suspects import suspects
from striate.jobs.measure import Measured
from striate.jobs.reporting import atypical, cross_validation, data, label_errors, ood, training
from striate.jobs.reporting.details import details_section
from striate.jobs.reporting.inputs import input_section
from striate.jobs.reporting.pictures import NetworkInputs, Pictures
from striate.model import Model
from striate.recipe import Recipe
from striate.sections import Fact, Report, Section, Step
from striate.sections.wording import first_names, number
from striate.tasks import report_classification, report_multilabel, report_regression
from striate.tasks.report_common import Example, ReportContext, names_fact
from striate.transfer.strategy import Plan

STEPS = 4  # of what to look at next
REPORTS = {"class": report_classification, "labels": report_multilabel, "number": report_regression}


def run_report(
    source: Source,
    plan: Plan,
    recipe: Recipe,
    learned: Learned,
    measured: Measured,
    model: Model,
    timings: Mapping[str, float],
) -> Report:
    """The content of report.html. timings: seconds by stage."""
    task, audit = REPORTS[model.task.kind], learned.audit
    pictures = NetworkInputs(source, audit.usable, model.pixels, model.task)
    errors = suspects(audit, learned.unseen) if learned.unseen is not None else []
    examples = _examples(measured, learned.measured_rows, task.EXAMPLES, pictures)
    context = ReportContext(examples, learned.lots.targets(learned.lots.rows("train")), len(errors))
    folds = _folds(learned)
    unusual = atypical.atypical_section(learned.distances, pictures)
    sections = [
        *task.report_sections(measured, context),
        cross_validation.fold_section(folds) if folds else None,
        label_errors.label_error_section(errors, pictures),
        unusual,
        ood.ood_section(learned.strangers, ood.missed_images(learned.strangers, model.pixels))
        if learned.strangers
        else None,
        input_section(learned.lots.rows("train"), learned.views, pictures),
        data.data_section(audit, pictures),
        _training(learned, timings),
        details_section(recipe.toml(), model.versions, learned.notes),
    ]
    steps = [
        *_unmeasured(measured),
        *training.remark_step(learned.remarks),
        *data.leak_step(audit.findings),
        *label_errors.label_error_step(errors),
        *task.next_steps(measured, context),
        *(ood.ood_step(learned.strangers) if learned.strangers else ()),
        *(cross_validation.fold_step(folds) if folds else ()),
        *data.set_aside_step(audit),
        *atypical.atypical_step(unusual),
    ]
    return Report(
        source.name,
        f"{len(audit.usable):,} images",
        task.headline(measured, context),
        most_useful(steps),
        _facts(plan, learned, model),
        tuple(section for section in sections if section is not None),
    )


def most_useful(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The first STEPS, urgent ones before others; never empty."""
    ordered = sorted(steps, key=lambda step: not step.urgent)[:STEPS]
    return tuple(ordered) or (Step("input", "Look at the network input", "Check that nothing important is cropped."),)


def _unmeasured(measured: Measured) -> list[Step]:
    if measured.total:
        return []
    why = "Test performance can only be measured on images that are not trained on."
    return [Step("facts", "Hold out a validation split", why, urgent=True)]


def _examples(measured: Measured, rows: Sequence[int], limit: int, pictures: Pictures) -> tuple[Example, ...]:
    """Pictures of the worst predictions. rows: of the evaluated images, their indices in `audit.usable`."""
    worst = measured.worst(limit)
    crops = pictures.images(rows[row] for row in worst)
    return tuple(Example(row, pictures.path(rows[row]), crops[rows[row]]) for row in worst if rows[row] in crops)


def _folds(learned: Learned) -> cross_validation.FoldScores | None:
    folds = learned.by_fold
    if not folds:
        return None
    pooled = learned.cross_validated
    return cross_validation.FoldScores(
        [fold.total for fold in folds],
        [fold.score for fold in folds],
        pooled.score,
        pooled.interval,
        "number" if pooled.task.kind == "number" else "percent",
    )


def _training(learned: Learned, timings: Mapping[str, float]) -> Section:
    checks = learned.checks
    return training.training_section(
        learned.curve,
        learned.remarks,
        checks.lines if checks else (),
        checks.found if checks else None,
        tuple(learned.facts.get("unfrozen", ())),
        timings,
    )


def _facts(plan: Plan, learned: Learned, model: Model) -> tuple[Fact, ...]:
    counts = Counter(learned.lots.parts)
    parts = " \u00b7 ".join(f"{part} {number(count)}" for part, count in counts.items())
    return (
        Fact("Images", number(sum(counts.values())), parts),
        _names_fact(model),
        Fact("Network", model.net, learned.engine),
        Fact("Training strategy", plan.strategy, plan.why, wide=True),
    )


def _names_fact(model: Model) -> Fact:
    title = {"class": "Classes", "labels": "Labels", "number": ""}[model.task.kind]
    return names_fact(title, model.classes) if title else Fact("Target", first_names(model.classes))
