"""Label errors: images whose label is unlikely under models that were not trained on them, the most likely first.

The ranking depends on the task: see `Task.label_errors`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit
from striate.tasks import LabelError

LABEL_ERROR = "label-error"  # the kind of the finding


def label_errors(found: Audit, out_of_fold: NDArray[np.float32]) -> list[LabelError]:
    """Images whose label is probably wrong, the most likely first; `index` is an index into `audit.usable`.

    out_of_fold [usable, outputs]: predictions by models that were not trained on the image; NaN for images without one.
    """
    places = np.flatnonzero(np.isfinite(out_of_fold[:, 0])).tolist()
    errors = found.task.label_errors([found.usable[place].item.target for place in places], out_of_fold[places])
    return [dataclasses.replace(error, index=places[error.index]) for error in errors]
