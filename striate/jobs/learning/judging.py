"""What the embeddings of the images tell beside the answers: the least typical ones, and strangers told from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import audit
from striate.data.audit.looking import Record, look
from striate.data.sources.base import Item, Source
from striate.data.sources.folder import open_images
from striate.errors import RequestError
from striate.inference.strangers import Strangers, distances_among, distances_to
from striate.jobs.learning.learned import Learned, StrangersMeasured
from striate.metrics import auroc
from striate.pixels import Images, Pixels
from striate.transfer.features import FeatureCache

REFERENCE = 2000  # images that the others are compared with: more would take long, and hardly change who is far off


def least_typical(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each image [N] is from its nearest ones, in multiples of the median: 1 is ordinary."""
    if len(embeddings) <= REFERENCE:
        found = distances_among(embeddings)
    else:
        chosen = np.sort(np.random.default_rng(0).permutation(len(embeddings))[:REFERENCE])
        found = distances_to(embeddings, embeddings[chosen])
    return found / max(float(np.median(found)), 1e-6)


def open_strangers(folder: str) -> Source | None:
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


def embedded_strangers(
    source: Source, pairs: list[tuple[Item, Record]], cache: FeatureCache
) -> tuple[list[str], NDArray[np.float32]]:
    """Paths [M] and embeddings [M, D] of the strangers that can be used. Raises RequestError where there are none."""
    usable = audit(source, pairs, trained_only=False).usable
    if not usable:
        raise RequestError(f"no image of the strangers in {source.name!r} can be read")
    return [entry.item.key for entry in usable], cache.matrix(entry.record.digest for entry in usable)


def crops_of(source: Source, pixels: Pixels) -> tuple[Images, list[str]]:
    """The crops [M, H, W, C] and paths [M] of the strangers that can be used. Raises RequestError without any."""
    looked = [one for one in look(source, pixels) if one.crop is not None]
    if not looked:
        raise RequestError(f"no image of the strangers in {source.name!r} can be read")
    return np.stack([one.crop for one in looked if one.crop is not None]), [one.item.key for one in looked]


def strangers_measured(
    folder: str,
    paths: list[str],
    knows: Strangers,
    trained: NDArray[np.float32],
    held_out: NDArray[np.float32],
    strangers: NDArray[np.float32],
    taken: NDArray[np.float32],
    learned: Learned,
) -> StrangersMeasured:
    """How well strangers [M, D] are told from held-out images; without any, from training images, each left out."""
    known = knows.distances(held_out) if len(held_out) else distances_among(trained)
    far = knows.distances(strangers)
    names = learned.model.task.names
    answers = tuple(names[int(row.argmax())] for row in taken)
    return StrangersMeasured(folder, tuple(paths), knows.limit, known, far, auroc(far, known), answers)
