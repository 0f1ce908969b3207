"""What the embeddings of the images tell beside the answers: the least typical ones, and strangers told from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.base import Source
from striate.data.sources.folder import open_images
from striate.errors import RequestError
from striate.inference.classifier import Classifier
from striate.inference.strangers import Strangers, distances_among, distances_to
from striate.jobs.learning.learned import Learned, StrangersMeasured
from striate.metrics import auroc

REFERENCE = 2000  # images that the others are compared with: more would take long, and hardly change who is far off


def least_typical(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each image [N] is from its nearest ones, in multiples of the median: 1 is ordinary."""
    if len(embeddings) <= REFERENCE:
        found = distances_among(embeddings)
    else:
        chosen = np.sort(np.random.default_rng(0).permutation(len(embeddings))[:REFERENCE])
        found = distances_to(embeddings, embeddings[chosen])
    return found / max(float(np.median(found)), 1e-6)


def open_strangers(folder: str | None) -> Source | None:
    """The images of a folder, whatever lies in it; None where no folder is named. Raises RequestError without any."""
    if not folder:
        return None
    try:
        is_folder = Path(folder).is_dir()
    except OSError:  # a name that is too long, a folder that may not be entered
        is_folder = False
    if not is_folder:
        raise RequestError(f"strangers are a folder of images of none of the classes; {folder!r} is no folder")
    return open_images(Path(folder))


def meet_strangers(
    learned: Learned,
    strangers: Source,
    looked: Sequence[tuple[str, NDArray[np.float32]]],
    trained: NDArray[np.float32],
    held_out: NDArray[np.float32],
) -> None:
    """Teach the model what a stranger is, from the embeddings of training images, and measure it on the strangers.

    looked: path and embedding of those that can be used. They are told from held-out images; without any, from training
    images, each left out. Raises RequestError where no stranger can be used.
    """
    if not looked:
        raise RequestError(f"no image of the strangers in {strangers.name!r} can be read")
    knows = Strangers.learnt(trained)
    learned.model = dataclasses.replace(learned.model, extras={**learned.model.extras, **knows.extras()})
    embeddings = np.stack([embedding for _, embedding in looked])
    known = knows.distances(held_out) if len(held_out) else distances_among(trained)
    far, names = knows.distances(embeddings), learned.model.task.names
    taken = learned.model.task.answers(Classifier(learned.model).scores(embeddings)).argmax(axis=1)
    learned.strangers = StrangersMeasured(
        source=strangers,
        paths=tuple(path for path, _ in looked),
        limit=knows.limit,
        known=known,
        strangers=far,
        auroc=auroc(far, known),
        taken_for=tuple(names[place] for place in taken.tolist()),
    )
