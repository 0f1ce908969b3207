"""Captions of nearest neighbours: the baseline of captioning. Source: Devlin et al. 2015, arXiv:1505.04467."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.learning.split import Split
from striate.tasks.caption_scores import similarity
from striate.tasks.captioning_evaluation import NEIGHBOURS
from striate.tasks.words import words_of


def neighbour_captions(vectors: NDArray[np.float32], split: Split) -> tuple[str, ...]:
    """For each held-out image a caption of its NEIGHBOURS nearest training images, by the cosine of their vectors.

    vectors: of the usable images [usable, D]. Of the neighbours' captions it is the one that agrees best with all the
    others: the consensus caption.
    """
    train, held_out = split.rows("train"), split.held_out_rows
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(lengths, 1e-12)
    alike = unit[held_out] @ unit[train].T
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :NEIGHBOURS]
    usable = split.audit.usable
    return tuple(
        consensus([one for place in row for one in usable[train[place]].item.target]) for row in nearest.tolist()
    )


def consensus(captions: list[str]) -> str:
    """The caption that is most like all the others, the first of several."""
    words = [words_of(caption) for caption in captions]
    table = np.zeros((len(words), len(words)))
    for row, one in enumerate(words):
        for column in range(row):
            table[row, column] = table[column, row] = similarity(one, words[column])
    return captions[int(table.sum(axis=1).argmax())]
