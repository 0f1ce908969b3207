"""The report of a finished run: the sections of the task, and those of every task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from striate.data.sources.base import Source
from striate.jobs.reporting import atypical, cross_validation, data, label_errors, ood, training
from striate.jobs.reporting.details import details_section
from striate.jobs.reporting.inputs import input_section
from striate.jobs.reporting.learning_curve import learning_curve_section, learning_curve_step
from striate.jobs.reporting.pictures import NetworkInputs, Pictures
from striate.jobs.reporting.where import where_section
from striate.learning.label_errors import Suspects
from striate.learning.label_errors import label_errors as find_label_errors
from striate.learning.planning import Plan
from striate.learning.result import TrainResult
from striate.sections import Fact, Report, Section, Step
from striate.sections.wording import first_names, number
from striate.tasks import Evaluation, Task
from striate.tasks.report_common import Example, ReportContext, score_form

STEPS = 4  # most next steps


def run_report(source: Source, plan: Plan, result: TrainResult, timings: Mapping[str, float]) -> Report:
    """The content of report.html. timings: seconds by stage."""
    evaluation, evidence, split = result.evaluation, result.evidence, result.split
    task, audit, model = evaluation.task, result.split.audit, result.model
    pictures = NetworkInputs(source, audit.usable, model.pixels, task)
    errors = find_label_errors(audit, evidence.out_of_fold) if evidence.out_of_fold is not None else Suspects()
    examples = _examples(evaluation, split.measured_rows, task.report_examples, pictures)
    context = ReportContext(examples, split.targets(split.rows("train")), len(errors.likely))
    folds, found = _folds(result), evidence.ood
    unusual = atypical.atypical_section(evidence.distances, pictures)
    sections = (
        *task.report_sections(evaluation, context),
        where_section(model, evaluation, examples) if result.history else None,  # else no torch is loaded
        cross_validation.fold_section(folds) if folds else None,
        learning_curve_section(evidence.learning_curve) if evidence.learning_curve else None,
        label_errors.label_error_section(errors, pictures),
        unusual,
        ood.ood_section(found, ood.missed_images(found, model.pixels)) if found else None,
        input_section(split.rows("train"), evidence.views, pictures),
        data.data_section(audit, pictures),
        _training(result, timings),
        details_section(result.recipe.toml(), model.versions, result.notes),
    )
    steps = (
        *_unmeasured(evaluation),
        *training.remark_step(evidence.remarks),
        *data.leak_step(audit.findings),
        *label_errors.label_error_step(errors.likely),
        *task.next_steps(evaluation, context),
        *(ood.ood_step(found) if found else ()),
        *(cross_validation.fold_step(folds) if folds else ()),
        *learning_curve_step(evidence.learning_curve),
        *data.set_aside_step(audit),
        *atypical.atypical_step(unusual),
    )
    return Report(
        source.name,
        f"{len(audit.usable):,} images",
        task.headline(evaluation, context),
        most_useful(steps),
        _facts(plan, result),
        tuple(section for section in sections if section is not None),
    )


def most_useful(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The first STEPS, urgent ones before others; never empty."""
    ordered = sorted(steps, key=lambda step: not step.urgent)[:STEPS]
    return tuple(ordered) or (Step("input", "Look at the network input", "Check that nothing important is cropped."),)


def _unmeasured(evaluation: Evaluation) -> list[Step]:
    if evaluation.total:
        return []
    why = "Test performance can only be measured on images that are not trained on."
    return [Step("facts", "Hold out a validation split", why, urgent=True)]


def _examples(evaluation: Evaluation, rows: Sequence[int], limit: int, pictures: Pictures) -> tuple[Example, ...]:
    """Pictures of the worst predictions. rows: of the evaluated images, their indices in `audit.usable`."""
    worst = evaluation.worst(limit)
    crops = pictures.images(rows[row] for row in worst)
    return tuple(Example(row, pictures.path(rows[row]), crops[rows[row]]) for row in worst if rows[row] in crops)


def _folds(result: TrainResult) -> cross_validation.FoldScores | None:
    found = result.cross_validation
    if found is None:
        return None
    return cross_validation.FoldScores(
        [fold.total for fold in found.folds],
        [fold.score for fold in found.folds],
        found.pooled.score,
        found.pooled.interval,
        score_form(found.pooled.task.metric),
        found.pooled.task.metric.name.capitalize(),
    )


def _training(result: TrainResult, timings: Mapping[str, float]) -> Section:
    checks = result.evidence.checks
    return training.training_section(
        result.history,
        result.evidence.remarks,
        checks.lines if checks else (),
        checks.found if checks else None,
        tuple(result.facts.get("unfrozen", ())),
        timings,
    )


def _facts(plan: Plan, result: TrainResult) -> tuple[Fact, ...]:
    counts = Counter(result.split.parts)
    parts = " \u00b7 ".join(f"{part} {number(count)}" for part, count in counts.items())
    return (
        Fact("Images", number(sum(counts.values())), parts),
        names_fact(result.model.task),
        Fact("Network", result.model.net, result.engine),
        Fact("Training strategy", plan.strategy, plan.why, wide=True),
    )


def names_fact(task: Task) -> Fact:
    """The number and names of the classes or labels; or the name of the regression target."""
    if not task.wording.names_listed:
        return Fact("Target", first_names(task.counted))
    return Fact(task.wording.many.capitalize(), number(len(task.names)), first_names(task.names))
