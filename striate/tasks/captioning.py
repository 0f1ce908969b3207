"""Captioning: a sentence for each image. The target of an image is the tuple of its reference captions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable
from striate.sections import Headline, Section, Step
from striate.tasks import captioning_evaluation as report
from striate.tasks.base import Evaluation, Task
from striate.tasks.captioning_evaluation import CaptioningEvaluation
from striate.tasks.losses import Loss
from striate.tasks.next_word import NextWord
from striate.tasks.report_common import ReportContext
from striate.tasks.values import Agreement, Answer, Metric, Predictions, Target, Targets, Wording
from striate.tasks.words import SPECIAL, caption_of, words_of


@dataclass(frozen=True)
class Captioning(Task):
    """A caption for each image. `names` is the vocabulary: END, UNKNOWN and the words that can be said.

    Targets are tuples of captions as people wrote them; collated they are text [N, references], "" where an image has
    fewer. Predictions are numbers of words, int64 [N, T], found by the network's beam search.
    """

    kind: ClassVar[str] = "captioning"
    metric: ClassVar[Metric] = Metric("BLEU-4", "bleu4", "word_accuracy", share=True)
    wording: ClassVar[Wording] = Wording(
        one="caption",
        many="captions",
        target="the captions",
        relabel="change the captions\u2026",
        hint="captions are changed in their file",
        names_listed=False,
    )
    losses: ClassVar[tuple[str, ...]] = NextWord.losses
    evaluation: ClassVar[type[Evaluation]] = CaptioningEvaluation
    net_kind: ClassVar[str] = "captioner"
    searched: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.names[: len(SPECIAL)] != SPECIAL:
            raise RequestError(f"a vocabulary begins with {' and '.join(SPECIAL)}, not {self.names[0]!r}")

    def collate(self, targets: Iterable[Target]) -> Targets:
        """Text [N, references]."""
        found = list(targets)
        width = max(map(len, found), default=1)
        return np.array([[*captions, *[""] * (width - len(captions))] for captions in found], np.str_)

    def is_target(self, target: Target) -> bool:
        """Whether it is a tuple of captions that have words."""
        return isinstance(target, tuple) and bool(target) and all(isinstance(o, str) and words_of(o) for o in target)

    def check_targets(self, targets: Targets) -> None:
        """Raise RequestError unless they are text [N, references]."""
        if targets.dtype.kind != "U" or targets.ndim != 2:
            raise RequestError(f"captions are text [N, references], not {targets.dtype} {list(targets.shape)}")

    def text(self, target: Target) -> str:
        """The first caption."""
        return str(target[0])

    def written(self, target: Target) -> str:
        """Nothing: captions are changed in their file."""
        return ""

    @property
    def counted(self) -> tuple[str, ...]:
        """All images together, not each word."""
        return (self.wording.many,)

    def indices(self, target: Target) -> tuple[int, ...]:
        """The only one."""
        return (0,)

    def contradictory(self, targets: Sequence[Target]) -> bool:
        """Never: an image can be described in many ways."""
        return False

    def describe(self) -> str:
        """The size of the vocabulary."""
        return f"with captions of {len(self.names) - len(SPECIAL):,} different words"

    def distribution(self, targets: Sequence[Target]) -> str:
        """How many captions an image has, and how long they are."""
        counts = sorted(len(target) for target in targets)
        lengths = [len(words_of(caption)) for target in targets for caption in target]
        each = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
        return (
            f"{len(lengths):,} captions, {each} an image, of {min(lengths)} to {max(lengths)} words "
            f"(median {statistics.median_low(lengths)})."
        )

    def loss(
        self,
        name: str | None = None,
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        """That of the next word."""
        return NextWord(self.names).loss(name, label_smoothing=label_smoothing)

    def predictions(self, logits: NDArray[np.float32]) -> Predictions:
        """What the network's search gives, numbers of words as floats [N, T] -> int64 [N, T]."""
        return logits.astype(np.int64)

    def no_predictions(self) -> Predictions:
        """int64 [0, 0]."""
        return np.zeros((0, 0), np.int64)

    def answer(self, prediction: NDArray[Any]) -> Answer:
        """The caption."""
        caption = caption_of(prediction, self.names)
        line = printable(caption) or "(no words)"
        return Answer(caption, math.nan, np.zeros(0, np.float32), None, line, {"caption": caption})

    def agreement(self, reference: Predictions, other: Predictions, *, ties: float = 0.0) -> Agreement:
        """The share of images with equal captions; of them that have other words."""
        apart = (reference != other).any(axis=1)
        return Agreement(float((~apart).mean()), float(apart.mean()), "captions")

    def headline(self, evaluation: CaptioningEvaluation, context: ReportContext) -> Headline:
        """See `captioning_evaluation`."""
        return report.headline(evaluation, context)

    def report_sections(self, evaluation: CaptioningEvaluation, context: ReportContext) -> tuple[Section, ...]:
        """See `captioning_evaluation`."""
        return report.report_sections(evaluation, context)

    def next_steps(self, evaluation: CaptioningEvaluation, context: ReportContext) -> tuple[Step, ...]:
        """See `captioning_evaluation`."""
        return report.next_steps(evaluation, context)
