"""Captions as words: the tokeniser, the vocabulary, and captions as numbers of words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

TOKENISER = "lower case, words of letters and digits with their apostrophes, no punctuation"
END, UNKNOWN = "<end>", "<unknown>"  # the first two of a vocabulary; END also begins a caption
SPECIAL = (END, UNKNOWN)
PAD = -1  # of a caption's numbers: behind its end
MIN_COUNT = 2  # how often a word must be in the training captions

Words = tuple[str, ...]
Numbers = NDArray[np.int64]

# Of a mirrored image a caption with one of these may be wrong.
SIDED = frozenset(("left", "right", "leftmost", "rightmost", "lefthand", "righthand", "leftward", "rightward",
                   "leftwards", "rightwards"))  # fmt: skip

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def words_of(caption: str) -> Words:
    """The words of a caption: see `TOKENISER`. A hyphen separates two words."""
    return tuple(_WORD.findall(caption.lower().replace("\u2019", "'")))


def vocabulary(captions: Iterable[str], min_count: int = MIN_COUNT) -> tuple[str, ...]:
    """END, UNKNOWN and the words that the captions have at least so often, the most frequent first."""
    counts = Counter(word for caption in captions for word in words_of(caption))
    kept = [word for word, count in counts.items() if count >= min_count]
    return (*SPECIAL, *sorted(kept, key=lambda word: (-counts[word], word)))


def encoded(captions: Sequence[Sequence[str]], names: Sequence[str], limit: int) -> Numbers:
    """The captions of N images as numbers of words in the vocabulary `names`: int64 [N, captions, limit].

    A caption's words are followed by END, where there is room for it, and by PAD; an image with fewer captions than
    another has rows of PAD.
    """
    places = {name: place for place, name in enumerate(names)}
    unknown = places[UNKNOWN]
    numbers = np.full((len(captions), max(map(len, captions), default=0), limit), PAD, np.int64)
    for table, several in zip(numbers, captions, strict=True):
        for row, caption in zip(table, several, strict=False):
            found = [places.get(word, unknown) for word in words_of(caption)][:limit]
            row[: len(found)] = found
            row[len(found) : len(found) + 1] = places[END]
    return numbers


def caption_of(numbers: NDArray[np.int64] | NDArray[np.int32], names: Sequence[str]) -> str:
    """Numbers of words [T] as a caption: those before END."""
    words: list[str] = []
    for number in numbers.tolist():
        if names[number] == END:
            break
        words.append(names[number])
    return " ".join(words)
