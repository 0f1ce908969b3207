"""The interface of a task: what a model predicts, for every step from data to export.

A task is a value: a frozen dataclass with the names of its outputs. Data sources have a task, and the head's width, the
loss, predictions, evaluation, report and export follow from it. A new task is one class, and `register`.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable, unknown
from striate.sections import Gallery, Headline, Picture, Section, Step, Strong, Text
from striate.sections.wording import formatted, images
from striate.tasks.losses import Loss, Standardisation
from striate.tasks.report_common import SHOWN, ReportContext, evaluated_on, not_evaluated, score_form
from striate.tasks.values import (
    ACTIVATIONS,
    Agreement,
    Answer,
    LabelError,
    Metric,
    MetricFunction,
    Predictions,
    Strata,
    Target,
    Targets,
    Wording,
    or_none,
)

APART = 0.05  # of the predictions' spread: regression outputs that differ by less agree
FITTED = 0.1  # of the targets' scale: an error below it counts as fitted
NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Evaluation(ABC):
    """The evaluation of the predictions for the images of a part.

    predictions: float32 [N, outputs], as `Task.predictions` gives them. targets: as `Task.collate` gives them.
    thresholds [N, outputs]: decision thresholds per image, if they differ from the task's. extras: custom metrics.
    """

    part: str
    task: Task
    predictions: Predictions
    targets: Targets
    thresholds: NDArray[np.float64] | None = None
    extras: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Evaluated images."""
        return len(self.targets)

    @property
    @abstractmethod
    def score(self) -> float:
        """The task's headline metric; NaN if nothing was evaluated."""

    @property
    @abstractmethod
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""

    @abstractmethod
    def lines(self) -> list[str]:
        """The metrics as text, the headline first."""

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """The metrics as JSON values, besides the part and its number of images; `Metric.key` is among them."""

    @abstractmethod
    def errors(self) -> NDArray[np.float64]:
        """How wrong each prediction is, [N]; 0 where it is right."""

    @property
    def image_scores(self) -> NDArray[np.float64] | None:
        """The score of each image [N], of which `score` is the mean; None for a score that is no mean of them."""
        return None

    def outcomes(self) -> NDArray[np.float64]:
        """What `evaluated.csv` has of each image, [N]: 1 for right and 0 for wrong, or the error of a quantity."""
        errors = self.errors()
        return (errors == 0).astype(np.float64) if self.task.metric.share else errors

    def rows(self) -> dict[str, str]:
        """Metrics by name, such as each class's recall, as text."""
        return {}

    def worst(self, limit: int) -> list[int]:
        """Indices of the worst predictions, the worst first."""
        errors = self.errors()
        return [int(row) for row in np.argsort(-errors, kind="stable")[:limit] if errors[row] > 0]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        extras = {name: or_none(value) for name, value in self.extras.items()}
        return {"part": self.part, "task": self.task.kind, "total": self.total, **self.details(), **extras}

    def where(self) -> str:
        """The evaluated images as text."""
        return f"{self.total:,} {self.part or 'given'} images"


@dataclass(frozen=True)
class Task(ABC):
    """names: of the outputs, in order: the classes, the labels, or the quantities.

    The class variables say what holds for every task of the kind. kind: in model files, packs and JSON. losses: those
    it may be trained with, the default first. activation: from logits to predictions: "softmax", "sigmoid" or
    "identity". output_name: of the predictions in an exported graph. one_class: each image has exactly one of `names`,
    and its target is that name's index; such classes can be balanced, and sets of images split by them.
    dense: each image has many predictions, and its targets are moved with it: masks, uint8 [N, H, W], which are read
    with the images, so that the target of an image only says what is in its mask; or, where `boxes` says so, the rows
    of `detection_arrays`. searched: predictions are found by a search, step by step, which torch runs; no graph of one
    pass. net_kind: of the networks that predict it, of `nets.catalog.KINDS`.
    report_examples: how many of the worst predictions a report takes the pictures of.
    """

    names: tuple[str, ...]

    kind: ClassVar[str]
    metric: ClassVar[Metric]
    wording: ClassVar[Wording]
    losses: ClassVar[tuple[str, ...]]
    evaluation: ClassVar[type[Evaluation]]
    activation: ClassVar[str] = "identity"
    output_name: ClassVar[str] = "numbers"
    one_class: ClassVar[bool] = False
    dense: ClassVar[bool] = False
    boxes: ClassVar[bool] = False
    searched: ClassVar[bool] = False
    net_kind: ClassVar[str] = "classifier"
    report_examples: ClassVar[int] = SHOWN

    def __post_init__(self) -> None:
        if not self.names:
            raise RequestError(f"a task of kind {self.kind!r} needs names")

    # Targets

    @property
    def masks(self) -> bool:
        """Whether what is trained on are masks."""
        return self.dense and not self.boxes

    @property
    def outputs(self) -> int:
        """The number of network outputs per image."""
        return len(self.names)

    @property
    def by_steps(self) -> bool:
        """Whether it is trained by gradient steps whatever the strategy: there is no head that is fitted."""
        return self.dense or self.searched

    @abstractmethod
    def collate(self, targets: Iterable[Target]) -> Targets:
        """Targets as an array, to train with and to evaluate against."""

    @abstractmethod
    def is_target(self, target: Target) -> bool:
        """Whether this is a target of the task: used where targets come out of a file."""

    @abstractmethod
    def text(self, target: Target) -> str:
        """A target as text, as in reports and split.csv."""

    def written(self, target: Target) -> str:
        """A target as text in a decisions file; "" if it has no text form."""
        return self.text(target)

    def parsed(self, text: str, index: Callable[[str], int]) -> Target:
        """The target of a text in a decisions file. `index` gives the index of a name, and may add new names.

        Raises ValueError, with the reason, for an invalid text.
        """
        raise ValueError(f"{text[:60]!r}: targets of the task {self.kind!r} are not read from text")

    @property
    def counted(self) -> tuple[str, ...]:
        """What images are counted by, such as the classes: what `indices` are places of."""
        return self.names

    def indices(self, target: Target) -> tuple[int, ...]:
        """Indices, in `counted`, of the names that a target has or is about."""
        return tuple(range(self.outputs))

    def contradictory(self, targets: Sequence[Target]) -> bool:
        """Whether these cannot all be right for the same image: by default where they differ."""
        return len(set(targets)) > 1

    def reindexed(self, target: Target, index: Mapping[int, int]) -> Target:
        """The target where names have moved to other indices."""
        return target

    def with_names(self, names: Sequence[str]) -> Self:
        """The task with other names."""
        return dataclasses.replace(self, names=tuple(names))

    def check_targets(self, targets: Targets) -> None:
        """Raise RequestError for an array that cannot be trained with. By default: finite floats [N, outputs]."""
        if not np.issubdtype(targets.dtype, np.floating) or targets.ndim not in (1, 2):
            raise RequestError(f"targets must be floats [N] or [N, outputs], not {targets.dtype} {list(targets.shape)}")
        if not np.isfinite(targets).all():
            raise RequestError("targets must be finite, but one is not")

    def strata(self, targets: Targets) -> Strata:
        """The strata whose proportions a split preserves; by default none."""
        return Strata(np.ones((len(targets), 1), np.int64))

    def describe(self) -> str:
        """A description of a data set of this task: "in 2 classes"."""
        return f"with {self.wording.many} each: {', '.join(map(printable, self.names))}"

    def distribution(self, targets: Sequence[Target]) -> str:
        """The distribution of the targets, as a sentence, for tasks without class counts; else ""."""
        return ""

    def require_vectors(self, what: str) -> None:
        """Raise RequestError, for what is made for one vector an image, if the task is dense or searched.

        what: the reason, of masks.
        """
        if self.by_steps:
            what = what if self.dense else what.replace("masks", self.wording.many)
            raise RequestError(f"{what}: it is made for one prediction an image, and the task here is {self.kind!r}")

    # Training

    @abstractmethod
    def loss(
        self,
        name: str | None = None,
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        """The loss of that name; None: the task's own. targets: of the training images, where it needs a scale.

        label_smoothing, prior: of classes. Raises RequestError for a loss that does not go with the task.
        """

    def loss_name(self, name: str | None) -> str:
        """The loss that a name stands for. Raises RequestError for one that does not go with the task."""
        name = self.losses[0] if name is None else name
        if name not in self.losses:
            raise unknown(f"loss of the task {self.kind!r}", name, self.losses)
        return name

    def standardisation(self, targets: Targets, loss: str | None = None) -> Standardisation | None:
        """How targets are standardised for training with a loss, so that one learning rate serves all units.

        None where they are not: predictions then are no quantities.
        """
        return None

    def fitted(self, score: float, targets: Targets) -> bool:
        """Whether a value of the metric means that the training images are fitted: for the overfit-a-batch check."""
        if self.metric.share:
            return score >= 1
        found = self.standardisation(targets)
        return score <= FITTED * (float(np.mean(found.scale)) if found else 1.0)

    # Predictions

    def predictions(self, logits: NDArray[np.float32]) -> Predictions:
        """Logits [N, outputs] -> predictions [N, outputs]: probabilities, or the quantities themselves."""
        return ACTIVATIONS[self.activation](logits)

    def no_predictions(self) -> Predictions:
        """The predictions of no image."""
        return np.zeros((0, self.outputs), np.float32)

    @abstractmethod
    def answer(self, prediction: NDArray[Any]) -> Answer:
        """One image's prediction, a row of `predictions`, as text."""

    @property
    def decision_thresholds(self) -> tuple[float, ...]:
        """The probability from which each name counts as predicted; empty where the task has no thresholds."""
        return ()

    def with_thresholds(self, predictions: Predictions, targets: Targets) -> Self:
        """The task with decision thresholds chosen on these predictions; the same task where it has none."""
        return self

    def with_decision_thresholds(self, thresholds: tuple[float, ...]) -> Self:
        """The task with these decision thresholds, one per name; the same task where it has none."""
        return self

    def agreement(self, reference: Predictions, other: Predictions, *, ties: float = 0.0) -> Agreement:
        """How far `other` agrees with `reference`. ties: probabilities this close count as equal.

        By default of quantities: the difference as a share of each output's spread.
        """
        spread = reference.std(axis=0)
        apart = np.abs(reference - other) / np.where(spread > 0, spread, 1)
        return Agreement(
            float((apart <= APART).all(axis=1).mean()),
            float(apart.max()),
            f"{self.wording.many} (in standard deviations)",
        )

    def label_errors(self, targets: Sequence[Target], predictions: Predictions) -> list[LabelError]:
        """Targets that are probably wrong, the most likely first; by default none.

        predictions [N, outputs]: by models that were not trained on the image. Source: Northcutt et al. 2021,
        arXiv:1911.00068.
        """
        return []

    def metadata(self) -> dict[str, str]:
        """What a user of an exported graph needs besides its names."""
        return {}

    # Evaluation

    def evaluate(
        self,
        part: str,
        predictions: Predictions,
        targets: Targets,
        *,
        thresholds: NDArray[np.float64] | None = None,
        metrics: Mapping[str, MetricFunction] = NONE,
    ) -> Evaluation:
        """Compare predictions [N, outputs] with targets.

        thresholds [N, outputs]: each image's own. metrics: own ones by name, each (predictions, targets) -> float.
        """
        predictions = predictions if len(targets) else self.no_predictions()
        extras = {name: float(metric(predictions, targets)) for name, metric in metrics.items()}
        return self.evaluation(part, self, predictions, targets, thresholds, extras)

    # Report

    def headline(self, evaluation: Any, context: ReportContext) -> Headline:
        """The headline of a report; by default the metric with its interval."""
        metric, form = self.metric, score_form(self.metric)
        title = metric.name[:1].upper() + metric.name[1:]
        if not evaluation.total or math.isnan(evaluation.score):
            return not_evaluated(title)
        blocks = [Text(("Over ", Strong(images(evaluation.total)), *evaluated_on(evaluation.part)))]
        if all(map(math.isfinite, evaluation.interval)):
            low, high = (formatted(end, form) for end in evaluation.interval)
            blocks.append(Text(f"95 % confidence interval: {low} to {high}.", "quiet"))
        return Headline(title, formatted(evaluation.score, form), tuple(blocks))

    def report_sections(self, evaluation: Any, context: ReportContext) -> tuple[Section, ...]:
        """The task's own sections of a report; by default the worst predictions, where there are pictures of them."""
        if not context.examples:
            return ()
        pictures = tuple(
            Picture(one.image, ("predicted ", Strong(self.answer(evaluation.predictions[one.row]).label)), one.path)
            for one in context.examples
        )
        return (Section("mistakes", "Worst errors", (Gallery(pictures),), "The worst predictions first."),)

    def next_steps(self, evaluation: Any, context: ReportContext) -> tuple[Step, ...]:
        """Next steps, the most useful first; by default none."""
        return ()

    # Files

    def as_dict(self) -> dict[str, Any]:
        """All except the names as JSON values; files store the names separately."""
        return {"kind": self.kind}

    @classmethod
    def from_dict(cls, values: dict[str, Any], names: tuple[str, ...]) -> Self:
        """The task of what `as_dict` gave, less the kind. Raises RequestError for anything else."""
        if values:
            raise RequestError(f"a task of kind {cls.kind!r} has no {', '.join(map(repr, values))}")
        return cls(names)
