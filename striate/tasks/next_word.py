"""The next word of a caption, given those before it: what a captioner is trained on (teacher forcing)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.tasks.base import Evaluation, Task
from striate.tasks.losses import Array, CrossEntropy, Floats, Loss
from striate.tasks.metrics import percent, wilson
from striate.tasks.values import Answer, Metric, Predictions, Target, Targets, Wording, or_none
from striate.tasks.words import PAD, UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WordCrossEntropy(Loss):
    """The mean cross-entropy of a caption's words: logits [N, T, words], targets [N, T] of numbers, PAD left out."""

    label_smoothing: float = 0.0
    averages_outputs: ClassVar[bool] = False

    def numpy(self, logits: Floats, targets: Array) -> tuple[Floats, Floats]:
        """Not for captions: there is no linear head on one vector for each image. Raises RequestError."""
        raise RequestError("captions are trained by gradient steps: they have no linear head on one vector an image")

    def curvature(self, logits: Floats, targets: Array) -> Floats:
        """As `numpy`."""
        raise RequestError("captions are trained by gradient steps: they have no linear head on one vector an image")

    def torch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses [N]. Raises RequestError for shapes that do not fit."""
        import torch.nn.functional as F

        if logits.ndim != 3 or targets.shape != logits.shape[:2]:
            given = f"{list(logits.shape)} and {list(targets.shape)}"
            raise RequestError(f"cross entropy of words takes logits [N, T, words] and targets [N, T], not {given}")
        losses = F.cross_entropy(
            logits.float().transpose(1, 2), targets, ignore_index=PAD, reduction="none",
            label_smoothing=self.label_smoothing,
        )  # fmt: skip
        return losses.sum(1) / (targets != PAD).sum(1).clamp_min(1)

    def chance(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The entropy of the words' shares."""
        words = targets[targets != PAD]
        return CrossEntropy(self.label_smoothing).chance(words, outputs) if len(words) else math.nan

    def floor(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The entropy of one smoothed target."""
        return CrossEntropy(self.label_smoothing).floor(np.zeros(1, np.int64), outputs)

    def untrained(self, outputs: int) -> tuple[float, str] | None:
        """ln(words)."""
        return math.log(outputs), f"ln {outputs}"


class NextWordEvaluation(Evaluation):
    """The share of next words that are right, given the true words before; predictions and targets int [N, T]."""

    @property
    def by_caption(self) -> NDArray[np.int64]:
        """Right words and words of each caption: int64 [N, 2]."""
        counted = self.targets != PAD
        return np.stack([(counted & (self.predictions == self.targets)).sum(axis=1), counted.sum(axis=1)], axis=1)

    @property
    def score(self) -> float:
        """Right words over all words, ends included."""
        right, words = self.by_caption.sum(axis=0)
        return float(right / words) if words else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's."""
        right, words = self.by_caption.sum(axis=0).tolist()
        return wilson(right, words)

    def lines(self) -> list[str]:
        """The share."""
        return [f"Next-word accuracy {percent(self.score)} ({self.where()})"]

    def details(self) -> dict[str, Any]:
        """The share."""
        return {"word_accuracy": or_none(self.score)}

    def errors(self) -> NDArray[np.float64]:
        """The share of wrong words of each caption."""
        right, words = self.by_caption.T
        return np.asarray(1 - right / np.maximum(1, words))


@dataclass(frozen=True)
class NextWord(Task):
    """The next word, one of `names`. Targets are captions as numbers of words, int64 [N, T]: see `words.encoded`.

    It is what a step of training predicts, and no task of a model file.
    """

    kind: ClassVar[str] = "next-word"
    metric: ClassVar[Metric] = Metric("next-word accuracy", "word_accuracy", "word_accuracy", share=True)
    wording: ClassVar[Wording] = Wording("word", "words", "the caption", "change it", "", names_listed=False)
    losses: ClassVar[tuple[str, ...]] = ("cross-entropy",)
    evaluation: ClassVar[type[Evaluation]] = NextWordEvaluation
    activation: ClassVar[str] = "softmax"
    net_kind: ClassVar[str] = "captioner"

    def collate(self, targets: Iterable[Target]) -> Targets:
        """int64 [N, T]."""
        return np.array(list(targets), np.int64)

    def is_target(self, target: Target) -> bool:
        """Whether it is a tuple of numbers."""
        return isinstance(target, tuple) and all(type(number) is int for number in target)

    def text(self, target: Target) -> str:
        """The words."""
        return " ".join(self.names[number] for number in target if number >= 0)

    def check_targets(self, targets: Targets) -> None:
        """Raise RequestError unless they are numbers of words, int64 [N, T], or of several each [N, captions, T]."""
        if targets.dtype != np.int64 or targets.ndim not in (2, 3):
            raise RequestError(f"captions are int64 [N, T], not {targets.dtype} {list(targets.shape)}")
        if targets.size and not PAD <= int(targets.min()) <= int(targets.max()) < self.outputs:
            raise RequestError(f"captions have the words 0 to {self.outputs - 1}, and {PAD} behind their end")

    def loss(
        self,
        name: str | None = None,
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        """The cross-entropy of the words."""
        self.loss_name(name)
        return WordCrossEntropy(label_smoothing)

    def predictions(self, logits: NDArray[np.float32]) -> Predictions:
        """Logits [N, T, words] -> the most probable words, int64 [N, T], never UNKNOWN."""
        known = logits.copy()
        known[..., self.names.index(UNKNOWN)] = -np.inf
        return np.asarray(known.argmax(axis=-1))

    def answer(self, prediction: NDArray[Any]) -> Answer:
        """The words as text."""
        text = self.text(tuple(prediction.tolist()))
        return Answer(text, math.nan, np.zeros(0, np.float32), None, text, {})
