"""The images that trials train on and are judged by: both from the training part, so that a search never sees the
held-out images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.dataset import ImageDataset, SplitData
from striate.data.splits import measured_part, units_of
from striate.errors import RequestError, printable
from striate.training.examples import Examples

VALIDATION = 0.25  # of the training part


@dataclass(frozen=True, eq=False)
class TrialImages:
    """Images for trials. training, validation: indices into their datasets. rule: as of `striate.pixels.Pixels`."""

    training_part: ImageDataset
    training: NDArray[np.int64]
    validation_part: ImageDataset
    validation: NDArray[np.int64]
    rule: str

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.training_part.classes)

    def at(self, side: int) -> tuple[Examples, Examples]:
        """Training and validation examples of `side` pixels, decoded, with the mean and deviation of the first."""
        parts = ((self.training_part, self.training), (self.validation_part, self.validation))
        arrays = [_subset(part, rows).arrays(side, rule=self.rule) for part, rows in parts]
        (images, _), _ = arrays
        mean, std = images.mean((0, 1, 2)), np.maximum(images.std((0, 1, 2)), 1.0)
        training, validation = (
            Examples(
                torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
                torch.from_numpy(targets),
                mean.tolist(),
                std.tolist(),
                task=self.training_part.task,
            )
            for pixels, targets in arrays
        )
        return training, validation


def _subset(part: ImageDataset, rows: NDArray[np.int64]) -> ImageDataset:
    return ImageDataset(part.source, part.task, tuple(part.entries[row] for row in rows))


def trial_images(split: SplitData, *, most: int, rule: str, seed: int) -> TrialImages:
    """At most `most` training images and a third as many for validation, drawn by `seed`, each class by its share.

    Validated is on a quarter of the training part; on the part "val", if the data also have a part "test". Equal images
    stay on one side. Raises RequestError for a task other than single-label classification, and for fewer than two
    images in each class.
    """
    if not split.task.one_class:
        raise RequestError(f"a search needs single-label classification, not the task {split.task.kind!r}")
    if most < 1:
        raise RequestError(f"a trial needs 1 training image at least, not {most}")
    train = split.train
    if len(train.classes) < 2:
        raise RequestError(f"a search needs two classes at least, and the data have one, {printable(train.classes[0])}")
    generator = np.random.default_rng(seed)
    if measured_part(list(split.parts)) == "test" and "val" in split.parts:
        validation_part, held = split.val, np.arange(len(split.val))
        left = np.arange(len(train))
    else:
        validation_part = train
        left, held = _divided(train, generator)
    chosen = (_sampled(train, left, most, generator), _sampled(validation_part, held, -(-most // 3), generator))
    if not all(map(len, chosen)) or len(set(train.targets[chosen[0]].tolist())) < 2:
        raise RequestError(f"{len(train)} training images are too few for a search: each class needs two at least")
    return TrialImages(train, chosen[0], validation_part, chosen[1], rule)


def _divided(part: ImageDataset, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices to train and to validate on: of each class VALIDATION, equal images on one side."""
    targets = part.targets
    wanted = np.floor(VALIDATION * np.bincount(targets, minlength=len(part.classes)))
    units = units_of(part.entries)
    held: list[int] = []
    for place in generator.permutation(len(units)):
        counts = np.bincount(targets[units[place]], minlength=len(part.classes))
        if (counts <= wanted).all():
            wanted -= counts
            held += units[place]
    return np.setdiff1d(np.arange(len(part)), held), np.sort(np.array(held, np.int64))


def _sampled(
    part: ImageDataset, rows: NDArray[np.int64], most: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """At most `most` of `rows`, of each class its share, one at least."""
    if len(rows) <= most:
        return rows
    targets = part.targets[rows]
    kept = [
        generator.permutation(found)[: max(1, round(most * len(found) / len(rows)))]
        for found in (rows[targets == name] for name in np.unique(targets))
    ]
    return np.sort(np.concatenate(kept))
