"""Label errors: images whose target is unlikely to models that were not trained on them, the worst first."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit
from striate.tasks import LabelError

DOUBTFUL_LABEL = "doubtful-label"  # the kind of finding that they are


def suspects(found: Audit, unseen: NDArray[np.float32]) -> list[LabelError]:
    """Probable label errors; `index` is the place in `audit.usable`.

    unseen [usable, outputs]: predictions by models that were not trained on the image; NaN for images without one.
    """
    places = np.flatnonzero(np.isfinite(unseen[:, 0])).tolist()
    errors = found.task.label_errors([found.usable[place].item.target for place in places], unseen[places])
    return [dataclasses.replace(error, index=places[error.index]) for error in errors]
