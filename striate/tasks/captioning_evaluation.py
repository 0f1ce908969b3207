"""The evaluation of captions: BLEU-1 to 4, CIDEr-D, distinct captions, and captions of the nearest training images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import printable
from striate.sections import Column, Fact, Facts, Gallery, Headline, Picture, Section, Step, Strong, Table, Text
from striate.sections.wording import images, percent
from striate.tasks.base import Evaluation
from striate.tasks.caption_scores import (
    ORDER,
    SMOOTHING,
    Statistics,
    bleu_of,
    bleu_statistics,
    cider_d,
    sentence_bleus,
)
from striate.tasks.metrics import bootstrap_interval
from striate.tasks.report_common import BEATEN, ReportContext, evaluated_on, not_evaluated
from striate.tasks.values import or_none
from striate.tasks.words import SPECIAL, TOKENISER, Words, caption_of, words_of

NEIGHBOURS = 5  # training images whose captions the baseline chooses from
SAME = 0.5  # the share of images with one caption from which that is told first
BASELINE = f"the caption that agrees best with all captions of the {NEIGHBOURS} nearest training images"


@dataclass(frozen=True)
class CaptionScores:
    """The figures of one caption for each of N images. statistics: of BLEU [N, 10]. cider: CIDEr-D of each [N]."""

    captions: tuple[str, ...]
    statistics: Statistics
    cider: NDArray[np.float64]

    @classmethod
    def of(cls, captions: Sequence[str], references: Sequence[Sequence[Words]]) -> CaptionScores:
        """Against the references of each image."""
        words = [words_of(caption) for caption in captions]
        return cls(tuple(captions), bleu_statistics(words, references), cider_d(words, references))

    def bleu(self, order: int = ORDER, rows: NDArray[np.int64] | None = None) -> float:
        """BLEU of n-grams up to `order`, from 0 to 1, of all images or some rows."""
        return bleu_of(self.statistics if rows is None else self.statistics[rows], order)

    @property
    def counts(self) -> Counter[str]:
        """How many images each caption is given to."""
        return Counter(self.captions)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        bleus = {f"bleu{order}": self.bleu(order) for order in range(1, ORDER + 1)}
        return {**bleus, "cider_d": float(self.cider.mean()), "distinct": len(self.counts)}


@dataclass(frozen=True, eq=False)
class CaptioningEvaluation(Evaluation):
    """BLEU-4 over the set; predictions int64 [N, T] of numbers of words, targets [N, references] of captions, "" for
    none. baseline: captions of the nearest training images, where those are known."""

    baseline: tuple[str, ...] | None = None

    @cached_property
    def references(self) -> list[list[Words]]:
        """The words of the captions of each image."""
        return [[words_of(one) for one in row.tolist() if one] for row in self.targets]

    @cached_property
    def captions(self) -> tuple[str, ...]:
        """The predicted caption of each image."""
        return tuple(caption_of(row, self.task.names) for row in np.asarray(self.predictions, np.int64))

    @cached_property
    def scores(self) -> CaptionScores:
        """The figures of the predicted captions."""
        return CaptionScores.of(self.captions, self.references)

    @cached_property
    def baseline_scores(self) -> CaptionScores | None:
        """The figures of the baseline."""
        return None if self.baseline is None else CaptionScores.of(self.baseline, self.references)

    @property
    def score(self) -> float:
        """BLEU-4, from 0 to 1."""
        return self.scores.bleu() if self.total else math.nan

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval over samples of the images with replacement."""
        return bootstrap_interval(lambda rows: self.scores.bleu(rows=rows), self.total)

    @cached_property
    def gain(self) -> tuple[float, float, float]:
        """BLEU-4 less that of the baseline, and its 95 % interval over samples of the images; NaN without one."""
        other = self.baseline_scores
        if other is None or not self.total:
            return math.nan, math.nan, math.nan
        low, high = bootstrap_interval(lambda rows: self.scores.bleu(rows=rows) - other.bleu(rows=rows), self.total)
        return self.scores.bleu() - other.bleu(), low, high

    def references_said(self) -> str:
        """How many captions the images have: "5 references each"."""
        counts = sorted({len(several) for several in self.references})
        if len(counts) == 1:
            return f"{counts[0]} reference{'s' if counts[0] > 1 else ''} each"
        return f"{counts[0]} to {counts[-1]} references each" if counts else "no references"

    def verdict(self) -> str:
        """Whether the captions are better than the nearest-neighbour captions; "" without those."""
        other, (gain, low, high) = self.baseline_scores, self.gain
        if other is None or not self.total:
            return ""
        words = "better than" if low > 0 else "worse than" if high < 0 else "not clearly better or worse than"
        return (
            f"{words} nearest-neighbour captions, which have BLEU-4 {points(other.bleu())}: {signed(gain)} "
            f"(95 %: {signed(low)} to {signed(high)}); CIDEr-D {self.scores.cider.mean():.2f} against "
            f"{other.cider.mean():.2f}"
        )

    def sameness(self) -> str:
        """How many captions are distinct, and the most frequent one."""
        counts = self.scores.counts
        ((first, times),) = counts.most_common(1)
        said = f"; {times:,} are {printable(first)!r}" if times > 1 else ""
        return f"{len(counts):,} distinct captions for {images(self.total)}{said}"

    def lines(self) -> list[str]:
        """BLEU, CIDEr-D, how they were computed, the baseline, distinct captions."""
        if not self.total:
            return ["No image was evaluated"]
        low, high = self.interval
        bleus = ", ".join(f"BLEU-{order} {points(self.scores.bleu(order))}" for order in range(1, ORDER))
        found = [
            f"BLEU-4 {points(self.score)} (95 % interval {points(low)} to {points(high)}; {self.where()})",
            f"{bleus}; CIDEr-D {self.scores.cider.mean():.2f}",
            f"{self.references_said()}; tokeniser: {TOKENISER}; smoothing: {SMOOTHING}",
            self.sameness(),
        ]
        if verdict := self.verdict():
            found.append(f"{verdict[0].upper()}{verdict[1:]}")
        return found

    def details(self) -> dict[str, Any]:
        """The figures as JSON values; BLEU from 0 to 1, CIDEr-D from 0 to 10."""
        if not self.total:
            return {"bleu4": None}
        counts = [len(several) for several in self.references]
        found = {
            **self.scores.as_dict(),
            "interval": list(map(or_none, self.interval)),
            "most_frequent": self.scores.counts.most_common(1)[0][1],
            "references": [min(counts), max(counts)],
            "tokeniser": TOKENISER,
            "smoothing": SMOOTHING,
        }
        if self.baseline_scores is not None:
            gain, low, high = self.gain
            found["nearest_neighbour"] = self.baseline_scores.as_dict()
            found["gain_over_nearest_neighbour"] = {"bleu4": gain, "interval": [or_none(low), or_none(high)]}
        return found

    def errors(self) -> NDArray[np.float64]:
        """1 less the smoothed BLEU-4 of each image by itself."""
        return np.asarray(1 - sentence_bleus(self.scores.statistics))

    def outcomes(self) -> NDArray[np.float64]:
        """The smoothed BLEU-4 of each image by itself."""
        return sentence_bleus(self.scores.statistics)

    def worst(self, limit: int) -> list[int]:
        """Images evenly from the worst caption to the best: the worst alone would show little."""
        order = np.argsort(-self.errors(), kind="stable")
        places = np.linspace(0, len(order) - 1, min(limit, len(order))).round().astype(int)
        return [int(order[place]) for place in places]

    def rows(self) -> dict[str, str]:
        """BLEU and CIDEr-D."""
        bleus = {f"BLEU-{order}": points(self.scores.bleu(order)) for order in range(1, ORDER + 1)}
        return {**bleus, "CIDEr-D": f"{self.scores.cider.mean():.2f}"} if self.total else {}


def points(share: float) -> str:
    """BLEU as it is printed: 0.1724 -> "17.2"."""
    return f"{100 * share:.1f}"


def signed(share: float) -> str:
    """A difference in BLEU: "+5.1"."""
    return f"{100 * share:+.1f}"


# The report


def headline(evaluation: CaptioningEvaluation, context: ReportContext) -> Headline:
    """BLEU-4, and the verdict on nearest-neighbour captions."""
    if not evaluation.total:
        return not_evaluated("BLEU-4")
    low, high = evaluation.interval
    blocks = [
        Text(("Over ", Strong(images(evaluation.total)), *evaluated_on(evaluation.part))),
        Text(f"95 % confidence interval: {points(low)} to {points(high)}. {evaluation.references_said()}.", "quiet"),
    ]
    if verdict := evaluation.verdict():
        blocks.append(Text(f"The captions are {verdict}."))
    return Headline("BLEU-4", points(evaluation.score), tuple(blocks))


def report_sections(evaluation: CaptioningEvaluation, context: ReportContext) -> tuple[Section, ...]:
    """The figures beside those of nearest-neighbour captions, and images with their captions."""
    if not evaluation.total:
        return ()
    return figures_section(evaluation), captions_section(evaluation, context)


def figures_section(evaluation: CaptioningEvaluation) -> Section:
    """BLEU, CIDEr-D and distinct captions; how they were computed."""
    listed = [("the model", evaluation.scores)]
    if evaluation.baseline_scores is not None:
        listed.append(("nearest neighbours", evaluation.baseline_scores))
    rows = [
        (
            name,
            *(points(found.bleu(order)) for order in range(1, ORDER + 1)),
            f"{found.cider.mean():.2f}",
            f"{len(found.counts):,}",
            percent(found.counts.most_common(1)[0][1] / evaluation.total),
        )
        for name, found in listed
    ]
    names = ("captions of", *(f"BLEU-{order}" for order in range(1, ORDER + 1)), "CIDEr-D", "distinct", "most frequent")
    facts = Facts(
        (
            Fact("References", evaluation.references_said()),
            Fact("Vocabulary", f"{len(evaluation.task.names) - len(SPECIAL):,} words", "of the training captions"),
            Fact("Tokeniser", TOKENISER, f"for the captions and the references; smoothing: {SMOOTHING}", wide=True),
        )
    )
    blocks = (Table(tuple(map(Column, names)), rows, ("set of captions", "sets of captions"), "sets"), facts)
    lead = (
        "BLEU as sacrebleu computes it for these words, times 100; CIDEr-D as the COCO evaluation does, from 0 to 10. "
        f"Nearest neighbours: {BASELINE}. Figures with another tokeniser cannot be compared with these."
    )
    return Section("figures", "Captions in figures", blocks, lead)


def captions_section(evaluation: CaptioningEvaluation, context: ReportContext) -> Section:
    """Images from the worst caption to the best, each with its caption, the baseline's, and one reference."""
    if not context.examples:
        return Section("captions", "Captions", (Text("No pictures of them are available.", "quiet"),))
    pictures = []
    for one in context.examples:
        said: list[str | Strong] = [Strong(evaluation.captions[one.row] or "(no words)")]
        said.append(f" \u2014 a person: {evaluation.targets[one.row][0]}")
        if evaluation.baseline is not None:
            said.append(f" \u2014 nearest neighbours: {evaluation.baseline[one.row]}")
        pictures.append(Picture(one.image, tuple(said), one.path))
    lead = "Held-out images evenly from the lowest BLEU-4 to the highest: the model's caption, and a person's."
    return Section("captions", "Captions, from worst to best", (Gallery(tuple(pictures)),), lead)


def next_steps(evaluation: CaptioningEvaluation, context: ReportContext) -> tuple[Step, ...]:
    """What to look at next, the most useful first."""
    if not evaluation.total:
        return ()
    steps, (gain, low, _) = [], evaluation.gain
    times = evaluation.scores.counts.most_common(1)[0][1]
    if evaluation.total > 1 and times > SAME * evaluation.total:
        steps.append(Step("figures", "The same caption for most images", f"{evaluation.sameness()}.", urgent=True))
    if math.isfinite(gain) and not low > 0:
        steps.append(Step("figures", BEATEN, f"The captions are {evaluation.verdict()}.", urgent=True))
    why = "BLEU counts words and not what is true: 'striate grade' makes a page on which a person grades captions."
    steps.append(Step("captions", "Read the captions", why))
    return tuple(steps)
