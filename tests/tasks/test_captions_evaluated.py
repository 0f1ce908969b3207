"""Figures of captions: BLEU against sacrebleu, CIDEr-D by hand, words, and what the lines and the report say."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from striate.learning.neighbours import consensus
from striate.report.page import render
from striate.sections import Report
from striate.tasks import Captioning
from striate.tasks.caption_scores import bleu_of, bleu_statistics, cider_d
from striate.tasks.captioning_evaluation import CaptioningEvaluation
from striate.tasks.report_common import ReportContext
from striate.tasks.words import PAD, encoded, vocabulary, words_of


def test_words_and_their_numbers() -> None:
    assert words_of("A man's T-shirt\u2019s RED, (3 dogs)!") == ("a", "man's", "t", "shirt's", "red", "3", "dogs")
    names = vocabulary(["a dog", "a red dog", "a cat"])
    assert names == ("<end>", "<unknown>", "a", "dog")
    numbers = encoded([["A dog.", "a red cat"], ["dog"]], names, 3)
    assert numbers.tolist() == [[[2, 3, 0], [2, 1, 1]], [[3, 0, PAD], [PAD] * 3]]


@pytest.mark.parametrize("references", [1, 2, 5])
def test_bleu_is_sacrebleus(references: int) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    draw = random.Random(references)
    words = ["a", "dog", "runs", "red"]

    def said() -> str:
        return " ".join(draw.choices(words, k=draw.randint(1, 9)))

    captions = [said() for _ in range(40)]
    several = [[said() for _ in range(references)] for _ in captions]
    found = bleu_statistics([words_of(one) for one in captions], [[words_of(o) for o in row] for row in several])
    streams = [list(column) for column in zip(*several, strict=True)]
    for order in (1, 2, 3, 4):
        theirs = sacrebleu.BLEU(tokenize="none", smooth_method="none", max_ngram_order=order)
        assert 100 * bleu_of(found, order) == pytest.approx(theirs.corpus_score(captions, streams).score, abs=1e-9)
    assert bleu_of(found) > 0
    short = [caption.split()[0] for caption in captions]
    cut = bleu_statistics([words_of(one) for one in short], [[words_of(o) for o in row] for row in several])
    theirs = sacrebleu.BLEU(tokenize="none", smooth_method="none", max_ngram_order=1)
    assert 100 * bleu_of(cut, 1) == pytest.approx(theirs.corpus_score(short, streams).score, abs=1e-9)
    assert bleu_of(cut) == theirs.corpus_score(["x"], [["y"]]).score == 0


def test_cider_d_is_what_a_hand_computes() -> None:
    def scored(*pairs: tuple[str, list[str]]) -> list[float]:
        found = cider_d([words_of(one) for one, _ in pairs], [[words_of(o) for o in several] for _, several in pairs])
        return [float(value) for value in found]

    # Each word is in one image's references of two, so all weigh log 2, which cancels. Of runs of 3 and 4 words there
    # are none: 10 * (1 + 1 + 0 + 0) / 4. "blue dog" shares one of its two words with "blue cat": 10 * (1 / 2) / 4.
    assert scored(("red dog", ["red dog"]), ("blue dog", ["blue cat"])) == pytest.approx([5, 1.25])
    # One word of two, cos = 1 / sqrt(2), times exp(-1 / 72) for a length that differs by one.
    short, _ = scored(("red", ["red dog"]), ("blue dog", ["blue cat"]))
    assert short == pytest.approx(10 * math.exp(-1 / 72) / math.sqrt(2) / 4)
    # "red" twice counts as once, as in the reference: the cosine is 2 / sqrt(5 * 2); of two runs of two, one is alike.
    twice, _ = scored(("red red dog", ["red dog"]), ("blue dog", ["blue cat"]))
    by_hand = (2 / math.sqrt(5 * 2) + 1 / math.sqrt(2)) * math.exp(-1 / 72) * 10 / 4
    assert twice == pytest.approx(by_hand)
    # What is in the references of every image weighs nothing; the mean over references halves the rest.
    assert scored(("a", ["a"]), ("a", ["a"])) == [0, 0]
    half, _ = scored(("red dog", ["red dog", "big cow"]), ("blue dog", ["blue cat"]))
    assert half == pytest.approx(2.5)


NAMES = ("<end>", "<unknown>", "a", "red", "blue", "disc", "square")


def evaluation(captions: list[str], references: list[list[str]], baseline: list[str]) -> CaptioningEvaluation:
    task = Captioning(NAMES)
    rows = np.maximum(0, encoded([[one] for one in captions], NAMES, 4)[:, 0])
    found = task.evaluate("val", rows, task.collate(tuple(one) for one in references))
    assert isinstance(found, CaptioningEvaluation)
    import dataclasses

    return dataclasses.replace(found, baseline=tuple(baseline))


def test_the_baseline_beats_and_the_same_caption_is_told() -> None:
    references = [
        ["A red disc on it .", "the red disc"],
        ["A blue square ."],
        ["One blue disc on top .", "a blue disc", "a disc"],
    ] * 4
    found = evaluation(["a red disc"] * 12, references, [several[0] for several in references])
    lines = "\n".join(found.lines())
    assert found.total == 12 and found.captions == ("a red disc",) * 12
    assert "1 to 3 references each; tokeniser: lower case" in lines and "smoothing: none" in lines
    assert "1 distinct captions for 12 images; 12 are 'a red disc'" in lines
    assert "Worse than nearest-neighbour captions, which have BLEU-4 100.0" in lines
    details = found.details()
    assert (details["distinct"], details["references"], details["most_frequent"]) == (1, [1, 3], 12)
    assert details["nearest_neighbour"]["bleu4"] == pytest.approx(1) and details["bleu4"] == found.score
    steps = found.task.next_steps(found, ReportContext())
    assert [step.title for step in steps[:2]] == ["The same caption for most images", "Not better than the baseline"]
    sections = found.task.report_sections(found, ReportContext())
    page = render(Report("t", "l", found.task.headline(found, ReportContext()), steps, (), sections))
    for words in ("BLEU-1", "CIDEr-D", "nearest neighbours", "worse than nearest-neighbour captions", "Tokeniser"):
        assert words in page


def test_a_better_model_is_said_to_be_better_and_unknown_words_of_references_count() -> None:
    references = [["a red disc a red disc"], ["a blue square a blue"]] * 6
    found = evaluation(["a red disc a", "a blue square a"] * 6, references, ["a blue square a", "a red disc a"] * 6)
    assert "better than nearest-neighbour captions" in found.verdict()
    # A word that the vocabulary does not have is no match, but it counts in the length.
    known, strange = (evaluation(["a red"], [[f"a red {word}"]], ["a"]) for word in ("disc", "zeppelin"))
    assert known.scores.bleu(1) == strange.scores.bleu(1) == pytest.approx(math.exp(1 - 3 / 2))


def test_the_consensus_is_the_caption_that_others_say_too() -> None:
    assert (
        consensus(["two cats", "a dog runs in grass", "a dog runs", "a brown dog runs in the grass"])
        == "a dog runs in grass"
    )
