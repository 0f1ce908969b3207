"""Out-of-distribution (OOD) detection and atypical images, by distances in the net's feature space."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.base import Source
from striate.data.sources.folder import open_images
from striate.errors import RequestError
from striate.inference.ood import OODDetector, distances_among, distances_to
from striate.inference.predictor import Predictor
from striate.model import Model
from striate.tasks.metrics import auroc

REFERENCE = 2000  # images used as reference: more take long and hardly change which are atypical

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OODEvaluation:
    """How well images of a folder, which show none of the classes, are separated from held-out images by distance.

    paths [M]: of the usable OOD images. threshold: the distance from which an image counts as OOD. in_distribution
    [N] and out_of_distribution [M]: distances of held-out images and of the folder's. predicted [M]: the class that
    each OOD image would get.
    """

    source: Source
    paths: tuple[str, ...]
    threshold: float
    in_distribution: Floats
    out_of_distribution: Floats
    auroc: float
    predicted: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values; shares are 0..1."""
        return {
            "folder": self.source.name,
            "images": len(self.out_of_distribution),
            "auroc": self.auroc,
            "threshold": self.threshold,
            "in_distribution_accepted": float((self.in_distribution <= self.threshold).mean()),
            "ood_rejected": float((self.out_of_distribution > self.threshold).mean()),
        }


def atypical(embeddings: Floats) -> Floats:
    """The distance of each image [N] from its nearest neighbours, in multiples of the median: 1 is typical."""
    if len(embeddings) <= REFERENCE:
        found = distances_among(embeddings)
    else:
        chosen = np.sort(np.random.default_rng(0).permutation(len(embeddings))[:REFERENCE])
        found = distances_to(embeddings, embeddings[chosen])
    return found / max(float(np.median(found)), 1e-6)


def open_ood(folder: str | None) -> Source | None:
    """The images of a folder of OOD images; None without a folder. Raises RequestError if it is not a folder."""
    if not folder:
        return None
    try:
        is_folder = Path(folder).is_dir()
    except OSError:  # a name that is too long, a folder without permission
        is_folder = False
    if not is_folder:
        raise RequestError(f"--ood takes a folder of images that show none of the classes; {folder!r} is not a folder")
    return open_images(Path(folder))


def with_ood_detector(
    model: Model, source: Source, found: Sequence[tuple[str, Floats]], train: Floats, held_out: Floats
) -> tuple[Model, OODEvaluation]:
    """The model with an OOD detector fitted to the embeddings `train` [T, D], and its evaluation on `source`.

    found: path and embedding of the usable OOD images. They are compared with held-out images [N, D]; without any,
    with training images, leave-one-out. Raises RequestError if no OOD image can be used.
    """
    if not found:
        raise RequestError(f"no image of the OOD folder {source.name!r} can be read")
    detector = OODDetector.fit(train)
    embeddings = np.stack([embedding for _, embedding in found])
    inside = detector.distances(held_out) if len(held_out) else distances_among(train)
    outside = detector.distances(embeddings)
    predicted = model.task.predictions(Predictor(model).logits(embeddings)).argmax(axis=1)
    evaluation = OODEvaluation(
        source=source,
        paths=tuple(path for path, _ in found),
        threshold=detector.threshold,
        in_distribution=inside,
        out_of_distribution=outside,
        auroc=auroc(outside, inside),
        predicted=tuple(model.task.names[place] for place in predicted.tolist()),
    )
    return dataclasses.replace(model, extras={**model.extras, **detector.extras()}), evaluation
