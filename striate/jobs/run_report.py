"""From a finished run to the page's content: counts, examples and thumbnails as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from striate.data.audit.audit import Audit
from striate.data.audit.looking import look
from striate.data.sources.base import Source
from striate.learning.label_errors import label_errors
from striate.learning.planning import Plan
from striate.learning.result import TrainResult
from striate.model import Model
from striate.pixels import Images
from striate.report.run import content
from striate.report.run.content import RunReport
from striate.tasks import Evaluation
from striate.tasks.classification import ClassificationEvaluation
from striate.tasks.metrics import calibration, precision_recall
from striate.tasks.multilabel import MultilabelEvaluation
from striate.tasks.regression import RegressionEvaluation

SEEN = 8  # training images shown as the network sees them
WORST = 12  # mistakes shown first
OPENED = 220  # further mistakes, behind the cells of the confusion matrix
DOUBTFUL = 24
ATYPICAL = 12
UNLIKE = 1.5  # times as far from its nearest ones as half of the images are
PICTURED = 8  # files of a finding that are shown
VIEWED = 3  # training images shown as augmentation varies them
TAKEN = 12  # strangers taken for a class


def run_report(source: Source, plan: Plan, result: TrainResult, timings: dict[str, float]) -> RunReport:
    """The content of report.html."""
    model, measured, evidence, recipe = result.model, result.evaluation, result.evidence, result.recipe
    found = result.split.audit
    pictures = _Pictures(source, model, found)
    folds = result.cross_validation.folds if result.cross_validation else ()
    return RunReport(
        title=source.name,
        data=f"{len(found.usable):,} images",
        net=model.net,
        strategy=plan.strategy,
        why=plan.why,
        classes=model.classes,
        task_kind=model.task.kind,
        images=Counter(result.split.parts),
        held_out=measured.part,
        total=measured.total,
        **_of_task(result, measured, pictures),
        doubtful=_doubtful(result, pictures),
        atypical=_atypical(result, pictures),
        folds=tuple(content.Fold(n, fold.total, fold.score) for n, fold in enumerate(folds, 1)),
        pooled=_pooled(result),
        strangers=_strangers(result, model),
        seen=_seen(result, pictures),
        views=_views(result, pictures),
        findings=_findings(found, pictures),
        set_aside=tuple((oddity.path, f"{oddity.kind}: {oddity.why}") for oddity in found.set_aside),
        curve=tuple(result.history),
        remarks=tuple(content.Remark(one.what, one.seen, one.do) for one in evidence.remarks),
        checks=evidence.checks.lines if evidence.checks else (),
        finder=_finder(result),
        unfrozen=tuple(result.facts.get("unfrozen", ())),
        timings=tuple(timings.items()),
        engine=result.engine,
        recipe=recipe.toml(),
        versions=model.versions,
        notes=tuple(result.notes),
    )


def _finder(result: TrainResult) -> content.Finder | None:
    checks = result.evidence.checks
    found = checks.found if checks else None
    return content.Finder(found.rates, found.losses, found.low, found.high, found.rate) if found else None


class _Pictures:
    """Images as the network sees them, decoded a second time: the few that are shown, each once."""

    def __init__(self, source: Source, model: Model, found: Audit) -> None:
        self.usable = found.usable
        self.model = model
        self._source = source
        self._crops: dict[str, Images] = {}

    def of(self, places: Iterable[int]) -> dict[int, Images]:
        """Pictures by place in `usable`; without those that can no longer be read."""
        places = list(places)
        missing = [self.usable[place].item for place in places if self.usable[place].item.key not in self._crops]
        for looked in look(self._source, self.model.pixels, items=missing):
            if looked.crop is not None:
                self._crops[looked.item.key] = _shown(looked.crop)
        return {place: self._crops[key] for place in places if (key := self.usable[place].item.key) in self._crops}

    def truth(self, place: int) -> str:
        """What is true of it, in words."""
        return self.model.task.text(self.usable[place].item.target)


def _shown(crop: Images) -> Images:
    return crop[..., 0] if crop.shape[-1] == 1 else crop


def _of_task(result: TrainResult, measured: Evaluation, pictures: _Pictures) -> dict[str, Any]:
    """The fields of the page that go with the task."""
    places = result.split.measured_rows
    worst = measured.worst(WORST + OPENED if isinstance(measured, ClassificationEvaluation) else WORST)
    crops = pictures.of(places[row] for row in worst)
    shown = [(row, places[row], crops[places[row]]) for row in worst if places[row] in crops]
    keys = {place: pictures.usable[place].item.key for _, place, _ in shown}
    if isinstance(measured, ClassificationEvaluation):
        predicted = measured.predicted
        examples = [
            content.Example(
                keys[place],
                crop,
                pictures.truth(place),
                measured.task.names[predicted[row]],
                float(measured.predictions[row, predicted[row]]),
            )
            for row, place, crop in shown
        ]
        return _of_classes(measured) | {"mistakes": tuple(examples[:WORST]), "answers": tuple(examples[WORST:])}
    if isinstance(measured, MultilabelEvaluation):
        given = measured.predicted
        mistakes = [
            content.LabelMistake(
                keys[place], crop, _names(measured, measured.targets[row]), _names(measured, given[row])
            )
            for row, place, crop in shown
        ]
        return _of_labels(measured) | {"label_mistakes": tuple(mistakes)}
    if not isinstance(measured, RegressionEvaluation):
        return {}
    missed = [
        content.NumberMistake(keys[place], crop, float(measured.targets[row]), float(measured.predictions[row, 0]))
        for row, place, crop in shown
    ]
    trained = result.split.targets(result.split.rows("train"))
    numbers = content.Numbers(
        name=measured.task.names[0],
        truth=measured.targets,
        predicted=measured.predictions[:, 0],
        usual=float(trained.mean()) if len(trained) else None,
        mistakes=tuple(missed),
    )
    return {"numbers": numbers}


def _of_classes(measured: ClassificationEvaluation) -> dict[str, Any]:
    sure = measured.predictions.max(axis=1) if measured.total else np.zeros(0)
    return {
        "correct": measured.correct,
        "accuracy": measured.accuracy,
        "interval": measured.interval,
        "balanced_accuracy": measured.balanced_accuracy,
        "confusion": measured.confusion,
        "calibration": calibration(sure, measured.predicted == measured.targets) if measured.total else None,
    }


def _of_labels(measured: MultilabelEvaluation) -> dict[str, Any]:
    task = measured.task
    scores, curves = [], []
    for place, (name, ranked) in enumerate(zip(task.names, measured.average_precisions, strict=True)):
        positives = int(measured.targets[:, place].sum()) if measured.total else 0
        figures = measured.at_threshold(place) if measured.total else (np.nan,) * 3
        scores.append(
            content.LabelScore(name, positives, float(ranked), task.decision_thresholds[place], *map(float, figures))
        )
        if positives:
            points = precision_recall(measured.predictions[:, place], measured.targets[:, place])
            curves.append(content.LabelCurve(name, *points))
    return {
        "correct": measured.all_right if measured.total else 0,
        "label_scores": tuple(scores),
        "label_curves": tuple(curves),
    }


def _names(measured: Evaluation, row: Any) -> tuple[str, ...]:
    return tuple(name for name, has in zip(measured.task.names, row, strict=True) if has)


def _doubtful(result: TrainResult, pictures: _Pictures) -> tuple[content.Doubtful, ...]:
    found = label_errors(result.split.audit, unseen) if (unseen := result.evidence.out_of_fold) is not None else []
    crops = pictures.of(suspect.index for suspect in found[:DOUBTFUL])
    return tuple(
        content.Doubtful(
            pictures.usable[one.index].item.key,
            crops.get(one.index),
            one.label,
            one.suggested,
            one.label_probability,
            one.suggested_probability,
        )
        for one in found
    )


def _atypical(result: TrainResult, pictures: _Pictures) -> tuple[content.Atypical, ...]:
    distances = result.evidence.distances
    if distances is None:
        return ()
    far = np.flatnonzero(distances >= UNLIKE)
    places = far[np.argsort(-distances[far], kind="stable")][:ATYPICAL].tolist()
    crops = pictures.of(places)
    return tuple(
        content.Atypical(pictures.usable[place].item.key, crops[place], pictures.truth(place), float(distances[place]))
        for place in places
        if place in crops
    )


def _pooled(result: TrainResult) -> content.Pooled | None:
    if result.cross_validation is None:
        return None
    together = result.cross_validation.pooled
    return content.Pooled(together.score, together.interval)


def _strangers(result: TrainResult, model: Model) -> content.Strangers | None:
    met = result.evidence.ood
    if met is None:
        return None
    facts = met.as_dict()
    near = [
        place
        for place in np.argsort(met.out_of_distribution).tolist()
        if met.out_of_distribution[place] <= met.threshold
    ][:TAKEN]
    chosen = {met.paths[place]: met.predicted[place] for place in near}
    items = [item for item in met.source.items if item.key in chosen]
    taken = [
        content.Taken(looked.item.key, _shown(looked.crop), chosen[looked.item.key])
        for looked in look(met.source, model.pixels, items=items)
        if looked.crop is not None
    ]
    return content.Strangers(
        folder=met.source.name,
        count=len(met.out_of_distribution),
        auroc=met.auroc,
        threshold=met.threshold,
        known_accepted=facts["in_distribution_accepted"],
        strangers_refused=facts["ood_rejected"],
        known=met.in_distribution,
        strangers=met.out_of_distribution,
        taken=tuple(taken),
    )


def _seen(result: TrainResult, pictures: _Pictures) -> tuple[content.Seen, ...]:
    trained = result.split.rows("train")
    chosen = np.random.default_rng(0).permutation(len(trained))[:SEEN]
    crops = pictures.of(trained[index] for index in sorted(chosen))
    return tuple(
        content.Seen(pictures.usable[place].item.key, crop, pictures.truth(place)) for place, crop in crops.items()
    )


def _views(result: TrainResult, pictures: _Pictures) -> tuple[content.Views, ...]:
    """Some training images as augmentation varies them, where they were varied."""
    if result.evidence.views is None:
        return ()
    trained = result.split.rows("train")
    return tuple(
        content.Views(
            pictures.usable[place].item.key, pictures.truth(place), tuple(map(_shown, result.evidence.views(place)))
        )
        for place in trained[:: max(1, len(trained) // VIEWED)][:VIEWED]
    )


def _findings(found: Audit, pictures: _Pictures) -> tuple[content.Finding, ...]:
    place = {entry.item.key: number for number, entry in enumerate(found.usable)}
    told = []
    for one in found.findings:
        paths = [path for path in one.paths if path in place][:PICTURED] if one.action == "kept" else []
        crops = pictures.of(place[path] for path in paths)
        shown = {path: crops[place[path]] for path in paths if place[path] in crops}
        few = tuple(group[:20] for group in one.groups[:20])
        told.append(content.Finding(one.kind, len(one.paths), one.action, one.explanation, one.listed[:20], few, shown))
    return tuple(told)
