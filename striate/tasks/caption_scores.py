"""BLEU and CIDEr-D of captions against several references each. Captions are sequences of words.

BLEU is the figure that sacrebleu gives for the same words (tokenize="none", smooth_method="none"); CIDEr-D is that of
the COCO evaluation code.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from striate.tasks.words import Words

ORDER = 4  # the longest n-grams
SIGMA = 6.0  # of CIDEr-D: words, by which lengths may differ
SMOOTHING = "none"

Ngrams = Counter[Words]
Statistics = NDArray[np.int64]


def ngrams(words: Words, order: int) -> Ngrams:
    """How often each run of `order` words occurs."""
    return Counter(tuple(words[place : place + order]) for place in range(len(words) - order + 1))


def bleu_statistics(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> Statistics:
    """What BLEU needs of each image: matches of 1 to 4 words, n-grams of them, words, words of the closest reference.

    int64 [N, 10]. An n-gram matches at most as often as it is in one of the references. Of two references that are
    equally close in length, the shorter counts. Source: Papineni et al. 2002.
    """
    rows = np.zeros((len(captions), 2 * ORDER + 2), np.int64)
    for row, words, several in zip(rows, captions, references, strict=True):
        for order in range(1, ORDER + 1):
            found, allowed = ngrams(words, order), Counter[Words]()
            for one in several:
                allowed |= ngrams(one, order)
            row[order - 1] = (found & allowed).total()
            row[ORDER + order - 1] = found.total()
        row[-2] = len(words)
        row[-1] = min((len(one) for one in several), key=lambda length: (abs(length - len(words)), length), default=0)
    return rows


def bleu_of(statistics: Statistics, order: int = ORDER) -> float:
    """BLEU of n-grams up to `order` from the statistics [N, 10] of a set, from 0 to 1: no smoothing."""
    total = statistics.sum(axis=0)
    matches, found, words, reference = total[:order], total[ORDER : ORDER + order], total[-2], total[-1]
    if not matches.all() or not found.all():
        return 0.0
    brevity = 1.0 if words >= reference else math.exp(1 - reference / words)
    return brevity * math.exp(float(np.log(matches / found).mean()))


def sentence_bleus(statistics: Statistics) -> NDArray[np.float64]:
    """BLEU-4 of each image by itself, with 1 added to the counts of 2 and more words. Source: Lin, Och 2004."""
    longer = np.arange(ORDER) > 0
    matches, found = statistics[:, :ORDER] + longer, statistics[:, ORDER : 2 * ORDER] + longer
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.exp(np.log(matches / np.maximum(found, 1)).mean(axis=1))
        brevity = np.exp(np.minimum(0.0, 1 - statistics[:, -1] / statistics[:, -2]))
    return np.where(statistics[:, -2] > 0, means * brevity, 0.0)


def cider_d(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> NDArray[np.float64]:
    """CIDEr-D of each image [N], from 0 to 10; that of the set is their mean.

    The cosine of n-gram counts weighted by log(images / images whose references have the n-gram), counts clipped to the
    reference's, times exp(-(difference in length)^2 / (2 SIGMA^2)); the mean over references and 1 to 4 words, by 10.
    Source: Vedantam et al. 2015, arXiv:1411.5726, and the code of the COCO evaluation, whose length is the number of
    runs of two words.
    """
    seen = Counter[Words]()
    for several in references:
        seen.update({run for words in several for order in range(1, ORDER + 1) for run in ngrams(words, order)})
    images = math.log(max(1, len(references)))

    def weighted(words: Words, order: int) -> dict[Words, float]:
        return {run: count * (images - math.log(max(1, seen[run]))) for run, count in ngrams(words, order).items()}

    scores = np.zeros(len(captions))
    for place, (words, several) in enumerate(zip(captions, references, strict=True)):
        for order in range(1, ORDER + 1):
            mine = weighted(words, order)
            for one in several:
                apart = max(0, len(words) - 1) - max(0, len(one) - 1)
                alike = _clipped_cosine(mine, weighted(one, order))
                scores[place] += alike * math.exp(-(apart**2) / (2 * SIGMA**2)) / len(several)
    return 10 * scores / ORDER


def _clipped_cosine(mine: dict[Words, float], theirs: dict[Words, float]) -> float:
    """The cosine of two weighted counts, where mine are clipped to theirs; 0 where either has no length."""
    lengths = math.sqrt(sum(value**2 for value in mine.values()) * sum(value**2 for value in theirs.values()))
    shared = sum(min(value, theirs[run]) * theirs[run] for run, value in mine.items() if run in theirs)
    return shared / lengths if lengths else 0.0


def similarity(one: Words, other: Words) -> float:
    """How alike two captions are, from 0 to 1: the shared runs of 1 to 4 words, over the geometric mean of their
    numbers."""
    mine, theirs = ({run for order in range(1, ORDER + 1) for run in ngrams(words, order)} for words in (one, other))
    return len(mine & theirs) / math.sqrt(len(mine) * len(theirs)) if mine and theirs else 0.0
