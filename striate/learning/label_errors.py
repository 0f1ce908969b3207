"""Label errors: images whose label is unlikely under models that were not trained on them, the most likely first.

The ranking depends on the task: see `Task.label_errors`. How many of the first are truly wrong is estimated for images
with one class each; the others that were predicted otherwise are hard images. For several labels and for numbers there
is no such estimate, and all are listed as likely errors.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit
from striate.learning.label_noise import wrong_labels
from striate.tasks import LabelError

LABEL_ERROR, HARD_IMAGE = "label-error", "hard-image"  # kinds of findings


@dataclass(frozen=True)
class Suspects:
    """Images whose label another model would not give.

    likely: those whose label is probably wrong, the likeliest first; there are as many as labels are estimated to be
    wrong. hard: the others, whose label is probably right, in the same order. Each `index` is one into `audit.usable`.
    """

    likely: tuple[LabelError, ...] = ()
    hard: tuple[LabelError, ...] = ()

    @property
    def ranked(self) -> tuple[LabelError, ...]:
        """All of them, the likeliest error first."""
        return (*self.likely, *self.hard)


def label_errors(found: Audit, out_of_fold: NDArray[np.float32]) -> Suspects:
    """Images whose label is probably wrong, and images that are hard.

    out_of_fold [usable, outputs]: predictions by models that were not trained on the image; NaN for images without one.
    """
    places = np.flatnonzero(np.isfinite(out_of_fold[:, 0])).tolist()
    targets = [found.usable[place].item.target for place in places]
    errors = found.task.label_errors(targets, out_of_fold[places])
    ranked = tuple(dataclasses.replace(error, index=places[error.index]) for error in errors)
    wrong = len(ranked)
    if found.task.one_class:
        wrong = round(wrong_labels(out_of_fold[places], np.array(targets, np.int64)))
    return Suspects(ranked[:wrong], ranked[wrong:])
