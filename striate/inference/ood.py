"""Out-of-distribution (OOD) detection: whether an image is like the training images at all, by feature distance.

The distance of an image is one minus the cosine between its embedding and that of its k-th nearest training image.
Source: Sun et al. 2022, arXiv:2204.06507 (out-of-distribution detection with deep nearest neighbours).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.model import Model

NEIGHBOURS = 5
LARGEST = 4000  # training images stored in the model file: 10 MB for a net with 1,280 features
ACCEPTED = 0.95  # share of the training images, each compared with the others, that are within the threshold
_BANK, _THRESHOLD = "ood.bank", "ood.threshold"


@dataclass(frozen=True, eq=False)
class OODDetector:
    """bank: float16 [M, D], unit embeddings of training images. threshold: the largest in-distribution distance."""

    bank: NDArray[np.float16]
    threshold: float

    @classmethod
    def fit(cls, embeddings: NDArray[np.float32], seed: int = 0) -> OODDetector:
        """Fit to the embeddings [N, D] of training images only: no OOD image influences the threshold."""
        chosen = np.random.default_rng(seed).permutation(len(embeddings))[:LARGEST]
        bank = _unit(embeddings[np.sort(chosen)]).astype(np.float16)
        threshold = np.quantile(distances_among(embeddings[np.sort(chosen)]), ACCEPTED)
        return cls(bank, float(threshold))

    @classmethod
    def of(cls, model: Model) -> OODDetector | None:
        """The model's detector; None for a model without one, which assigns every image to one of its classes.

        Raises RequestError if the two tensors do not fit the model.
        """
        if _BANK not in model.extras:
            return None
        bank, threshold = model.extras[_BANK], model.extras.get(_THRESHOLD, np.zeros(0))
        head = model.tensors.get(f"{model.head}.weight")
        fits = bank.ndim == 2 and len(bank) > 0 and bank.dtype.kind == "f" and threshold.shape == (1,)
        if not fits or (head is not None and bank.shape[1] != head.shape[1]):
            raise RequestError("the model's OOD detector is damaged: its tensors do not fit the model")
        return cls(bank, float(threshold[0]))

    def extras(self) -> dict[str, NDArray[np.generic]]:
        """As tensors for the model file."""
        return {_BANK: self.bank, _THRESHOLD: np.array([self.threshold], np.float32)}

    def distances(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of embeddings [N, D], [N]: 0 for a training image's own embedding, 1 if it is orthogonal to all."""
        bank = self.bank.astype(np.float32)
        return np.concatenate([1 - _kth(near) for near in _similarities(embeddings, bank)] or [np.zeros(0, np.float32)])


def distances_among(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each of [N, D] to its k-th nearest other, [N]; an equal image does not count as another."""
    return distances_to(embeddings, embeddings)


def distances_to(embeddings: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each of [N, D] to its k-th nearest of others [M, D], [N]; an equal image does not count as another."""
    parts = []
    for near in _similarities(embeddings, _unit(others)):
        copies = near > 1 - 1e-6
        near[copies] = -1  # an image itself and its copies would make any image in-distribution
        # With fewer others than neighbours the farthest is used, not a copy's -1, which would give a distance of 2.
        left = np.clip(near.shape[1] - copies.sum(axis=1), 1, NEIGHBOURS)
        nearest = -np.sort(-np.partition(near, -min(NEIGHBOURS, near.shape[1]), axis=1)[:, -NEIGHBOURS:], axis=1)
        parts.append(1 - nearest[np.arange(len(near)), left - 1])
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _similarities(embeddings: NDArray[np.float32], bank: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Cosines of embeddings to the unit vectors of a bank, a block of rows at a time, to limit memory."""
    for start in range(0, len(embeddings), 1024):
        yield _unit(embeddings[start : start + 1024]) @ bank.T


def _kth(near: NDArray[np.float32]) -> NDArray[np.float32]:
    k = min(NEIGHBOURS, near.shape[1])
    return np.asarray(np.partition(near, -k, axis=1)[:, -k])


def _unit(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.maximum(lengths, 1e-12), np.float32)
